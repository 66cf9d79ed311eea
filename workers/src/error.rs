//! Why a worker ends before it is told to. Failures of single items are not here: they are reported, and the worker
//! goes on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use wanfarm_model::ModelError;

/// A worker that cannot start, or may not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The settings contradict themselves.
    #[error("{0}")]
    Settings(String),
    /// The data folder cannot be used.
    #[error("data folder {path}: {source}; choose another with --data")]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Another process works with this data folder.
    #[error("data folder {path} is in use by another worker; give each worker its own with --data")]
    InUse {
        /// Path of the folder.
        path: PathBuf,
    },
    /// No model that any of the roles could serve.
    #[error("{folder}: no model here for the roles {roles}: {why}")]
    NoModel {
        /// The models folder.
        folder: PathBuf,
        /// What was asked for.
        roles: String,
        /// What was found instead.
        why: String,
    },
    /// Model files that are there and cannot be used.
    #[error("model {model}: {source}")]
    Model {
        /// Name of the model.
        model: String,
        /// What is wrong with them.
        source: Box<ModelError>,
    },
    /// The device cannot be had.
    #[error(transparent)]
    Device(Box<ModelError>),
    /// The tensor service has no address.
    #[error("cannot listen on {address} for readers of tensors: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
    /// What this machine is known by in its farm cannot be used.
    #[error("this machine's key cannot be used: {0}")]
    Key(#[from] wanfarm_identity::KeyError),
    /// The coordinator turned this worker away.
    #[error("the coordinator refuses this worker: {0}")]
    Refused(String),
    /// The operating system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A thread of this worker is gone; nothing can be computed any more.
    #[error("the device thread has ended: {0}")]
    DeviceThread(String),
}

/// What follows from a [`WorkerError`], for exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line is wrong, or asks for a device that is not there: trying again changes nothing.
    Usage,
    /// Model files are missing, damaged or of another shape.
    ModelFiles,
    /// The coordinator does not want this worker as it is.
    Refused,
    /// The machine does not play along.
    System,
}

impl WorkerError {
    /// Which kind of fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            WorkerError::Settings(_) | WorkerError::Device(_) => ErrorKind::Usage,
            WorkerError::NoModel { .. } | WorkerError::Model { .. } => ErrorKind::ModelFiles,
            WorkerError::Refused(_) => ErrorKind::Refused,
            WorkerError::Data { .. }
            | WorkerError::InUse { .. }
            | WorkerError::Listen { .. }
            | WorkerError::System { .. }
            | WorkerError::Key(_)
            | WorkerError::DeviceThread(_) => ErrorKind::System,
        }
    }
}
