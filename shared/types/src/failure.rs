//! Why an attempt failed, and what follows from it.

use serde::{Deserialize, Serialize};

/// What kind of failure it was; decides whether another try makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Something around the computation broke: a connection, a process, a disk. Try again, anywhere.
    Transient,
    /// The same input would fail on every worker: bad input, a size out of memory. Never retried.
    Deterministic,
    /// Latents or frames are not finite, or beyond all bounds. Counted against the worker first, then against the video.
    NotFinite,
    /// The input tensors could not be had from any location, or nothing can be computed with what they hold; the video must go back to a durable checkpoint.
    InputsLost,
    /// The weights of the role could not be loaded: memory, or a file that cannot be read any more. Counted against the
    /// role on this worker, not against the video.
    NotLoaded,
}

/// A failure as it is reported, stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What follows from it.
    pub kind: FailureKind,
    /// What, where, why and what to do; one line.
    #[serde(deserialize_with = "crate::bounds::read_reason")]
    pub message: String,
}

impl Failure {
    /// A failure worth another try.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Transient, message: message.into() }
    }

    /// A failure that every worker would repeat.
    pub fn deterministic(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Deterministic, message: message.into() }
    }
}
