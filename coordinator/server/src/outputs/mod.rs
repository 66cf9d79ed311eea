//! Finished videos on disk: media files, sidecars and the job's report, each appearing whole or not at all.

mod look;
mod record;
mod report;
mod sidecar;
mod task;
mod volume;

pub use look::{InTheWay, Look, free_name, look};
pub use record::{Content, Fate, Print, Written, fate, print, state};
pub use report::{Unreported, standing_reports};
pub use sidecar::Sidecar;
pub use task::{Outputs, Staged, Task, Unwritten};
pub use volume::Volume;
