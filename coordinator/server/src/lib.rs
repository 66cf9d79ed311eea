//! The coordinator as a server: the queue, the scheduler's driver, durable copies, finished files, and the gRPC services.
//!
//! Read `server` for how it is put together and `driver` for what happens. Decisions are in `wanfarm-scheduler`; the
//! command line, and what shows progress, are in the package `coordinator`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may wait for a disk"))]

pub mod artifacts;
pub mod catalog;
pub mod copies;
pub mod dispatch;
pub mod driver;
pub mod estimate;
pub mod farm;
pub mod images;
pub mod jobs;
pub mod ledger;
pub mod obstacle;
pub mod outputs;
pub mod reach;
pub mod relay;
pub mod remember;
pub mod requests;
pub mod room;
pub mod server;
pub mod sessions;
pub mod source;
pub mod store;
pub mod times;
pub mod totals;
