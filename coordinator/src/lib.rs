//! The coordinator: a queue of jobs, the scheduler's driver, durable copies, finished files, and the command line.
//!
//! Read `server` for how it is put together and `driver` for what happens. Decisions are in `wanfarm-scheduler`.

// They panic when nobody reads any more; `cli::say` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod compare;
pub mod doctor;
pub mod exit;
pub mod logging;
pub mod progress;
pub mod supervisor;
