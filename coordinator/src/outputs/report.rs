//! The report of a whole job: `report.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::jobs::{JobSummary, VideoStatus};
use crate::requests::{Effort, JobReport, StoredWeights, WorkerStatus};

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
    /// The machines of those workers that are known now.
    pub machines: Vec<Machine>,
    /// Every video.
    pub results: Vec<VideoStatus>,
}

/// What a worker computed on, and with.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The worker's name.
    pub name: String,
    /// Its device.
    pub device: String,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// How the weights of its roles are stored.
    pub weights: Vec<StoredWeights>,
}

impl From<WorkerStatus> for Machine {
    fn from(worker: WorkerStatus) -> Self {
        let WorkerStatus { name, device, memory_bytes, weights, .. } = worker;
        Self { name, device, memory_bytes, weights }
    }
}

impl From<JobReport> for Report {
    fn from(report: JobReport) -> Self {
        let JobReport { job, wall_seconds, videos, stages, workers, machines, .. } = report;
        let stages = stages.into_iter().map(|(stage, effort)| (stage.name(), effort)).collect();
        let machines = machines.into_iter().map(Into::into).collect();
        Self { job, wall_seconds, stages, workers, machines, results: videos }
    }
}
