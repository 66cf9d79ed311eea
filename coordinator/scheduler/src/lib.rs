//! The scheduler of a render farm as a sans-IO state machine: inputs and the time go in, actions come out.
//!
//! ```text
//! handle(now, Input) ─┐                      ┌─► poll_action()  → Commit, Assign, Revoke, …
//! handle_timeout(now) ┴─► state ─► placement ┴─► poll_timeout() → when to call handle_timeout
//! ```
//!
//! Deliberately not here: tokio, clocks, randomness, environment, files, sockets, and hash maps whose order could
//! leak into a decision. Whoever owns those (the coordinator's driver) carries out the actions in order.

pub mod action;
pub mod change;
pub mod config;
pub mod input;
pub mod plan;
pub mod scheduler;
pub mod time;

mod artifact;
mod attempts;
mod job;
mod pace;
mod placement;
mod strikes;
mod video;
mod worker;

pub use action::{Action, Assignment, Refusal};
pub use change::{ArtifactId, AttemptEnd, Change, JobPhase, VideoPhase};
pub use config::Config;
pub use input::{Input, Served, Target, WorkerHello};
pub use pace::effort;
pub use plan::{JobPlan, PlanError, SizeClass, TextKey, VideoPlan};
pub use scheduler::{Progress, RestoreError, Scheduler, Violation, WorkerView};
pub use time::Instant;
pub use worker::Session;
