//! The scheduler of a render farm as a sans-IO state machine: inputs and the time go in, actions come out.
//!
//! ```text
//! handle(now, Input) ─┐                      ┌─► poll_action()  → Commit, Assign, Revoke, …
//! handle_timeout(now) ┴─► state ─► placement ┴─► poll_timeout() → when to call handle_timeout
//! ```
//!
//! Deliberately not here: tokio, clocks, randomness, environment, files, sockets, and hash maps whose order could
//! leak into a decision. The coordinator's driver owns those and carries out the actions in order.

mod action;
mod change;
mod config;
mod input;
mod plan;
mod room;
mod scheduler;
mod time;

mod attempts;
mod chain;
mod job;
mod kept;
mod pace;
mod placement;
mod stage_result;
mod strikes;
mod video;
mod worker;

pub use action::{Action, Assignment, Refusal};
pub use change::{ArtifactId, AttemptEnd, Change, JobPhase, VideoPhase};
pub use config::Config;
pub use input::{Input, Served, Target, WorkerHello};
pub use pace::effort;
pub use plan::{JobPlan, PlanError, SizeClass, TextKey, VideoPlan};
pub use room::{NoRoom, Room, Rooms};
pub use scheduler::{Progress, RestoreError, Scheduler, Violation, WorkerView};
pub use time::Instant;
pub use worker::Session;
