//! The coordinator: a queue of jobs, the scheduler's driver, durable copies, finished files, and the command line.
//!
//! Read `server` for how it is put together and `driver` for what happens. Decisions are in `wanfarm-scheduler`.

// They panic when nobody reads any more; `cli::say` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod artifacts;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod compare;
pub mod copies;
pub mod dispatch;
pub mod doctor;
pub mod driver;
pub mod estimate;
pub mod exit;
pub mod farm;
pub mod file_id;
pub mod images;
pub mod jobs;
pub mod ledger;
pub mod logging;
pub mod obstacle;
pub mod outputs;
pub mod progress;
pub mod reach;
pub mod relay;
pub mod remember;
pub mod requests;
pub mod room;
pub mod server;
pub mod sessions;
pub mod source;
pub mod store;
pub mod supervisor;
pub mod times;
pub mod totals;
