//! What came of a job and where the time went: printed by `report --json`, and written to `report.json` when the job has
//! ended. As in [`crate::status`], fields are only ever added.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{JobId, JobSummary, Role, VideoStatus};

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobReport {
    /// Summary of the job.
    pub job: JobSummary,
    /// Where its files lie, on the coordinator's machine.
    pub output_dir: String,
    /// Seconds from its submission to its last file, or to now.
    pub wall_seconds: f64,
    /// Seconds from its first computation to its last file, or to now; absent while there was none.
    pub render_seconds: Option<f64>,
    /// The role whose workers were busy for the largest part of that time.
    pub bottleneck: Option<String>,
    /// Where the time went, by stage.
    pub stages: Vec<EffortLine>,
    /// By role.
    pub roles: Vec<EffortLine>,
    /// By worker.
    pub workers: Vec<EffortLine>,
    /// Its videos' lines.
    pub videos: Vec<Arc<VideoStatus>>,
    /// The workers that took part.
    pub machines: Vec<Machine>,
    /// Files of finished videos that are not there as they were written, as far as their lengths tell; at most 1000.
    pub lost: Vec<LostFile>,
    /// What was forecast when that could first be told; absent while it could not.
    #[serde(default)]
    pub forecast: Option<Forecast>,
}

/// What was forecast of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// When, in UTC as RFC 3339 has it.
    pub at: Option<String>,
    /// Seconds from then to its last file, by the workers of then.
    pub seconds: f64,
}

/// What was done in a stage, by the workers of a role, or by a worker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EffortLine {
    /// The stage, the role or the worker.
    pub name: String,
    /// Workers that took part.
    pub workers: u64,
    /// The part of the job's rendering time for which these were computing, from 0 to 1, on average.
    pub busy: Option<f64>,
    /// What they did.
    #[serde(flatten)]
    pub effort: Effort,
}

/// Work that was done.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Effort {
    /// Items tried.
    pub attempts: u64,
    /// Of these: failed, given back, or lost with their worker.
    pub failed: u64,
    /// Denoising steps.
    pub steps: u64,
    /// Seconds of computing.
    pub seconds: f64,
    /// Seconds that items waited in the queue, summed over items: more than the clock shows where many waited at once.
    pub queue_seconds: f64,
    /// Seconds that free devices waited for inputs.
    pub input_wait_seconds: f64,
    /// Times that weights were loaded for an item.
    #[serde(default)]
    pub loads: u64,
    /// Seconds of that.
    #[serde(default)]
    pub load_seconds: f64,
    /// Passes that ran the transformer's blocks.
    pub forward_passes: u64,
    /// Passes that step caches stood in for.
    pub skipped: u64,
}

/// What a worker computed on, and with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Machine {
    /// The worker's name.
    pub name: String,
    /// Device of the worker.
    pub device: String,
    /// Main memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// How the weights of its roles are stored.
    pub weights: Vec<StoredWeights>,
}

/// How the weights of a role are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredWeights {
    /// Of which model.
    pub model: String,
    /// For which role.
    pub role: Role,
    /// As most of their numbers are: `bf16`, `q8_0`, `f8_e4m3`, …
    pub encoding: String,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// What a file of a finished video is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// As it was written.
    Whole,
    /// It holds other bytes.
    Damaged,
    /// It is not there.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// A later job has written to its place.
    Replaced,
    /// Something that a later version knows.
    #[serde(other)]
    Unknown,
}

/// A file of a finished video that is not there as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LostFile {
    /// Of which video.
    pub video: u32,
    /// Below the job's output directory, with `/`.
    pub path: String,
    /// What it is now.
    pub state: FileState,
    /// The job that has replaced it.
    pub replaced_by: Option<JobId>,
}

impl Effort {
    /// Adds what else was done.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.steps += other.steps;
        self.seconds += other.seconds;
        self.queue_seconds += other.queue_seconds;
        self.input_wait_seconds += other.input_wait_seconds;
        self.loads += other.loads;
        self.load_seconds += other.load_seconds;
        self.forward_passes += other.forward_passes;
        self.skipped += other.skipped;
    }
}

impl EffortLine {
    /// What `workers` did of a job that has been rendered for `render_seconds`.
    pub fn new(name: String, workers: u64, effort: Effort, render_seconds: Option<f64>) -> Self {
        let time = render_seconds.unwrap_or(0.0) * workers as f64;
        // What was under way when the job ended, or before a restart, may count for more than all of the time.
        let busy = (time > 0.0).then(|| (effort.seconds / time).min(1.0));
        Self { name, workers, busy, effort }
    }
}

/// The role whose workers were busy for the largest part of the time.
pub fn bottleneck(roles: &[EffortLine]) -> Option<String> {
    let busy = roles.iter().filter_map(|role| Some((role.busy.filter(|busy| *busy > 0.0)?, role)));
    busy.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, role)| role.name.clone())
}

impl FileState {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            FileState::Whole => "whole",
            FileState::Damaged => "damaged",
            FileState::Missing => "missing",
            FileState::Unreadable => "unreadable",
            FileState::Replaced => "replaced",
            FileState::Unknown => "unknown",
        }
    }
}

impl fmt::Display for LostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.replaced_by {
            Some(job) => write!(f, "{}: replaced by job {job}", self.path),
            None => write!(f, "{}: {}", self.path, self.state.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_is_the_role_whose_workers_were_busiest_not_the_one_most_items_waited_for() {
        let role = |name: &str, workers, seconds, queue_seconds| {
            let effort = Effort { seconds, queue_seconds, ..Effort::default() };
            EffortLine::new(name.to_owned(), workers, effort, Some(100.0))
        };
        let roles = [
            role("text-encoder", 1, 2.0, 4200.0),
            role("dit-high", 4, 300.0, 90.0),
            role("dit-low", 1, 90.0, 80.0),
            role("vae", 1, 120.0, 1.0),
        ];
        let busy: Vec<_> = roles.iter().map(|role| role.busy.unwrap()).collect();
        assert_eq!(busy, [0.02, 0.75, 0.9, 1.0]);
        assert_eq!(bottleneck(&roles).as_deref(), Some("vae"));
        assert_eq!(bottleneck(&[]), None);
        assert_eq!(EffortLine::new(String::new(), 1, Effort::default(), None).busy, None);
    }
}
