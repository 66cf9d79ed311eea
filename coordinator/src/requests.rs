//! What people and pipelines ask of the driver, in domain types, and what it answers.

use tokio::sync::oneshot;
use wanfarm_types::{Digest, JobId, VideoId, WorkerId};

use crate::images::Image;
use crate::jobs::{JobSummary, Submission, VideoStatus};
use crate::sessions::WorkerStatus;

/// A question or an order, with the way back.
#[derive(Debug)]
pub enum Request {
    /// Which of these images are still to be given.
    MissingImages {
        /// By digest of the file.
        images: Vec<Digest>,
        /// Those.
        reply: oneshot::Sender<Vec<Digest>>,
    },
    /// An image whose file is in the durable store.
    ImageStored {
        /// Which.
        image: Image,
        /// When it is on the books.
        reply: oneshot::Sender<()>,
    },
    /// Queue a job.
    Submit {
        /// What.
        submission: Submission,
        /// Its number.
        reply: oneshot::Sender<Result<JobId, RequestError>>,
    },
    /// What has changed in a job.
    Changes {
        /// Which.
        job: JobId,
        /// After which version; 0 for everything.
        since: u64,
        /// The news.
        reply: oneshot::Sender<Result<Changes, RequestError>>,
    },
    /// Every job's line.
    Jobs {
        /// The lines.
        reply: oneshot::Sender<Vec<JobSummary>>,
    },
    /// Every worker's line.
    Workers {
        /// The lines.
        reply: oneshot::Sender<Vec<WorkerStatus>>,
    },
    /// Steer a job or one of its videos.
    ControlJob {
        /// Which job.
        job: JobId,
        /// Which video of it, by its place in the manifest; none: all.
        video: Option<u32>,
        /// How.
        verb: JobVerb,
        /// Whether it could be.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Steer a worker.
    ControlWorker {
        /// Which.
        worker: WorkerId,
        /// True: give it work again; false: drain it.
        enable: bool,
        /// Whether it could be.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
}

/// News of a job.
#[derive(Debug)]
pub struct Changes {
    /// Its line.
    pub job: JobSummary,
    /// The lines of videos that changed.
    pub videos: Vec<VideoStatus>,
    /// The version to ask from next time.
    pub version: u64,
    /// What the job cannot go on without; empty when it can.
    pub waiting_for: String,
}

/// How to steer a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobVerb {
    /// Start nothing more.
    Pause,
    /// Undo pause.
    Resume,
    /// Give up what has not finished.
    Cancel,
    /// Try failed and cancelled videos again.
    Retry,
}

/// A request about something that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A video starts from an image that was not given.
    #[error("the coordinator does not have image {0}; give it with PutImage before the job that names it")]
    NoSuchImage(Digest),
    /// No such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// No such video, or one that never got as far as a plan.
    #[error("there is no video {0} to steer")]
    NoSuchVideo(VideoId),
    /// No such worker.
    #[error("no worker {0} has ever attached")]
    NoSuchWorker(WorkerId),
}
