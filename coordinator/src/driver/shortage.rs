//! Full disks: what could not be written waits, jobs are paused and say why, and all goes on when there is room.
//!
//! Two kinds. No room for artifacts or outputs: active jobs are paused, by rows of their own, so that a restart takes
//! them up again and a pause that a person asked for stays. No room for rows, or a database that another program has
//! locked: nothing at all leaves the coordinator.

use std::time::Duration;

use tokio::time::Instant;
use wanfarm_scheduler::{ArtifactId, Input, JobState};
use wanfarm_types::JobId;

use super::{Driver, Shortage};
use crate::room;
use crate::store::{Row, StoreError};

/// How soon to look again; doubles up to the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// What is short.
#[derive(Debug)]
pub(super) struct Shortages {
    files: Option<Shortage>,
    files_again: Again,
    /// Copies that found no room: answered, so that they are asked for again, when there is some.
    copies: Vec<ArtifactId>,
    store: Option<String>,
    store_again: Again,
    version: u64,
}

/// When to look again.
#[derive(Debug)]
struct Again {
    at: Instant,
    pause: Duration,
}

impl Again {
    fn new() -> Self {
        Self { at: Instant::now(), pause: SHORTEST }
    }

    /// As soon as makes sense.
    fn soon(&mut self) {
        *self = Self { at: Instant::now() + SHORTEST, pause: SHORTEST };
    }

    /// Later, and later each time unless it went well for a while.
    fn postpone(&mut self) {
        let now = Instant::now();
        self.pause = if now > self.at + 2 * self.pause { SHORTEST } else { (2 * self.pause).min(LONGEST) };
        self.at = now + self.pause;
    }
}

impl Shortages {
    pub(super) fn none() -> Self {
        Self {
            files: None,
            files_again: Again::new(),
            copies: Vec::new(),
            store: None,
            store_again: Again::new(),
            version: 0,
        }
    }

    /// When the driver has to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        let files = self.files.as_ref().map(|_| self.files_again.at);
        let store = self.store.as_ref().map(|_| self.store_again.at);
        files.into_iter().chain(store).min()
    }

    /// False while it is too early for another try.
    pub(super) fn store_may_try(&self) -> bool {
        self.store.is_none() || self.store_again.at <= Instant::now()
    }

    /// Nothing can be recorded for now.
    pub(super) fn store_waits(&mut self, error: &StoreError) {
        if self.store.is_none() {
            tracing::error!(%error, "everything waits until this has passed");
        }
        let what = if error.is_full() { "room" } else { "the database" };
        self.store = Some(format!("{what}: {error}"));
        self.version += 1;
        // Room comes slowly; a lock goes in a moment, and trying costs nothing.
        if error.is_full() { self.store_again.postpone() } else { self.store_again.soon() }
    }

    pub(super) fn store_takes_rows(&mut self) {
        if self.store.take().is_some() {
            self.version += 1;
            tracing::info!("the database takes rows again: going on");
        }
    }

    /// Grows whenever it becomes or ceases to be so that nothing can be recorded.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Why nothing can be recorded, if so.
    pub(super) fn of_store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// Somebody says that there is room now.
    pub(super) fn look_now(&mut self) {
        self.files_again = Again::new();
        self.store_again = Again::new();
    }
}

impl Driver {
    /// Pauses every active job until there is room.
    pub(super) fn on_shortage(&mut self, shortage: Shortage) {
        if self.shortages.files.is_none() {
            tracing::error!(path = %shortage.path.display(), "the disk is full: jobs are paused until there is room");
            self.shortages.files_again.postpone();
        }
        self.shortages.files = Some(shortage);
        let active = self.books.jobs.iter().filter(|job| job.state() == Some(JobState::Active));
        for job in active.map(|job| job.id).collect::<Vec<_>>() {
            self.hold_if_full(job);
        }
    }

    /// A copy found no room.
    pub(super) fn hold_copy(&mut self, artifact: ArtifactId, shortage: Shortage) {
        self.shortages.copies.push(artifact);
        self.on_shortage(shortage);
    }

    /// Pauses a job that cannot go on for lack of room.
    pub(super) fn hold_if_full(&mut self, job: JobId) {
        let Some(shortage) = &self.shortages.files else { return };
        let reason = format!("room on the disk of {}, which is full", shortage.path.display());
        if self.books.jobs.get(job).is_some_and(|job| job.state() == Some(JobState::Active)) {
            self.put(Row::Held { job, reason: Some(reason) });
            self.feed(Input::Pause(job));
        }
    }

    /// Jobs that were held when the coordinator stopped are looked at at once.
    pub(super) fn recall_shortage(&mut self) {
        if self.books.jobs.iter().any(|job| job.held().is_some()) {
            self.shortages.files = Some(Shortage { path: self.outputs.root().to_owned(), bytes: 0 });
        }
    }

    /// Takes paused jobs up again when there is room enough.
    pub(super) fn look_for_room(&mut self) {
        let Some(shortage) = &self.shortages.files else { return };
        if self.shortages.files_again.at > Instant::now() {
            return;
        }
        // A quota does not show as a lack of room: there only trying tells.
        if room::free(&shortage.path).is_some_and(|free| free < shortage.bytes) {
            return self.shortages.files_again.postpone();
        }
        self.shortages.files = None;
        for artifact in std::mem::take(&mut self.shortages.copies) {
            self.feed(Input::CopyFailed(artifact));
        }
        let held = self.books.jobs.iter().filter(|job| job.held().is_some());
        for job in held.map(|job| job.id).collect::<Vec<_>>() {
            tracing::info!(%job, "going on after a full disk");
            self.release(job);
            self.feed(Input::Resume(job));
        }
    }

    /// A job is paused for no lack of room any more: from now on it stays as people have it.
    pub(super) fn release(&mut self, job: JobId) {
        if self.books.jobs.get(job).is_some_and(|job| job.held().is_some()) {
            self.put(Row::Held { job, reason: None });
        }
    }
}
