//! Everything the scheduler wants done. Who carries it out, and how, is elsewhere.
//!
//! What the scheduler requires of the driver:
//! - Actions are carried out in the order they are polled. A `Commit` must be on disk, as one transaction, before any
//!   later action leaves the coordinator; if it cannot be, the coordinator must stop.
//! - Messages to a worker whose connection is down are thrown away. Re-attachment settles what was missed.

use wanfarm_types::{
    AttemptId, Checkpoint, Digest, Failure, Incarnation, ItemInputs, JobId, ModelRole, Role, TensorRef, VideoId,
    WorkItem, WorkerId,
};

use crate::{ArtifactId, Change, PlanError, TextKey};

/// One thing to be done by the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write these rows in one transaction. At most one per input, and before all other actions of that input.
    Commit(Vec<Change>),

    /// To the worker: run this item, or hold it as the next one.
    Assign(Box<Assignment>),
    /// To the worker: return this item unless it has started. The answer is `Report::Revoked`, or nothing.
    Revoke {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// The attempt.
        attempt: AttemptId,
    },
    /// To the worker: finish the current step, then report `ItemDone` with the steps that ran.
    StopAfterStep {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// The attempt.
        attempt: AttemptId,
    },
    /// To the worker: the final report of this attempt is recorded. Forget the report, keep the tensors.
    Ack {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// The attempt.
        attempt: AttemptId,
    },
    /// To the worker: this attempt is no longer needed. Stop it, forget its reports, free its tensors.
    Drop {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// The attempt.
        attempt: AttemptId,
    },
    /// Tell the worker why it is refused in all of its roles, then close its connection.
    RefuseWorker {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// The reason, as told to the worker.
        refusal: Refusal,
    },
    /// To the worker: it is drained, and nothing that only it has is needed any more. End.
    Leave {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
    },
    /// Report that a worker gets no work of this role; its other roles are unaffected.
    RefuseRole {
        /// The worker addressed.
        worker: WorkerId,
        /// The reason, as told to the worker.
        refusal: Refusal,
    },
    /// Close the worker's connection: its lease ran out, so it has to say hello again if it lives.
    Disconnect {
        /// The worker addressed.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
    },
    /// Tell people that a worker gets no more work until `Input::WorkerEnabled`.
    SetAside {
        /// The worker addressed.
        worker: WorkerId,
        /// Why, in one line.
        reason: String,
    },

    /// Pull these tensors from the worker into the durable store. The answer is `Durable`, `CopyFailed` or `CopyUnsound`.
    MakeDurable {
        /// Under which name.
        artifact: ArtifactId,
        /// The tensors to copy.
        tensors: Vec<TensorRef>,
        /// Where it lies.
        holder: WorkerId,
    },
    /// Nothing refers to this artifact any more: delete the tensors that no other artifact lists.
    DeleteDurable(ArtifactId),
    /// Pull the frames and write the files of the video. The answer is `OutputsWritten` or `OutputsFailed`.
    WriteOutputs {
        /// The video.
        video: VideoId,
        /// Its decoded frames.
        frames: TensorRef,
        /// Where the frames lie.
        holder: WorkerId,
        /// The state they were decoded from; its first tensor is the final latents.
        checkpoint: Checkpoint,
    },

    /// The plan can never be carried out; nothing of it was taken in.
    RefuseJob {
        /// The job.
        job: JobId,
        /// What is wrong with the plan.
        error: PlanError,
    },
    /// Report that a video was failed; the rest of its job continues.
    VideoFailed {
        /// The video.
        video: VideoId,
        /// Its last error.
        failure: Failure,
    },
    /// Every video of the job is done, failed or cancelled.
    JobFinished(JobId),
}

/// One attempt, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The worker it is assigned to.
    pub worker: WorkerId,
    /// Which boot of it.
    pub incarnation: Incarnation,
    /// The fencing number.
    pub attempt: AttemptId,
    /// What to run. For `encode_text` the video is one of those that read the text.
    pub item: WorkItem,
    /// The text to encode; present exactly for `encode_text`.
    pub text: Option<TextKey>,
    /// What to start from.
    pub inputs: ItemInputs,
    /// Workers that hold input tensors. The coordinator's durable copy is the place to fall back to,
    /// and the only one for a tensor not listed.
    pub holders: Vec<(Digest, WorkerId)>,
    /// What stays in its memory beside the item's own role; all else goes before the item starts. Without meaning for a
    /// worker without a budget.
    pub keep: Vec<ModelRole>,
    /// True when the worker is busy: fetch the inputs now, start when the running item has ended.
    pub prefetch: bool,
}

/// Why a worker is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Results of an unfinished job were made with other weights; mixing them would change the pictures.
    #[error(
        "{role} of model {model} has weights {}, but job {job} is being rendered with {}; \
         copy the same model files to every worker, or wait until the job has finished",
        got.short(), expected.short()
    )]
    OtherWeights {
        /// The job that decided.
        job: JobId,
        /// Name of the model.
        model: String,
        /// The role within the model.
        role: Role,
        /// Fingerprint the job is rendered with.
        expected: Digest,
        /// Fingerprint of this worker.
        got: Digest,
    },
}
