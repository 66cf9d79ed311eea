//! What a client can ask for besides a job, and what becomes of one that it submits.

use std::collections::BTreeSet;

use wanfarm_types::{JobId, Role};

/// How to steer a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobVerb {
    /// Start nothing more.
    Pause,
    /// Undo pause.
    Resume,
    /// Let it go before those of a lower priority from now on: 0 to 100.
    SetPriority(u32),
    /// Give up what has not finished.
    Cancel,
    /// Try failed and cancelled videos again.
    Retry,
    /// Keep nothing of it but its finished files.
    Forget {
        /// Cancel it first if it has not ended.
        cancel: bool,
    },
}

/// How to steer a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerVerb {
    /// Give it nothing more.
    Drain,
    /// Give it work again.
    Enable,
    /// Give it work of these roles only, of all that it serves; at least one.
    Assign(BTreeSet<Role>),
    /// Give it work of all that it serves again.
    Auto,
    /// Remember this of it; `None`: nothing any more.
    Note(Option<String>),
    /// Keep nothing of it; only of one that is gone.
    Forget,
}

/// A submission that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// Its number; `None` when nothing of it was left to render.
    pub job: Option<JobId>,
    /// True when the same key had submitted it before.
    pub already: bool,
    /// How many of its videos got a new name.
    pub renamed: u32,
    /// How many were left out, because they stand there whole.
    pub left_out: u32,
}
