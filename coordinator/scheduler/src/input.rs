//! Everything that can happen to the scheduler. Deliberately free of wire types and of time:
//! `now` is an argument of [`the scheduler`].
//!
//! What the scheduler relies on:
//! - Inputs of one connection arrive in the order the worker sent them, and none of an older connection arrives after
//!   the `WorkerJoined` of a newer one.
//! - A worker keeps every report until its attempt was answered by `Action::Ack` or `Action::Drop`, and sends
//!   unanswered ones again, in order, after it has re-attached. Doubled reports are harmless.
//! - Each `MakeDurable` and `WriteOutputs` is answered once, however late, also while the job is paused.
//!
//! A full disk: answer `WriteOutputs` with `OutputsHeld` and `MakeDurable` with `CopyFailed`, and feed `Pause` for the
//! job, in any order. Neither counts against a video. `Resume` takes the writing up again, from frames that are still
//! held, or by decoding anew. A `Commit` that cannot be written is another matter: the coordinator must stop.

use std::collections::BTreeSet;

use wanfarm_types::{
    AttemptId, Digest, Failure, Footprint, Incarnation, JobId, ModelRole, Report, Role, VideoId, WorkerId,
};

use crate::{ArtifactId, JobPlan};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A job was submitted. A second plan with a known id is ignored; an impossible one is answered by `RefuseJob`.
    JobAdded(JobPlan),
    /// Start nothing more of this job; running items stop after their current step and keep what they have.
    Pause(JobId),
    /// Undo `Pause`.
    Resume(JobId),
    /// From now on this job has this priority. What runs goes on; what is queued and running may have to give way as if
    /// the job had come with it.
    SetPriority(JobId, i32),
    /// Give up what has not finished yet. Running items stop after their current step.
    Cancel(Target),
    /// Try failed and cancelled videos again, from their newest usable state.
    Retry(Target),
    /// This finished job is forgotten: its state, rows and durable copies are removed, and its videos
    /// cannot be retried any more. Ignored for a job that has not finished.
    Forget(JobId),

    /// A worker said hello on a new connection: a first boot, a reboot, or the same boot re-attaching.
    WorkerJoined(WorkerHello),
    /// The worker is alive. Renews its lease; so does every report.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
    },
    /// The connection broke; the process may well live on. Its attempts stay leased until the lease runs out.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
    },
    /// The process is known to be gone, and its memory with it. Its attempts end at once.
    WorkerGone {
        /// The worker.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// True after a goodbye; false when it crashed, which counts against the video it was running.
        clean: bool,
    },
    /// Give this worker nothing more. Its present boot finishes the item it runs and is told to leave as soon as what
    /// only it holds is durable; a later boot stays, without work.
    Drain(WorkerId),
    /// Undo `Drain` and `Action::SetAside`.
    WorkerEnabled(WorkerId),
    /// Give this worker work of these roles only, of all that it serves; `None`: of all. What it runs of another role
    /// stops after its step, and goes on elsewhere.
    AssignRoles(WorkerId, Option<BTreeSet<Role>>),
    /// Forget a worker that is gone; nothing happens to one that is not.
    ForgetWorker(WorkerId),

    /// A worker reports on an attempt.
    Report {
        /// The worker.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// On which attempt.
        attempt: AttemptId,
        /// The report.
        report: Report,
    },

    /// The coordinator's store has a durable copy: the answer to `Action::MakeDurable`.
    Durable(ArtifactId),
    /// The copy could not be made; it is asked for again after a pause while it is still needed.
    CopyFailed(ArtifactId),
    /// The result that was to be copied holds what no computation leaves, and its maker had to see that: the last answer to
    /// `Action::MakeDurable`. The maker gets nothing more until a person says so, and what it made there is made again.
    CopyUnsound {
        /// Which result.
        artifact: ArtifactId,
        /// Whose.
        maker: WorkerId,
        /// What is wrong with it, for people.
        reason: String,
    },
    /// All files of the video are in place: the answer to `Action::WriteOutputs`.
    OutputsWritten(VideoId),
    /// The files could not be written for a reason that lies with neither the video nor its frames, such as a full disk:
    /// another answer to `Action::WriteOutputs`. It counts as no try, and is asked again after a pause, if the job is
    /// active then.
    OutputsHeld(VideoId),
    /// The files could not be written: the last answer to `Action::WriteOutputs`. `Transient` is tried again after
    /// a pause, `InputsLost` (their holder does not have the frames) decodes again, the others fail the video.
    OutputsFailed {
        /// The video.
        video: VideoId,
        /// The failure.
        failure: Failure,
    },
}

/// What an operator's verb is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// All videos of a job.
    Job(JobId),
    /// One video.
    Video(VideoId),
}

/// A worker's hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerHello {
    /// Its persistent identity.
    pub worker: WorkerId,
    /// This boot. A hello with another incarnation proves that the one known before is dead.
    pub incarnation: Incarnation,
    /// Display name.
    pub name: String,
    /// What it can do.
    pub serves: Vec<Served>,
    /// Bytes of memory that weights and items may take together; `None`: it holds all that it serves.
    pub budget: Option<u64>,
    /// What it holds, where it has a budget.
    pub loaded: Vec<ModelRole>,
    /// "May I keep these?": attempts computing, queued, or finished with an unanswered report.
    /// Each one is kept, or answered by `Action::Drop`.
    pub running: Vec<AttemptId>,
    /// Answered attempts whose results it still keeps in memory. Each one is kept, or answered by `Action::Drop`.
    pub holding: Vec<AttemptId>,
}

/// One role a worker serves for one model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// The model's name.
    pub model: String,
    /// The role within the model.
    pub role: Role,
    /// Fingerprint of the weights behind it.
    pub weights: Digest,
    /// What it takes of the memory.
    pub footprint: Footprint,
}
