//! The worker: attaches to a coordinator, owns a device, computes work items, and serves the tensors it made.
//!
//! ```text
//!              orders                     items                    tensors
//! coordinator ───────► link ─► agent ───────────────► device ──────────────► store ──► other workers
//!             ◄───────         assignments ◄───────── roles                  (tensor service)
//!              reports         prefetch     results
//! ```
//!
//! Deliberately not here: which item runs where and when (the coordinator's scheduler), the networks (`wanfarm-model`),
//! the solvers (`wanfarm-sampling`), and anything durable: what a worker holds may be lost with it.

mod admission;
mod agent;
mod ahead;
mod assignments;
mod awake;
mod budget;
mod config;
mod deliver;
mod device;
mod digests;
mod environment;
mod error;
mod holdings;
mod identity;
mod link;
mod log;
mod loras;
pub mod machine;
mod models;
mod prefetch;
mod roles;
mod run;
mod runner;
mod tensors;
#[cfg(test)]
mod tests;

pub use budget::budget;
pub use config::{Dtype, WorkerConfig};
pub use digests::role_files;
pub use environment::limit_threads;
pub use error::{ErrorKind, WorkerError};
pub use log::Log;
pub use run::run;
