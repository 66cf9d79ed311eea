//! Finished videos on disk: media files, sidecars and the job's report with its page, each appearing whole or not at all.

mod film;
mod kept;
mod look;
mod of_job;
mod page;
mod record;
mod report;
mod sidecar;
mod stills;
mod task;
mod volume;

pub(crate) use film::{Film, FilmPart};
pub(crate) use kept::{Kept, keep};
#[cfg(test)]
pub(crate) use look::Names;
pub(crate) use look::{Look, free_name, look};
pub(crate) use of_job::{JobFiles, VideoFiles};
pub(crate) use page::{Stands, page};
#[cfg(test)]
pub(crate) use record::print;
pub(crate) use record::{Content, Fate, KeptExcerpt, Print, Written, fate, state};
pub(crate) use report::{ReportError, standing_reports, write_report};
pub(crate) use sidecar::Origin;
pub(crate) use stills::{Posters, Stills, shown};
pub(crate) use task::{Files, Task, WriteError};
pub(crate) use volume::Volume;
