//! Where workers stand, as people and programs are told. As in [`crate::status`], fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::{LoadProgress, ModelRole, Role, Stage, StoredWeights, VideoId, WorkerId};

/// A worker's line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerStatus {
    /// Identity of the worker.
    pub id: WorkerId,
    /// Display name.
    pub name: String,
    /// `idle`, `busy`, `draining`, `drained`, `set aside`, `refused`, `lost`, `gone` or `left (drained)`.
    pub state: String,
    /// Why, when there is more to say.
    pub detail: Option<String>,
    /// What it can do.
    pub roles: Vec<Role>,
    /// For which models.
    pub models: Vec<String>,
    /// Device it computes on.
    pub device: String,
    /// Main memory of its machine, in bytes.
    pub memory_bytes: Option<u64>,
    /// What it computes.
    pub running: Option<RunningItem>,
    /// Its measured speeds.
    pub paces: Vec<Pace>,
    /// How its weights are stored.
    pub weights: Vec<StoredWeights>,
    /// Where its tensors are read.
    pub address: Option<String>,
    /// Whether others can read them there, where that is known.
    pub reachable: Option<bool>,
    /// What its memory holds; absent for one that holds all it serves.
    pub memory: Option<WorkerMemory>,
    /// The roles that an operator wants it to be given work of; absent: all that it serves.
    pub assigned: Option<Vec<Role>>,
    /// The version of its program.
    pub version: Option<String>,
    /// What its machine calls itself.
    pub host: Option<String>,
    /// Since when the coordinator knows this process of it, in UTC as RFC 3339 has it.
    pub since: Option<String>,
    /// When its last message came; as `since`.
    pub last_seen: Option<String>,
    /// How much of the time between these two it computed, from 0 to 1.
    pub busy: Option<f64>,
    /// What people say of it.
    #[serde(default)]
    pub note: Option<String>,
}

/// The memory of a worker that holds what it is told to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerMemory {
    /// Bytes that weights and an item may take together.
    pub budget_bytes: u64,
    /// Bytes of the weights that it holds.
    pub weights_bytes: u64,
    /// The roles that it holds, or will when its next item begins.
    pub loaded: Vec<ModelRole>,
    /// What is being loaded.
    pub loading: Option<Loading>,
}

/// Weights on their way into memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Loading {
    /// Of which role.
    #[serde(flatten)]
    pub role: ModelRole,
    /// How far that is.
    #[serde(flatten)]
    pub progress: LoadProgress,
}

/// What a worker computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunningItem {
    /// Of which video, by its place in the manifest; in JSON as `JOB/INDEX`.
    #[serde(with = "crate::ids::as_text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "17/3"))]
    pub video: VideoId,
    /// Which stage; absent for one of a later version.
    pub stage: Option<Stage>,
    /// Steps of the video that have run.
    pub steps_done: u32,
    /// All its steps.
    pub steps: u32,
}

/// A measured speed, smoothed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pace {
    /// On this model.
    pub model: String,
    /// In this stage; absent for one of a later version.
    pub stage: Option<Stage>,
    /// Size of the videos it was measured on; 0 for texts.
    pub tokens: u64,
    /// Seconds per step; of stages without steps, per item.
    pub seconds: f64,
}

impl WorkerStatus {
    /// Without what changes with every message that comes.
    pub fn at_rest(&self) -> Self {
        Self { last_seen: None, busy: None, ..self.clone() }
    }

    /// Its process has ended, as far as is known.
    pub fn is_gone(&self) -> bool {
        ["gone", "left (drained)", "refused"].contains(&self.state.as_str())
    }
}
