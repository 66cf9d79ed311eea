//! What was tried on a worker, as people and programs are told. As in [`crate::status`], fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::{AttemptId, JobId, Stage, WorkerId};

/// One try of a piece of work on a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptLine {
    /// Greater than that of every attempt that was given out before it.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub id: AttemptId,
    /// Of a video of which job.
    pub job: JobId,
    /// Of which video, by its place in the manifest; of a text that several read, of the first.
    pub video: u32,
    /// Of which stage.
    pub stage: Stage,
    /// On which worker.
    pub worker: WorkerId,
    /// What the worker is called, if it is still known.
    pub name: Option<String>,
    /// The first denoising step that it ran; absent for other stages, and while it is out.
    pub first_step: Option<u32>,
    /// The last one, itself run.
    pub last_step: Option<u32>,
    /// When its computation began, in UTC as RFC 3339 has it; absent before that.
    pub begun: Option<String>,
    /// Seconds of computing; absent while it is out.
    pub seconds: Option<f64>,
    /// Seconds that its item was queued before that.
    pub queue_seconds: Option<f64>,
    /// Seconds that the worker, free by then, waited for its inputs before that.
    pub input_wait_seconds: Option<f64>,
    /// Seconds that weights were loaded for before that.
    pub load_seconds: Option<f64>,
    /// How it ended; absent while it is out.
    pub result: Option<AttemptResult>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// With its result.
    Done,
    /// With an error.
    Failed,
    /// Its work was taken back, before it began or after a step.
    Revoked,
    /// With its worker.
    Lost,
    /// In a way that a later version knows.
    #[serde(other)]
    Unknown,
}
