//! Every verb of the command line against real processes: a coordinator, workers, and clients.

mod bench;
mod config;
mod database;
#[cfg(target_os = "linux")]
mod desktop;
mod errors;
mod farm;
mod forecast;
mod forgetting;
mod log;
mod names;
mod results;
mod saying;
mod steering;
