//! What people are shown of jobs and videos.

use std::path::PathBuf;

use wanfarm_types::{CacheSettings, JobId, LoraRef, Stage, VideoRequest};

/// Where a video stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoPhase {
    /// Nothing of it runs now.
    Waiting,
    /// A worker computes it.
    Running,
    /// Its files are being written.
    Writing,
    /// Its files are in place.
    Done,
    /// Given up with an error.
    Failed,
    /// Given up by an operator.
    Cancelled,
}

/// Where a job stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// Nobody serves its model yet.
    WaitingForModel,
    /// Being rendered.
    Active,
    /// Paused by an operator.
    Paused,
    /// Every video has ended.
    Finished,
}

/// A video's line in a table.
#[derive(Debug, Clone)]
pub struct VideoStatus {
    /// Place in the job.
    pub index: u32,
    /// Where it stands.
    pub phase: VideoPhase,
    /// The stage it is in or waits for; absent before the first and after the last.
    pub stage: Option<Stage>,
    /// Denoising steps that have run.
    pub steps_done: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// Seconds of the last step.
    pub seconds_per_step: f64,
    /// Name of the worker that computes it.
    pub worker: String,
    /// Where its files go, without extension.
    pub output: String,
    /// Why it failed.
    pub error: String,
    /// Files that are in place.
    pub files: Vec<PathBuf>,
    /// Verdict of the quality gate.
    pub verdict: String,
    /// The prompt.
    pub label: String,
    /// Seconds that workers have spent on it, known when it is done.
    pub seconds: f64,
    /// Its step cache, known when its model is.
    pub cache: CacheSettings,
    /// Its LoRA files, likewise.
    pub loras: Vec<LoraRef>,
    /// What people should know of it though nothing failed: what of its texts is not read.
    pub notes: Vec<String>,
    /// Counts changes of all jobs; this line's last one.
    pub(super) version: u64,
}

/// A job's line in a table.
#[derive(Debug, Clone)]
pub struct JobSummary {
    /// Its number.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Its priority.
    pub priority: u32,
    /// Where it stands.
    pub phase: JobPhase,
    /// Videos in all.
    pub videos: u32,
    /// Videos whose files are in place.
    pub done: u32,
    /// Videos given up with an error.
    pub failed: u32,
    /// Videos given up by an operator.
    pub cancelled: u32,
    /// Videos that a worker computes or whose files are being written.
    pub running: u32,
    /// When it was submitted, in seconds since 1970.
    pub submitted: f64,
    /// When its last video ended, in seconds since 1970.
    pub ended: Option<f64>,
    /// Why there is no report of it though it has ended.
    pub unreported: Option<String>,
    /// Why the coordinator itself has paused it, if so; it goes on by itself.
    pub held: Option<String>,
    /// Where its report is, or will be when it has ended.
    pub report: PathBuf,
}

impl VideoStatus {
    /// The line of a video that nothing has happened to.
    pub(super) fn new(index: u32, request: &VideoRequest, version: u64) -> Self {
        Self {
            index,
            phase: VideoPhase::Waiting,
            stage: None,
            steps_done: 0,
            steps: request.steps.unwrap_or(0),
            seconds_per_step: 0.0,
            worker: String::new(),
            output: request.output.clone(),
            error: String::new(),
            files: Vec::new(),
            verdict: String::new(),
            label: request.prompt.clone(),
            seconds: 0.0,
            cache: CacheSettings::None,
            loras: Vec::new(),
            notes: Vec::new(),
            version,
        }
    }

    /// True when nothing more happens to it unless somebody asks for it.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, VideoPhase::Done | VideoPhase::Failed | VideoPhase::Cancelled)
    }
}
