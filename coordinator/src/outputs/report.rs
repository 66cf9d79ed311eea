//! The report of a whole job: `report.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::jobs::{JobSummary, VideoStatus};
use crate::requests::{Effort, JobReport};

/// What a job came to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The job's line.
    #[serde(flatten)]
    pub job: JobSummary,
    /// Seconds from submission to the last file.
    pub wall_seconds: f64,
    /// Where the time went, by stage.
    pub stages: BTreeMap<&'static str, Effort>,
    /// Where the time went, by worker.
    pub workers: BTreeMap<String, Effort>,
    /// Every video.
    pub results: Vec<VideoStatus>,
}

impl From<JobReport> for Report {
    fn from(report: JobReport) -> Self {
        let JobReport { job, wall_seconds, videos, stages, workers, .. } = report;
        let stages = stages.into_iter().map(|(stage, effort)| (stage.name(), effort)).collect();
        Self { job, wall_seconds, stages, workers, results: videos }
    }
}
