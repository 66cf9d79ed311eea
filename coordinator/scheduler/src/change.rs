//! What must survive a crash, as plain rows: each change inserts or replaces one row (or removes it).
//! Deliberately not a log of everything: progress that only exists in a worker's memory is no row, so a restored
//! scheduler counts on durable tensors alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wanfarm_types::{
    AttemptId, Digest, Failure, Incarnation, JobId, Role, StepRange, StepTiming, TensorRef, VideoId, WorkItem, WorkerId,
};

use crate::{JobPlan, TextKey};

/// One row. The comment of each variant names its primary key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Job: its plan, key `plan.id`. Its state is `Active` and its videos are `Open` until rows say otherwise.
    JobAdded(JobPlan),
    /// Job: its state, key `job`.
    JobPhase {
        /// The job.
        job: JobId,
        /// The new state.
        state: JobPhase,
    },
    /// Job: its priority, key `job`, where it is no more that of its plan.
    JobPriority {
        /// The job.
        job: JobId,
        /// The new priority.
        priority: i32,
    },
    /// Job: the weights it is rendered with, key (`job`, `role`).
    WeightsPinned {
        /// The job.
        job: JobId,
        /// The role within the model.
        role: Role,
        /// Fingerprint of the weights; `None` removes the row.
        weights: Option<Digest>,
    },
    /// Job: remove every row of it: the job, its state and pins, its videos, the artifacts named after them, and the
    /// attempts whose item is of one of them. The greatest attempt number must stay known, for
    /// [`crate::Scheduler::restore`].
    JobForgotten(JobId),
    /// Video: its state, key `video`.
    VideoPhase {
        /// The video.
        video: VideoId,
        /// The new state.
        state: VideoPhase,
    },
    /// Artifact: the durable store has it, key `artifact`.
    ArtifactDurable {
        /// The artifact stored.
        artifact: ArtifactId,
        /// Its tensors, in order.
        tensors: Vec<TensorRef>,
    },
    /// Artifact: the durable store has an encoded text that no open video reads and that is kept for others; in place of
    /// the row of `ArtifactDurable` of the same text, and replaced by it when the text is read again.
    TextKept {
        /// The text.
        text: TextKey,
        /// Its tensors, in order.
        tensors: Vec<TensorRef>,
        /// Fingerprint of the weights of the encoder that made it.
        weights: Digest,
        /// The last job that read it.
        job: JobId,
    },
    /// Artifact: remove the row of key `artifact`.
    ArtifactForgotten(ArtifactId),
    /// Attempt: given out, key `attempt`.
    AttemptIssued {
        /// The fencing number.
        attempt: AttemptId,
        /// What to run.
        item: WorkItem,
        /// The text, for `encode_text`.
        text: Option<TextKey>,
        /// The worker it is assigned to.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
    },
    /// Attempt: over, key `attempt`; amends the row of `AttemptIssued`.
    AttemptEnded {
        /// The fencing number.
        attempt: AttemptId,
        /// How it ended.
        end: AttemptEnd,
        /// Steps that ran; empty for stages that do not denoise.
        steps: StepRange,
        /// As measured by the worker; for attempts without a final report, what its steps summed to.
        timing: StepTiming,
    },
    /// Worker: what operators and failures decided about it, key `worker`.
    WorkerState {
        /// The worker.
        worker: WorkerId,
        /// Display name.
        name: String,
        /// True after `Input::Drain`.
        draining: bool,
        /// After `Input::AssignRoles`, the roles that it is given work of.
        assigned: Option<BTreeSet<Role>>,
        /// The reason, while it is set aside.
        set_aside: Option<String>,
    },
    /// Worker: remove the row of `WorkerState` with this key.
    WorkerForgotten(WorkerId),
}

impl Change {
    /// The artifact that the durable store has by this row, and its tensors.
    pub fn durable(&self) -> Option<(ArtifactId, &[TensorRef])> {
        match self {
            Self::ArtifactDurable { artifact, tensors } => Some((*artifact, tensors)),
            Self::TextKept { text, tensors, .. } => Some((ArtifactId::Text(*text), tensors)),
            _ => None,
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    /// Being rendered, or waiting for workers.
    Active,
    /// Nothing new is started.
    Paused,
    /// Every video is done, failed or cancelled.
    Finished,
}

/// Where a video stands, as far as it must survive. How far an open video has come follows from its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoPhase {
    /// To be rendered.
    Open,
    /// Its files are written.
    Done,
    /// Given up with its last error.
    Failed(Failure),
    /// Given up by an operator.
    Cancelled,
}

impl VideoPhase {
    /// True when there is still something to do.
    pub fn is_open(&self) -> bool {
        matches!(self, VideoPhase::Open)
    }
}

/// A result that can be made durable, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactId {
    /// An encoded text.
    Text(TextKey),
    /// The image conditioning of a video.
    Image(VideoId),
    /// The state of a video after a step.
    Checkpoint {
        /// The video.
        video: VideoId,
        /// Steps that have run.
        steps_done: u32,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// With a result, of all or of fewer steps.
    Done,
    /// With an error.
    Failed(Failure),
    /// Given back before it had started.
    Revoked,
    /// Its worker died, or was silent for longer than the lease.
    Lost,
}
