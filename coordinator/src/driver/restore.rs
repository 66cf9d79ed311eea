//! A driver from the store alone: the scheduler, the books, and what lies in the artifact directory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wanfarm_scheduler::{Action, Change, Config, JobState, Scheduler, VideoState};
use wanfarm_types::Digest;

use super::books::Books;
use super::obstacles::Obstacles;
use super::upkeep::Upkeep;
use super::uploads::Uploads;
use super::waiting::{Hints, Unread};
use super::{Driver, Event};
use crate::copies::Copies;
use crate::jobs::VideoPhase;
use crate::outputs::Outputs;
use crate::reach::Dialler;
use crate::sessions::Sessions;
use crate::store::{JobRow, Loaded, Row, Store, StoreError, when_unlocked};
use crate::times::wall_clock;

/// What a driver works with besides rows.
#[derive(Debug)]
pub struct Parts {
    /// Makes durable copies.
    pub copies: Copies,
    /// Writes files.
    pub outputs: Outputs,
    /// Knows the workers.
    pub sessions: Sessions,
    /// Looks whether workers can be reached.
    pub dialler: Dialler,
    /// The receiving end of what all tasks send.
    pub events: mpsc::Receiver<Event>,
    /// Where those look who wait for something new: a number that changes whenever there is.
    pub news: watch::Sender<u64>,
    /// How long ended jobs are kept; `None`: for ever.
    pub retention: Option<Duration>,
}

/// Which jobs of an earlier run go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    All,
    /// Only the unfinished one of this client's key; the others are forgotten.
    Only(String),
}

/// What a store holds does not make a coordinator.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
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
        keep: &Keep,
        config: Config,
        present: &BTreeMap<Digest, u64>,
        parts: Parts,
    ) -> Result<Self, RestoreError> {
        let Parts { copies, outputs, sessions, dialler, events, news, retention } = parts;
        let loaded = prune(&mut *store, keep, present)?;
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
            books: Books::new(loaded.next_job),
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
            upkeep: Upkeep::new(retention),
            uploads: Uploads::default(),
            unneeded: Vec::new(),
            unread: Unread::default(),
            stopping: false,
        };
        loaded.rows.iter().for_each(|row| driver.recall(row));
        driver.keep_loras(present);
        driver.books.ledger.restarted();
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
        self.books.record(row, 0.0);
        match row {
            Row::Image(image) => {
                self.copies.keep(image.digest);
                self.uploads.given(image.digest);
            }
            Row::Worker { worker, name, device, .. } => self.sessions.recall(*worker, name, device),
            Row::Scheduler(Change::ArtifactDurable { artifact, tensors }) => self.copies.recall(*artifact, tensors),
            _ => {}
        }
    }

    /// The LoRA files that jobs name stay as long as these.
    fn keep_loras(&mut self, present: &BTreeMap<Digest, u64>) {
        let requests = self.books.jobs.iter().flat_map(|job| &job.submission.videos);
        let loras: BTreeSet<(Digest, u64)> =
            requests.flat_map(|request| &request.loras).map(|lora| (lora.blake3, lora.bytes)).collect();
        for (digest, bytes) in loras {
            if present.get(&digest) == Some(&bytes) {
                self.copies.keep(digest);
                self.uploads.given(digest);
            }
        }
    }

    /// What was being written when the coordinator was killed is written anew.
    fn clear_leftovers(&self) {
        let mut folders = BTreeSet::new();
        for job in self.books.jobs.iter() {
            let open = job.videos().iter().filter(|video| video.phase != VideoPhase::Done);
            folders.extend(open.filter_map(|video| Some(job.output.join(&video.output).parent()?.to_owned())));
            if job.summary().ended.is_none() {
                folders.insert(job.output.clone());
            }
        }
        self.outputs.clear(folders);
    }

    /// Jobs that ended just before the restart have no report yet.
    fn report_again(&mut self) {
        let ended = self.books.jobs.iter().filter(|job| job.state() == Some(JobState::Finished));
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

/// Removes what cannot be gone on from: jobs that are not to be kept, images that no kept job starts from, and artifacts
/// whose files are not there.
pub(super) fn prune(store: &mut dyn Store, keep: &Keep, present: &BTreeMap<Digest, u64>) -> Result<Loaded, StoreError> {
    let loaded = when_unlocked(|| store.load())?;
    let is_kept = |job: &JobRow| match keep {
        Keep::All => true,
        Keep::Only(key) => job.client_key == *key && !has_ended(&loaded.rows, job),
    };
    let jobs = loaded.rows.iter().filter_map(|row| if let Row::Job(job) = row { Some(job) } else { None });
    let (kept, others): (Vec<&JobRow>, Vec<&JobRow>) = jobs.partition(|job| is_kept(job));
    let needed: BTreeSet<Digest> = kept.iter().flat_map(|job| &job.videos).filter_map(|video| video.image).collect();
    let mut gone: Vec<Row> = others.iter().map(|job| Row::Scheduler(Change::JobForgotten(job.id))).collect();
    for row in &loaded.rows {
        match row {
            Row::Image(image) if !needed.contains(&image.digest) => gone.push(Row::ImageForgotten(image.digest)),
            row => gone.extend(lost_artifact(row, present).map(Row::Scheduler)),
        }
    }
    if gone.is_empty() {
        return Ok(loaded);
    }
    when_unlocked(|| store.commit(&gone))?;
    when_unlocked(|| store.load())
}

/// Nothing is left to do for a job; or somebody has taken away what was done.
fn has_ended(rows: &[Row], job: &JobRow) -> bool {
    let mut planned: Vec<u32> = Vec::new();
    let mut done: BTreeSet<u32> = BTreeSet::new();
    for row in rows {
        match row {
            Row::Reported { job: id, at } if *id == job.id && at.is_some() => return true,
            Row::Resolved { job: id, videos } if *id == job.id => {
                planned = (0..).zip(videos).filter(|(_, video)| video.is_ok()).map(|(place, _)| place).collect();
            }
            Row::Scheduler(Change::VideoState { video, state: VideoState::Done }) if video.job == job.id => {
                done.extend(planned.get(video.index as usize));
            }
            _ => {}
        }
    }
    rows.iter().any(|row| match row {
        Row::Outputs { video, written, .. } if video.job == job.id && done.contains(&video.index) => {
            !written.iter().all(|written| job.output.join(&written.path).exists())
        }
        _ => false,
    })
}

fn lost_artifact(row: &Row, present: &BTreeMap<Digest, u64>) -> Option<Change> {
    let Row::Scheduler(Change::ArtifactDurable { artifact, tensors }) = row else { return None };
    let whole = tensors.iter().all(|tensor| present.get(&tensor.digest).copied() == tensor.byte_len());
    if whole {
        return None;
    }
    tracing::warn!(?artifact, "an artifact on the books is not in its directory; it will be computed again");
    Some(Change::ArtifactForgotten(*artifact))
}
