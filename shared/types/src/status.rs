//! Where jobs and videos stand, as people and programs are told: the one form of it that rows, the farm API, progress,
//! `report.json` and `--json` share. Its JSON is documented in `deploy/README.md` and only ever grows: scripts rely on
//! every field. What is not known is `null`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{About, CacheSettings, Decode, JobId, LoadProgress, LoraRef, Nag, Stage, Swept, VideoRequest};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Being rendered, or waiting for workers.
    Active,
    /// Nothing more of it is started.
    Paused,
    /// Every video has ended, at least one with its files in place.
    Done,
    /// Every video has ended, none with files in place, at least one with an error.
    Failed,
    /// Every video was given up by an operator.
    Cancelled,
    /// A state of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where a video stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VideoState {
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
    /// A state of a later version.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A job's line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSummary {
    /// Id of the job.
    pub job: JobId,
    /// Name of the job.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Higher goes first.
    pub priority: u32,
    /// Where it stands.
    pub state: JobState,
    /// Videos in all.
    pub videos: u32,
    /// Videos whose files are in place.
    pub done: u32,
    /// Videos given up with an error.
    pub failed: u32,
    /// Videos given up by an operator.
    pub cancelled: u32,
    /// Videos that a worker computes, or whose files are being written.
    pub running: u32,
    /// What it cannot go on without.
    pub waiting_for: Option<String>,
    /// Why its report could not be written, of a job that has ended.
    pub unreported: Option<String>,
    /// When it was submitted, in UTC as RFC 3339 has it.
    pub submitted: Option<String>,
    /// When its last video ended, likewise.
    pub ended: Option<String>,
    /// Where its report is, or will be when it has ended, on the coordinator's machine.
    pub report: Option<String>,
    /// What people say of it.
    #[serde(flatten)]
    pub about: About,
}

/// A video's line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VideoStatus {
    /// Place in the manifest, from 0.
    pub index: u32,
    /// Where it stands.
    pub state: VideoState,
    /// The stage it is in; absent before the first and after the last.
    pub stage: Option<Stage>,
    /// Denoising steps that have run.
    pub steps_done: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// How far the loading of the weights is that the worker needs first.
    pub loading: Option<LoadProgress>,
    /// Seconds of the last step.
    pub seconds_per_step: Option<f64>,
    /// Name of the worker that computes it.
    pub worker: Option<String>,
    /// Where its files go below the output directory, without extension.
    pub output: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Files in place, on the coordinator's machine.
    pub files: Vec<String>,
    /// The quality gate's verdict: `ok`, or what it looks like.
    pub verdict: Option<String>,
    /// What was asked for.
    pub prompt: String,
    /// Seconds that workers spent on it, when it is done.
    pub seconds: Option<f64>,
    /// Its step cache with every setting, when its model is known.
    pub cache: Option<CacheSettings>,
    /// Its normalized attention guidance, likewise.
    #[serde(default)]
    pub nag: Option<Nag>,
    /// What makes frames of its latents.
    #[serde(default)]
    pub decode: Decode,
    /// Its LoRA files, in the order in which they are added, likewise.
    pub loras: Vec<LoraRef>,
    /// What people should know of it though nothing failed.
    pub notes: Vec<String>,
    /// When a worker first began to compute it, in UTC as RFC 3339 has it.
    #[serde(default)]
    pub started: Option<String>,
    /// When it ended, likewise.
    #[serde(default)]
    pub ended: Option<String>,
    /// When its last step will be done if all take as long as the latest one, likewise.
    #[serde(default)]
    pub eta: Option<String>,
    /// What `sweep` and `zip` of the manifest say for it, by name.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub swept: Swept,
    /// What the manifest calls it.
    #[serde(default)]
    pub name: Option<String>,
    /// The video that it starts from a frame of, while that is not done.
    #[serde(default)]
    pub waiting_for: Option<String>,
}

/// A job with its videos.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStatus {
    /// Summary of the job.
    pub job: JobSummary,
    /// Its videos' lines; of news, of those that changed.
    pub videos: Vec<Arc<VideoStatus>>,
    /// Seconds until its last file, by the workers of now; absent when that cannot be told.
    pub seconds_left: Option<f64>,
    /// When that will be, in UTC as RFC 3339 has it.
    pub eta: Option<String>,
}

impl JobState {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            JobState::Active => "active",
            JobState::Paused => "paused",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
            JobState::Unknown => "unknown",
        }
    }

    /// Nothing more happens to it by itself.
    pub const fn is_end(self) -> bool {
        matches!(self, JobState::Done | JobState::Failed | JobState::Cancelled)
    }
}

impl VideoState {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            VideoState::Waiting => "waiting",
            VideoState::Running => "running",
            VideoState::Writing => "writing",
            VideoState::Done => "done",
            VideoState::Failed => "failed",
            VideoState::Cancelled => "cancelled",
            VideoState::Unknown => "unknown",
        }
    }

    /// Nothing more happens to it by itself.
    pub const fn is_end(self) -> bool {
        matches!(self, VideoState::Done | VideoState::Failed | VideoState::Cancelled)
    }
}

impl VideoStatus {
    /// The line of a video that nothing has happened to.
    pub fn new(index: u32, request: &VideoRequest) -> Self {
        Self {
            index,
            state: VideoState::Waiting,
            steps: request.steps.unwrap_or(0),
            output: request.output.clone(),
            prompt: request.prompt.clone(),
            swept: request.swept.clone(),
            name: request.name.clone(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EffortLine, FileState, JobReport, LogLevel, LogLine, LostFile, Machine, WorkerStatus};

    #[test]
    fn a_state_is_called_alike_everywhere_and_a_new_one_is_unknown() {
        use JobState as Job;
        for state in [Job::Active, Job::Paused, Job::Done, Job::Failed, Job::Cancelled, Job::Unknown] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(serde_json::from_value::<Job>(state.name().into()).unwrap(), state);
        }
        use VideoState as Video;
        for state in [Video::Waiting, Video::Running, Video::Writing, Video::Done, Video::Failed, Video::Cancelled] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            assert_eq!(serde_json::from_value::<Video>(state.name().into()).unwrap(), state);
        }
        assert_eq!(serde_json::from_str::<Video>("\"dreaming\"").unwrap(), Video::Unknown);
        assert_eq!(serde_json::from_str::<Job>("\"dreaming\"").unwrap(), Job::Unknown);
    }

    fn keys(shape: impl Serialize) -> String {
        let value = serde_json::to_value(shape).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    }

    /// Scripts rely on these names, and the guide tells them.
    #[test]
    fn the_guide_lists_every_field() {
        let guide = include_str!("../../../deploy/README.md");
        let line = LogLine { at: None, level: LogLevel::Info, text: String::new() };
        let lost = LostFile { video: 0, path: String::new(), state: FileState::Missing, replaced_by: None };
        for (name, keys) in [
            ("JOB", keys(JobSummary::default())),
            ("VIDEO", keys(VideoStatus::default())),
            ("WORKER", keys(WorkerStatus::default())),
            ("EFFORT", keys(EffortLine::default())),
            ("MACHINE", keys(Machine::default())),
            ("LOST", keys(lost)),
            ("LINE", keys(line)),
        ] {
            assert!(guide.contains(&format!("{name}: `{keys}`")), "the guide does not say {name}: `{keys}`");
        }
        assert_eq!(keys(JobStatus::default()), "job videos seconds_left eta");
        let report = keys(JobReport::default());
        let fields =
            "job output_dir wall_seconds render_seconds bottleneck stages roles workers videos machines lost forecast";
        assert_eq!(report, fields);
        let quoted: Vec<_> = fields.split(' ').map(|field| format!("\"{field}\"")).collect();
        let line = guide.lines().find(|line| line.starts_with("| `report JOB`")).unwrap();
        assert!(quoted.iter().all(|field| line.contains(field)), "the guide does not say {fields}: {line}");
    }
}
