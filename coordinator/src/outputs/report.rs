//! The report of a whole job: `report.json`.

use serde::Serialize;

use crate::jobs::{Job, JobSummary, VideoStatus};

/// What a job came to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The job's line.
    #[serde(flatten)]
    pub job: JobSummary,
    /// Seconds from submission to the last file.
    pub wall_seconds: f64,
    /// Every video.
    pub results: Vec<VideoStatus>,
}

impl Report {
    /// The report of a job that has ended.
    pub fn of(job: &Job) -> Self {
        Self { job: job.summary(), wall_seconds: job.wall_seconds(), results: job.videos().to_vec() }
    }
}
