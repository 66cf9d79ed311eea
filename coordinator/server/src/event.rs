//! Events of the driver: from workers, from clients, and from the tasks it has started.

use std::path::PathBuf;

use tokio::sync::oneshot;
use wanfarm_scheduler::ArtifactId;
use wanfarm_types::{Digest, Hello, Incarnation, JobId, KeyId, VideoId, WorkerId, WorkerMessage};

use crate::address::{Address, Ends, Reach};
use crate::obstacle::Obstacle;
use crate::outbox::{Outbox, WeakOutbox};
use crate::outputs::{Kept, ReportError, WriteError, Written};
use crate::requests::Request;

/// Everything that can happen to a coordinator.
#[derive(Debug)]
pub enum Event {
    /// A worker said hello on a new connection.
    Attached(Box<Attached>),
    /// A worker said something.
    Worker {
        /// On which connection.
        connection: u64,
        /// The worker.
        worker: WorkerId,
        /// The worker's boot.
        incarnation: Incarnation,
        /// The message.
        message: WorkerMessage,
    },
    /// A worker's connection ended.
    Detached {
        /// Number of the connection.
        connection: u64,
        /// The worker.
        worker: WorkerId,
        /// The worker's boot.
        incarnation: Incarnation,
    },
    /// A worker's address was tried.
    DialledBack {
        /// On which connection it gave it.
        connection: u64,
        /// The worker.
        worker: WorkerId,
        /// The result.
        reach: Reach,
    },
    /// A reader wants a tensor that is not durable. The answer is the connection of the worker that holds
    /// it, which may be broken at present; none, if it is not known to be anywhere.
    Wanted {
        /// The tensor's digest.
        digest: Digest,
        /// Receives the answer.
        reply: oneshot::Sender<Option<WeakOutbox>>,
    },
    /// A client sent a request.
    Request(Request),
    /// A durable copy was made, or not.
    Copied {
        /// The artifact.
        artifact: ArtifactId,
        /// Whose result it is.
        maker: WorkerId,
        /// The outcome.
        copied: Copied,
    },
    /// Files of durable copies are gone.
    Deleted(Vec<Digest>),
    /// The files of a video are whole and wait to be put in their places.
    Staged {
        /// The video, by its place in the plan.
        video: VideoId,
        /// The files.
        staged: Box<Staged>,
    },
    /// The files of a video are in their places, or not.
    Written {
        /// The video, by its place in the plan.
        video: VideoId,
        /// Why they are not, on error.
        result: Result<(), WriteError>,
    },
    /// The output folder was tried out: where its volume is mounted, or what stands in the way.
    TriedOut(Result<PathBuf, Obstacle>),
    /// A connection waits for a free file descriptor: workers may be unable to read what they need.
    NoDescriptors,
    /// The report of a job that has ended is in its place, or cannot be.
    Reported(JobId, Result<(), ReportError>),
    /// Leave the loop.
    Stop,
}

/// A worker that said hello on a new connection.
#[derive(Debug)]
pub struct Attached {
    /// Counts connections; messages of an older one are ignored.
    pub connection: u64,
    /// The hello.
    pub hello: Hello,
    /// The version of the program that said it.
    pub build: String,
    /// The address of its tensors.
    pub address: Address,
    /// The ends of its connection.
    pub ends: Ends,
    /// The key of its machine; `None` where nothing is encrypted.
    pub member: Option<KeyId>,
    /// By which others of the farm know it.
    pub certificate: Option<String>,
    /// The way back.
    pub outbox: Outbox,
}

#[cfg(test)]
impl Attached {
    /// The first connection, of a worker of which nothing else is known.
    pub(crate) fn of(hello: Hello, outbox: Outbox) -> Self {
        let (address, ends) = (Address::Unknown, Ends::default());
        Self { connection: 1, hello, build: String::new(), address, ends, member: None, certificate: None, outbox }
    }
}

/// How a copy went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// Every tensor is on disk.
    Made,
    /// A tensor could not be read or written.
    Missed,
    /// A tensor came whole, and holds what nothing can be computed with.
    Unsound(String),
    /// There is no room.
    Full(Obstacle),
}

/// A video whose files are whole and wait to be put in their places.
#[derive(Debug)]
pub struct Staged {
    /// Files and folders, the sidecar last.
    pub written: Vec<Written>,
    /// The quality gate's verdict.
    pub verdict: String,
    /// Seconds that workers have spent on the video.
    pub seconds: f64,
    /// Frames that others start from, by number; their files are among the artifacts.
    pub frames: Kept,
    /// Answered when this is recorded; dropped when nobody wants the files any more.
    pub recorded: oneshot::Sender<()>,
}
