//! What workers log, asked for past the driver.

use wanfarm_types::{LogLine, WorkerId};

use super::FarmService;
use super::asking::Answer;
use super::wire::refusal;
use crate::logs::Follower;
use crate::requests::RequestError;

impl FarmService {
    /// The last `tail` lines that a worker has logged, oldest first, as far as they are kept.
    ///
    /// # Errors
    /// When there is no such worker.
    pub fn worker_log(&self, worker: WorkerId, tail: usize) -> Answer<Vec<LogLine>> {
        self.aside.logs.tail(worker, tail).ok_or_else(|| no_such(worker))
    }

    /// The same, and what it logs from now on.
    ///
    /// # Errors
    /// When there is no such worker.
    pub fn follow_worker_log(&self, worker: WorkerId, tail: usize) -> Answer<Follower> {
        self.aside.logs.follow(worker, tail).ok_or_else(|| no_such(worker))
    }
}

fn no_such(worker: WorkerId) -> tonic::Status {
    refusal(RequestError::NoSuchWorker(worker))
}
