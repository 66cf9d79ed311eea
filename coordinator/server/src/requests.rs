//! Requests to the driver in domain types, and its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use wanfarm_client::{HeldModel, JobVerb, Submitted, WorkerVerb};
use wanfarm_manifest::Submission;
use wanfarm_manifest::first_frame::Image;
use wanfarm_scheduler::Rooms;
use wanfarm_types::{
    About, BadAbout, Digest, GrantId, JobId, JobReport, JobStatus, JobSummary, KeyId, ModelInfo, Rights, Role, Stage,
    VideoId, VideoRequest, VideoStatus, WebhookId, WorkerId, WorkerStatus,
};

use crate::access::GrantRow;
use crate::estimate::{Workforce, Workload};
use crate::outputs::{JobFiles, Look};
use crate::preview::Shown;
use crate::store::WebhookRow;

/// A request, with the channel for its answer.
#[derive(Debug)]
pub enum Request {
    /// Which of these files the coordinator lacks.
    MissingFiles {
        /// By digest.
        files: Vec<Digest>,
        reply: oneshot::Sender<Vec<Digest>>,
    },
    /// An image or a clip whose file is in the durable store.
    ImageStored {
        image: Image,
        /// True when it is recorded; false: it is just being removed, so that it has to be given again.
        reply: oneshot::Sender<bool>,
    },
    /// A LoRA file that is in the durable store.
    LoraStored {
        lora: Digest,
        /// When it is there to stay; false: it is just being removed, so that it has to be given again.
        reply: oneshot::Sender<bool>,
    },
    /// Queue a job.
    Submit {
        submission: Submission,
        about: About,
        /// Digest of what the client asked for.
        asked: Digest,
        /// Why the model cannot render some of its videos, if it was known.
        unfit: Option<String>,
        /// What exists at its paths.
        places: Places,
        /// Who asks.
        by: String,
        reply: oneshot::Sender<Result<Submitted, RequestError>>,
    },
    /// Settle a job's names without queueing it.
    Settle {
        submission: Submission,
        /// What exists at its paths.
        places: Places,
        reply: oneshot::Sender<Result<Settled, RequestError>>,
    },
    /// Changes of a job.
    Changes {
        job: JobId,
        /// After which version; 0 for everything.
        since: u64,
        /// The news.
        reply: oneshot::Sender<Result<Changes, RequestError>>,
    },
    /// What has changed of anything.
    News {
        /// After which version of the jobs; `None`: no videos, and the lines of all jobs.
        since: Option<u64>,
        reply: oneshot::Sender<News>,
    },
    /// Why nothing can be recorded now, if so.
    StoreObstacle { reply: oneshot::Sender<Option<String>> },
    /// A model and the workers that serve it.
    Farm {
        model: String,
        /// Images that the question is about.
        images: Vec<Digest>,
        reply: oneshot::Sender<Farm>,
    },
    /// Every model that is known.
    Models { reply: oneshot::Sender<Vec<ModelInfo>> },
    /// The files of models that connected workers have.
    HeldModels { reply: oneshot::Sender<Vec<HeldModel>> },
    /// The remaining work of a job.
    Remaining { job: JobId, reply: oneshot::Sender<Result<Remaining, RequestError>> },
    /// This is forecast of a job that is being rendered; noted if nothing was before.
    Forecast {
        job: JobId,
        /// Seconds to its last file.
        seconds: f64,
        /// When it is recorded.
        reply: oneshot::Sender<()>,
    },
    /// The report of a job so far.
    Report { job: JobId, reply: oneshot::Sender<Result<Report, RequestError>> },
    /// The files of a job's finished videos.
    Files {
        job: JobId,
        /// Only this video, if given.
        video: Option<u32>,
        reply: oneshot::Sender<Result<JobFiles, RequestError>>,
    },
    /// Every job's line.
    Jobs {
        /// The lines.
        reply: oneshot::Sender<Vec<JobSummary>>,
    },
    /// Figures of the moment.
    Figures { reply: oneshot::Sender<Figures> },
    /// Every worker's line.
    Workers {
        /// The lines.
        reply: oneshot::Sender<Vec<WorkerStatus>>,
    },
    /// The newest state of a video that has not ended, by its place in the manifest; `None` while none is here.
    Shown { job: JobId, video: u32, reply: oneshot::Sender<Result<Option<Shown>, RequestError>> },
    /// What was asked for with some videos of a job, by their places in the manifest, as a job of its own.
    Again { job: JobId, videos: Vec<u32>, reply: oneshot::Sender<Result<(Submission, About), RequestError>> },
    /// Steer a job or one of its videos.
    ControlJob {
        job: JobId,
        /// One video of it, by its place in the manifest; `None`: all.
        video: Option<u32>,
        verb: JobVerb,
        /// Who asks.
        by: String,
        /// Why it could not be done, on error.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Say something else of a job.
    DescribeJob {
        job: JobId,
        change: AboutChange,
        /// Who asks.
        by: String,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Who is told of what happens.
    Webhooks { reply: oneshot::Sender<Vec<WebhookRow>> },
    /// Tell somebody of what happens from now on.
    AddWebhook {
        webhook: WebhookRow,
        /// Who asks.
        by: String,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Tell somebody nothing more.
    RemoveWebhook {
        webhook: WebhookId,
        /// Who asks; `None`: the target itself.
        by: Option<String>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Take a key into the farm, by an invitation.
    Enrol {
        key: KeyId,
        /// The digest of the token that is shown.
        token: Option<Digest>,
        /// What the member is called.
        name: String,
        /// Who asks.
        by: String,
        reply: oneshot::Sender<Result<GrantRow, RequestError>>,
    },
    /// Take a key into the farm, as whoever runs the coordinator says.
    Admit { key: KeyId, name: String, rights: Rights, reply: oneshot::Sender<Result<GrantRow, RequestError>> },
    /// Add a token. Its id is not drawn yet.
    Grant {
        grant: GrantRow,
        /// Who asks.
        by: String,
        reply: oneshot::Sender<Result<GrantRow, RequestError>>,
    },
    /// Who may do what.
    Grants { reply: oneshot::Sender<Vec<GrantRow>> },
    /// Have nobody do anything by this grant any more.
    Revoke {
        id: GrantId,
        /// Who asks.
        by: String,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Somebody needs not be told any more of what happened until this event.
    WebhookTold { webhook: WebhookId, event: u64, reply: oneshot::Sender<()> },
    /// Steer a worker.
    ControlWorker {
        worker: WorkerId,
        verb: WorkerVerb,
        /// Who asks.
        by: String,
        /// Why it could not be done, on error.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
}

/// What is said of a job from now on. What is absent stays as it was; what is `Some(None)` is said no more.
#[derive(Debug, Clone, Default)]
pub struct AboutChange {
    /// Whose it is.
    pub owner: Option<Option<String>>,
    /// What there is to say of it.
    pub note: Option<Option<String>>,
    /// Those that are named; the others stay.
    pub labels: BTreeMap<String, Option<String>>,
}

impl AboutChange {
    /// What is said after it.
    pub fn apply(self, about: &About) -> About {
        let mut about = about.clone();
        if let Some(owner) = self.owner {
            about.owner = owner;
        }
        if let Some(note) = self.note {
            about.note = note;
        }
        for (name, value) in self.labels {
            match value {
                Some(value) => drop(about.labels.insert(name, value)),
                None => drop(about.labels.remove(&name)),
            }
        }
        about
    }
}

/// What exists at the paths of a submission.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// One for each video.
    pub looks: Vec<Look>,
    /// Names that its videos have, had, or may have.
    pub names: BTreeSet<String>,
    /// Names that the job's report cannot have, in lower case.
    pub reports: BTreeSet<String>,
    /// Whether the report goes to `report.json`, where `run` keeps the last one.
    pub last_report: bool,
}

/// A submission whose names are settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The videos to be rendered, under their final names.
    pub videos: Vec<VideoRequest>,
    /// How many of them got a new name.
    pub renamed: u32,
    /// How many were left out, because they stand there whole.
    pub left_out: u32,
}

/// A video whose name is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstruction {
    /// Its place in the manifest.
    pub index: u32,
    /// The path and its holder, in words.
    pub why: String,
}

/// A model and the workers that serve it now.
#[derive(Debug, Default)]
pub struct Farm {
    /// The model; `None` until a worker has announced it.
    pub info: Option<ModelInfo>,
    pub force: Workforce,
    /// The roles that the model needs.
    pub roles: Vec<ServedRole>,
    /// The memory of all workers that are known to serve it, those that are away among them.
    pub rooms: Rooms,
    /// The images asked about, as far as they were given.
    pub images: BTreeMap<Digest, Image>,
    /// What a job would wait for; empty when nothing is missing.
    pub waiting_for: String,
}

/// A role and the workers that can be given work of it now.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedRole {
    pub role: Role,
    /// How many there are.
    pub workers: u32,
    /// How many of them have its weights in memory.
    pub holders: u32,
    /// The least memory of their machines, in bytes.
    pub least_memory: Option<u64>,
    /// Seconds after which the first of the others has loaded them.
    pub load_seconds: Option<f64>,
}

impl ServedRole {
    /// A role that nobody serves yet.
    pub fn new(role: Role) -> Self {
        Self { role, workers: 0, holders: 0, least_memory: None, load_seconds: None }
    }
}

/// The remaining work of a job, and the workers for it.
#[derive(Debug)]
pub struct Remaining {
    /// How many videos it has.
    pub videos: u32,
    /// Its model and the workers.
    pub farm: Farm,
    /// The rest of it, and of the jobs for the same model that go before it or beside it.
    pub work: Workload,
}

/// The report of a job; final once the job has ended.
#[derive(Debug)]
pub struct Report {
    /// All but the files that are lost.
    pub report: JobReport,
    /// Where it is written to when the job has ended, below the output directory.
    pub place: String,
    /// Its files as they were written.
    pub files: JobFiles,
}

/// News of a job.
#[derive(Debug)]
pub struct Changes {
    /// Its line, and the lines of videos that changed.
    pub news: JobStatus,
    /// The version to ask from next time; the same as long as nothing of the job changes.
    pub version: u64,
}

/// Figures of the moment that nobody reads but who watches over time.
#[derive(Debug, Default)]
pub struct Figures {
    /// Items of each stage that are ready and that no worker has.
    pub queue: Vec<(Stage, usize)>,
    /// Seconds that workers have computed since the coordinator was started, by their names.
    pub busy: BTreeMap<String, f64>,
}

/// News of everything.
#[derive(Debug)]
pub struct News {
    /// The version to ask from next time.
    pub version: u64,
    /// Every job there is.
    pub known: BTreeSet<JobId>,
    /// The lines of jobs that have not ended, and of those that have changed.
    pub jobs: Vec<JobSummary>,
    /// The lines of videos that have changed, by job.
    pub videos: Vec<(JobId, Vec<Arc<VideoStatus>>)>,
    /// Every worker's line.
    pub workers: Vec<WorkerStatus>,
}

/// A request about something that is not there, or that is not as it would have to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A video starts from an image or a clip that was not given.
    #[error("the coordinator has no image and no clip {0}; give it with PutFile before the job that names it")]
    NoSuchImage(Digest),
    /// A video needs a LoRA file that was not given.
    #[error("the coordinator does not have the LoRA {0}; give it with PutFile before the job that names it")]
    NoSuchLora(Digest),
    /// No such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// No such video.
    #[error("job {} has no video {}: it has {videos}, numbered from 0", .id.job, .id.index)]
    NoSuchVideo {
        id: VideoId,
        /// How many the job has.
        videos: usize,
    },
    /// A video that is asked for again without the one that it needs a frame of, of which nothing is there.
    #[error("video {index} needs a frame of {other}, which is not there; ask for that one as well")]
    Needs {
        /// Its place in the manifest.
        index: u32,
        /// What the other is called.
        other: String,
    },
    /// Videos of a submission that its model cannot render.
    #[error("{0}")]
    Unfit(String),
    /// A video that its model cannot render, whatever is tried.
    #[error("video {0} was refused for its settings, so no try can help; change the manifest and submit it anew")]
    NeverPlanned(VideoId),
    /// Pausing stops a job as a whole.
    #[error(
        "a single video cannot be paused, resumed or forgotten; pause job {}, or cancel the video and retry it later", .0.job
    )]
    OneVideo(VideoId),
    /// The job's model is not known yet, so nothing of it runs or could.
    #[error("nothing of job {0} can run yet: it waits for {1}; cancel it, or start such a worker")]
    Waits(JobId, String),
    /// Names of its videos are taken.
    #[error("{}", taken_words(.0, *.1))]
    Taken(Vec<Obstruction>, usize),
    /// Something that cannot be said of a job.
    #[error("{0}")]
    About(#[from] BadAbout),
    /// Every video of the job has ended.
    #[error("job {0} has ended; retry it to have failed and cancelled videos tried again")]
    Ended(JobId),
    /// The job has not ended.
    #[error("job {0} has not ended; cancel it first, or forget it with --cancel")]
    NotEnded(JobId),
    /// Trying again would change nothing.
    #[error("nothing of job {0} has failed or was cancelled, so there is nothing to try again")]
    NothingToRetry(JobId),
    /// Trying again would change nothing.
    #[error("video {0} has neither failed nor was it cancelled, so there is nothing to try again")]
    NotRetriable(VideoId),
    /// A video of a job that ended before its model was known.
    #[error("job {} was cancelled before its model was known; retry it as a whole", .0.job)]
    NotPlanned(VideoId),
    /// Its model still cannot render any of it.
    #[error(
        "every video of job {0} was refused for its settings, again: `coordinator report {0}` says why; change the manifest and submit it anew"
    )]
    RefusedAgain(JobId),
    /// Another submission has this key.
    #[error(
        "job {job} ({name}) was submitted with the key {key:?}, and is another one; submit this one with another key, or forget job {job}"
    )]
    KeyTaken {
        /// The key.
        key: String,
        job: JobId,
        name: String,
    },
    /// A worker is there, or may still come back to its work.
    #[error("worker {name} is {state}; only one that is gone can be forgotten")]
    WorkerLives { name: String, state: &'static str },
    /// A worker is to do what it does not serve.
    #[error("worker {name} does not serve {role}; it serves {}", role_names(.served))]
    NotServed { name: String, role: Role, served: Vec<Role> },
    /// The store cannot take rows now.
    #[error("nothing of this was taken in: {0}")]
    Full(String),
    /// No such worker.
    #[error("there is no worker {0}")]
    NoSuchWorker(WorkerId),
    /// No such webhook.
    #[error("there is no webhook {0}")]
    NoSuchWebhook(WebhookId),
    /// As many as there may be.
    #[error("{MAX_WEBHOOKS} webhooks are told of what happens already; remove one first")]
    TooManyWebhooks,
    /// A key that nobody knows came with no token, or with one that opens nothing.
    #[error(
        "this token opens nothing: it was used, has ended or was revoked; ask an operator for another, which \
         `coordinator access grant` makes"
    )]
    NotInvited,
    /// No such grant.
    #[error("there is no grant {0}; `coordinator access list` shows them")]
    NoSuchGrant(GrantId),
    /// There are as many grants as there may be.
    #[error("{MAX_GRANTS} keys and tokens are known already; revoke some first")]
    TooManyGrants,
}

/// Keys and tokens at the same time.
pub(crate) const MAX_GRANTS: usize = 10_000;

/// Webhooks at the same time.
pub(crate) const MAX_WEBHOOKS: usize = 16;

fn role_names(roles: &[Role]) -> String {
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")
}

/// Taken names that are told one by one.
const MAX_TOLD: usize = 10;

fn taken_words(taken: &[Obstruction], videos: usize) -> String {
    let mut words = format!("{} of {videos} videos have names that are taken:", taken.len());
    for Obstruction { index, why } in taken.iter().take(MAX_TOLD) {
        words += &format!("\n  video {index}: {why}");
    }
    if taken.len() > MAX_TOLD {
        words += &format!("\n  … and {} more", taken.len() - MAX_TOLD);
    }
    words
        + "\nnothing is queued; --new-name gives these videos names that are free, --skip-existing leaves out those that \
             stand there whole, --overwrite replaces what stands there"
}
