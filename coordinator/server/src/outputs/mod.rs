//! Finished videos on disk: media files, sidecars and the job's report, each appearing whole or not at all.

mod look;
mod record;
mod report;
mod sidecar;
mod task;
mod volume;

pub(crate) use look::{Look, free_name, look};
#[cfg(test)]
pub(crate) use record::{Content, print};
pub(crate) use record::{Fate, Print, Written, fate, state};
pub(crate) use report::{ReportError, standing_reports, write_report};
pub(crate) use task::{Files, Task, WriteError};
pub(crate) use volume::Volume;
