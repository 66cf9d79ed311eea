//! The rows. The comment of each variant names its key; a row of a known key replaces the one before it.
//!
//! Rows outlive the version that wrote them. All rows of a database are of one format, whose number it carries
//! (`user_version`). A change of what a row holds, in columns or in the JSON of one, adds a step to
//! `sqlite/migrations.rs` that brings every row of the format before to the new one; it runs once, as one transaction, when
//! the database is opened. A field that is only added, and has a default, needs none. A database of a later format is
//! refused.
//!
//! Deliberately not here: what only the moment shows, such as who is connected and which step is running.

use std::path::PathBuf;
use std::sync::Arc;

use wanfarm_manifest::Submission;
use wanfarm_manifest::first_frame::Image;
use wanfarm_scheduler::Change;
use wanfarm_types::{
    About, AttemptId, Digest, EventKind, FarmEvent, GrantId, JobId, ModelFile, ModelInfo, Role, VideoId, VideoSpec,
    WebhookId, WorkerId,
};

use crate::access::GrantRow;
use crate::outputs::{KeptExcerpt, Written};
use crate::times::{Moment, rfc3339, wall_clock};
use crate::totals::Totals;

/// One row. Videos are named by their place in the manifest, except in [`Row::Scheduler`], which counts those planned.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// A model that a worker has announced, key `info.name`.
    Model(ModelInfo),
    /// A model that no job or worker names: removes the row of this name, and its files.
    ModelForgotten(String),
    /// The files behind a role of a model, key (`model`, `role`, `weights`).
    Weights {
        /// The model's name.
        model: String,
        /// The role.
        role: Role,
        /// One digest for all of them.
        weights: Digest,
        /// The files.
        files: Vec<ModelFile>,
    },
    /// A first frame whose file is in the artifact directory, key `digest`.
    Image(Image),
    /// A first frame that no job starts from any more: removes the row of key `digest`.
    ImageForgotten(Digest),
    /// Name and device of a worker, key `worker`.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// Name of the worker.
        name: String,
        /// Device of the worker.
        device: String,
        /// When it was last known to be there, to a day, by the farm's clock.
        seen: f64,
    },
    /// A worker that no job names: removes the row of key `worker`.
    WorkerForgotten(WorkerId),
    /// What people say of a worker, key `worker`; `None` removes it.
    WorkerNote {
        /// The worker.
        worker: WorkerId,
        /// All of it.
        note: Option<String>,
    },
    /// A submission, key `id`. It never changes: what is said of a job later is in rows of their own.
    Job(JobRow),
    /// What became of a submission when its model was known, key `job`: for each video its settings, or why there are
    /// none. Comes before the plan of the same job, which counts the videos that have settings.
    Resolved {
        /// The job.
        job: JobId,
        /// In manifest order.
        videos: Vec<Result<VideoSpec, String>>,
    },
    /// A job that ended before anything of it was planned is to wait for its model again: removes the rows `Resolved`,
    /// `Suspended`, `Ended`, `Reported` and `Change::JobPhase` of key `job`. Refused of a job that has a plan.
    Requeued(JobId),
    /// Why the coordinator itself has paused a job; it takes it up again by itself. Key `job`; `None` removes it.
    Suspended {
        /// The job.
        job: JobId,
        /// The reason; `None`: it is no longer suspended.
        reason: Option<String>,
    },
    /// The files of a video, key `video`. Recorded when they are whole and before the first is put in its place, so that
    /// whatever stands there after a kill is known; a video that is done has them all in place.
    Outputs {
        /// The video, by its place in the manifest.
        video: VideoId,
        /// Files and folders, the sidecar last.
        written: Arc<[Written]>,
        /// The quality gate's verdict.
        verdict: String,
        /// Seconds that workers have spent on it.
        seconds: f64,
        /// Its frames that others start from, whose images are in the artifact directory.
        frames: Arc<[KeptExcerpt]>,
    },
    /// Every video of a job has ended, key `job`; `None` removes it.
    Ended {
        /// The job.
        job: JobId,
        /// When, and where the time went until then.
        end: Option<Box<JobEnd>>,
    },
    /// The report of a job is in its place, key `job`; `None` removes it.
    Reported {
        /// The job.
        job: JobId,
        /// When, in seconds since 1970.
        at: Option<f64>,
    },
    /// Where the volume of an output folder was mounted when files were last written to it, key `folder`.
    Mount {
        /// The output folder.
        folder: PathBuf,
        /// The mount point.
        mount: PathBuf,
    },
    /// The computation of an attempt has begun, key `attempt`.
    Begun {
        /// The attempt.
        attempt: AttemptId,
        /// When.
        at: Moment,
        /// Seconds its item had waited.
        waited: f64,
    },
    /// What people say of a job, key `job`.
    About {
        /// The job.
        job: JobId,
        /// All of it.
        about: About,
    },
    /// What was forecast of a job when that could first be told, key `job`.
    Forecast {
        /// The job.
        job: JobId,
        /// When, in seconds since 1970.
        at: f64,
        /// Seconds from then to its last file.
        seconds: f64,
    },
    /// When a video was first begun and when it ended, key `video`.
    VideoTimes {
        /// The video, by its place in the manifest.
        video: VideoId,
        /// When a worker first began to compute it, in seconds since 1970.
        started: Option<f64>,
        /// When it ended, likewise; `None`: it has not, or is taken up again.
        ended: Option<f64>,
    },
    /// A target of webhooks, key `id`.
    Webhook(WebhookRow),
    /// A target that is told of nothing more: removes the row of key `id`.
    WebhookForgotten(WebhookId),
    /// Who may do what, key `id`.
    Grant(GrantRow),
    /// A grant that is none any more: removes the row of key `id`.
    GrantForgotten(GrantId),
    /// Something that happened, key `id`, in the transaction of the rows that it tells of. Never changed, and gone when
    /// 100,000 others have followed; not among the rows that are loaded.
    Event(EventRow),
    /// What the scheduler must find again; keys as in [`Change`].
    Scheduler(Change),
}

/// Events that are kept: the newest.
pub(crate) const MAX_EVENTS: u64 = 100_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventRow {
    /// Greater than that of every event before it.
    pub id: u64,
    /// When, in seconds since 1970.
    pub at: f64,
    /// What.
    pub kind: EventKind,
    /// Of which job, or of whose video.
    pub job: Option<JobId>,
    /// Of which video, by its place in the manifest.
    pub video: Option<u32>,
    /// Of which worker, or by which one.
    pub worker: Option<WorkerId>,
    /// What the worker is called, and else the job.
    pub name: Option<String>,
    /// Who asked for it.
    pub by: Option<String>,
    /// What was before.
    pub before: Option<String>,
    /// What has been since.
    pub after: Option<String>,
    /// Why, or what else there is to say.
    pub detail: Option<String>,
}

impl EventRow {
    /// As people and programs are told.
    pub fn told(&self) -> FarmEvent {
        let Self { id, at, kind, job, video, worker, name, by, before, after, detail } = self.clone();
        FarmEvent { id, at: rfc3339(at), kind, job, video, worker, name, by, before, after, detail }
    }
}

/// Who is told of what happens, and how far they are.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookRow {
    /// Names it.
    pub id: WebhookId,
    /// Where messages are sent.
    pub url: String,
    /// What they are signed with.
    pub secret: String,
    /// What is told.
    pub kinds: Vec<EventKind>,
    /// Since when, in seconds since 1970.
    pub created: f64,
    /// The last event that needs not be told any more.
    pub told: u64,
}

impl WebhookRow {
    /// Somebody new, who is told of what happens once the driver has taken them in.
    pub fn new(id: WebhookId, url: String, secret: String, kinds: Vec<EventKind>) -> Self {
        Self { id, url, secret, kinds, created: wall_clock(), told: 0 }
    }

    /// Scheme, host and port of where messages are sent: what may be told, as paths and queries of webhooks often are passwords.
    pub fn place(&self) -> &str {
        let host = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let end = self.url[host..].find(['/', '?', '#']).map_or(self.url.len(), |end| host + end);
        &self.url[..end]
    }
}

/// A job as it was submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Number of the job.
    pub id: JobId,
    /// What was asked for, under its final names. No two jobs have the same client's key, unless that is empty.
    pub submission: Submission,
    /// Digest of what the client asked for, before names were settled.
    pub asked: Digest,
    /// When.
    pub submitted: Moment,
    /// Its output directory, absolute.
    pub output: PathBuf,
    /// Where its report goes, below the output directory.
    pub report: String,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEnd {
    /// When.
    pub at: Moment,
    /// Where the time went until then. What still comes in of it later changes no report.
    pub totals: Totals,
}

impl Row {
    /// When it was written, of rows that tell.
    pub fn moment(&self) -> Option<Moment> {
        match self {
            Row::Job(job) => Some(job.submitted),
            Row::Begun { at, .. } => Some(*at),
            Row::Ended { end, .. } => end.as_ref().map(|end| end.at),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_webhook_neither_path_nor_query_is_told() {
        for (url, place) in [
            ("https://hooks.example:8443/services/T0/secret?x=/y", "https://hooks.example:8443"),
            ("https://hooks.example?token=/secret", "https://hooks.example"),
            ("https://hooks.example?token=secret", "https://hooks.example"),
            ("http://[::1]:9000", "http://[::1]:9000"),
        ] {
            let row = WebhookRow::new(WebhookId(uuid::Uuid::nil()), url.to_owned(), String::new(), Vec::new());
            assert_eq!(row.place(), place);
        }
    }
}
