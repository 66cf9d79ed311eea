//! Restores a driver from the store: the scheduler, the registry, and what lies in the artifact directory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use wanfarm_scheduler::{Action, Change, Config, JobPhase, Scheduler};
use wanfarm_types::{Digest, VideoRequest, VideoState};

use super::history::{History, Told};
use super::obstacles::Obstacles;
use super::registry::Registry;
use super::stall::Stall;
use super::upkeep::Upkeep;
use super::uploads::Uploads;
use super::waiting::{Hints, Unread};
use super::{Driver, Event};
use crate::access::SharedAccess;
use crate::copies::Copies;
use crate::dialler::Dialler;
use crate::meters::Meters;
use crate::obstacle::Obstacle;
use crate::requests::RequestError;
use crate::sessions::Sessions;
use crate::store::{Loaded, Row, Store, StoreError, when_unlocked};
use crate::times::wall_clock;
use crate::writer::OutputWriter;

/// The parts of a driver besides rows.
#[derive(Debug)]
pub struct Parts {
    /// Makes durable copies.
    pub copies: Copies,
    /// Writes files.
    pub outputs: OutputWriter,
    /// Knows the workers.
    pub sessions: Sessions,
    /// Looks whether workers can be reached.
    pub dialler: Dialler,
    /// The receiving end of what all tasks send.
    pub events: mpsc::Receiver<Event>,
    /// Where those look who wait for something new: a number that changes whenever there is.
    pub news: watch::Sender<u64>,
    /// Where those listen who are told what happened, once it is recorded.
    pub told: broadcast::Sender<Told>,
    /// Counts what happens.
    pub meters: Meters,
    /// Who may do what, as requests are let in by.
    pub(crate) access: SharedAccess,
    /// How long ended jobs are kept; `None`: for ever.
    pub retention: Option<Duration>,
}

/// The store's rows cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is wanted now cannot be made of it.
    #[error(transparent)]
    Wanted(#[from] RequestError),
    /// Whether files stand cannot be told.
    #[error("{0}")]
    Output(Obstacle),
    /// The scheduler has not written it.
    #[error(transparent)]
    Scheduler(#[from] wanfarm_scheduler::RestoreError),
}

impl Driver {
    /// Goes on from what `store` holds. `present`: the artifacts that are whole, with their lengths. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read or written, or holds what nobody has written.
    pub fn restore(
        mut store: Box<dyn Store>,
        config: Config,
        present: &BTreeMap<Digest, u64>,
        parts: Parts,
    ) -> Result<Self, RestoreError> {
        let Parts { copies, outputs, sessions, dialler, events, news, told, meters, access, retention } = parts;
        let loaded = prune(&mut *store, present)?;
        let changes = loaded.rows.iter().filter_map(|row| match row {
            Row::Scheduler(change) => Some(change.clone()),
            _ => None,
        });
        // The farm's clock goes on from the last moment that is told of.
        let last = loaded.rows.iter().filter_map(Row::moment).max_by(|a, b| a.elapsed.total_cmp(&b.elapsed));
        let before = last.map_or(0.0, |last| last.resume(wall_clock()));
        let origin = wanfarm_scheduler::Instant(0);
        let scheduler = Scheduler::restore(config, origin, loaded.next_attempt, changes)?;
        let mut driver = Self {
            scheduler,
            registry: Registry::new(loaded.next_job, access),
            sessions,
            copies,
            outputs,
            dialler,
            events,
            started: Instant::now(),
            before,
            store: Some(store),
            rows: Vec::new(),
            actions: VecDeque::new(),
            answers: Vec::new(),
            obstacles: Obstacles::none(),
            hints: Hints::default(),
            news,
            history: History::new(loaded.next_event, told),
            upkeep: Upkeep::new(retention),
            stall: Stall::new(),
            uploads: Uploads::default(),
            meters,
            unneeded: Vec::new(),
            unread: Unread::default(),
            stopping: false,
        };
        loaded.rows.iter().for_each(|row| driver.recall(row));
        driver.keep_loras(present);
        driver.registry.ledger.restarted();
        driver.recall_obstacle();
        driver.collect();
        driver.clear_leftovers();
        driver.report_again();
        Ok(driver)
    }

    /// True for an artifact that something refers to.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.copies.holds(digest)
    }

    /// A row from before the restart.
    fn recall(&mut self, row: &Row) {
        self.registry.record(row, 0.0);
        self.history.recall(row);
        match row {
            Row::Image(image) => {
                self.copies.keep(image.digest);
                self.uploads.given(image.digest);
            }
            Row::Worker { worker, name, device, .. } => self.sessions.recall(*worker, name, device),
            Row::Scheduler(change) => {
                if let Some((artifact, tensors)) = change.durable() {
                    self.copies.recall(artifact, tensors);
                }
            }
            _ => {}
        }
    }

    /// The LoRA files that jobs name stay as long as these.
    fn keep_loras(&mut self, present: &BTreeMap<Digest, u64>) {
        let requests = self.registry.jobs.iter().flat_map(|job| &job.submission.videos);
        let loras: BTreeSet<(Digest, u64)> =
            requests.flat_map(|request| &request.loras).map(|lora| (lora.blake3, lora.bytes)).collect();
        for (digest, bytes) in loras {
            if present.get(&digest) == Some(&bytes) {
                self.copies.keep(digest);
                self.uploads.given(digest);
            }
        }
    }

    /// Files that were being written when the coordinator was killed are written anew.
    fn clear_leftovers(&self) {
        let mut folders = BTreeSet::new();
        for job in self.registry.jobs.iter() {
            let open = job.videos().iter().filter(|video| video.state != VideoState::Done);
            folders.extend(open.filter_map(|video| Some(job.output.join(&video.output).parent()?.to_owned())));
            if job.ended().is_none() {
                folders.insert(job.output.clone());
            }
        }
        self.outputs.clear(folders);
    }

    /// Jobs that ended just before the restart have no report yet.
    fn report_again(&mut self) {
        let ended = self.registry.jobs.iter().filter(|job| job.phase() == Some(JobPhase::Finished));
        let unreported: Vec<_> =
            ended.filter(|job| !job.is_told()).map(|job| (job.id, job.ended().is_some())).collect();
        for (job, has_end) in unreported {
            if !has_end {
                self.end(job);
            }
            if !self.actions.contains(&Action::JobFinished(job)) {
                self.actions.push_back(Action::JobFinished(job));
            }
        }
    }
}

/// Removes what cannot be gone on from: images that no job starts from, and artifacts whose files are not there.
pub(super) fn prune(store: &mut dyn Store, present: &BTreeMap<Digest, u64>) -> Result<Loaded, StoreError> {
    let loaded = when_unlocked(|| store.load())?;
    let jobs = loaded.rows.iter().filter_map(|row| if let Row::Job(job) = row { Some(job) } else { None });
    let given = jobs.flat_map(|job| &job.submission.videos).flat_map(VideoRequest::files);
    let frames = loaded.rows.iter().filter_map(|row| match row {
        Row::Outputs { frames, .. } => Some(frames.iter().map(|kept| kept.file)),
        _ => None,
    });
    let needed: BTreeSet<Digest> = given.chain(frames.flatten()).collect();
    let gone = loaded.rows.iter().filter_map(|row| match row {
        Row::Image(image) if !needed.contains(&image.digest) => Some(Row::ImageForgotten(image.digest)),
        row => lost_artifact(row, present).map(Row::Scheduler),
    });
    let gone: Vec<Row> = gone.collect();
    if gone.is_empty() {
        return Ok(loaded);
    }
    when_unlocked(|| store.commit(&gone))?;
    when_unlocked(|| store.load())
}

fn lost_artifact(row: &Row, present: &BTreeMap<Digest, u64>) -> Option<Change> {
    let Row::Scheduler(change) = row else { return None };
    let (artifact, tensors) = change.durable()?;
    let whole = tensors.iter().all(|tensor| present.get(&tensor.digest).copied() == tensor.byte_len());
    if whole {
        return None;
    }
    tracing::warn!(?artifact, "a recorded artifact is not in its directory; it will be computed again");
    Some(Change::ArtifactForgotten(artifact))
}
