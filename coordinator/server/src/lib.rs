//! The coordinator as a server: the queue, the scheduler's driver, durable copies, finished files, and the gRPC services.
//!
//! Read `server` for how it is put together and `driver` for what happens. Decisions are in `wanfarm-scheduler`; the
//! command line, and what shows progress, are in the package `coordinator`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may wait for a disk"))]

pub mod access;
mod address;
pub mod artifacts;
mod attempt;
pub mod catalog;
pub mod copies;
mod dialler;
pub mod disk_space;
mod dispatch;
pub mod driver;
pub mod estimate;
pub mod event;
pub mod farm;
mod health;
mod images;
mod jobs;
mod ledger;
mod limits;
mod logs;
pub mod meters;
pub mod models;
mod obstacle;
mod outbox;
mod outputs;
mod presence;
mod preview;
mod reflection;
mod relay;
pub mod remember;
mod requests;
pub mod server;
mod sessions;
pub mod source;
pub mod store;
pub mod times;
mod totals;
mod writer;
