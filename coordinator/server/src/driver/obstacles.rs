//! Obstacles to writing files: jobs are suspended with a reason, and resumed when the obstacle is gone.
//!
//! Three kinds. Artifacts or outputs cannot be written: active jobs are paused, by rows of their own, so that a restart
//! resumes them and a pause that a user asked for stays. The output folder does not answer: jobs continue, and say so.
//! No space for rows, or a database locked by another program: nothing leaves the coordinator. What touches the output
//! folder runs in tasks, because a share may not answer for hours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use wanfarm_scheduler::{Action, ArtifactId, Input, JobPhase};
use wanfarm_types::{Backoff, EventKind, JobId, VideoId};

use super::Driver;
use crate::obstacle::Obstacle;
use crate::store::{EventRow, Row, StoreError};

/// How soon to look again.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// Writing a video may take this long before the folder is tried, and again after as long: encoding a long video takes
/// minutes, and that is no fault of the disk.
const TRIAL_AFTER: Duration = Duration::from_secs(20);
/// How long a trial of the folder may take before it is said not to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Obstacles that are known now.
#[derive(Debug)]
pub(super) struct Obstacles {
    files: Option<Obstacle>,
    files_again: Again,
    /// Since when the output folder is being tried out, and after which obstacle.
    trial: Option<(Instant, Option<Obstacle>)>,
    last_trial: Instant,
    silence: Option<Silence>,
    /// Videos that are being written, and since when.
    writing: BTreeMap<VideoId, Instant>,
    /// Copies that found no room: answered, so that they are asked for again, when there is some.
    copies: Vec<ArtifactId>,
    /// Whether the coordinator stays up and takes requests.
    stays: bool,
    /// Jobs that have ended and whose reports could not be written.
    reports: BTreeSet<JobId>,
    store: Option<String>,
    store_again: Again,
    version: u64,
}

/// The output folder has not answered in time, and has not yet.
#[derive(Debug)]
struct Silence {
    since: Instant,
    /// The time last reported; reported again whenever it has doubled.
    told: Duration,
}

/// When to look again.
#[derive(Debug)]
struct Again {
    at: Instant,
    failures: u32,
}

impl Again {
    fn new() -> Self {
        Self { at: Instant::now(), failures: 0 }
    }

    /// Retries after the shortest delay.
    fn soon(&mut self) {
        *self = Self { at: Instant::now() + BACKOFF.pause(0), failures: 0 };
    }

    /// Doubles the delay, unless the last obstacle is long gone.
    fn postpone(&mut self) {
        let now = Instant::now();
        let went_well = now > self.at + 2 * BACKOFF.pause(self.failures);
        self.failures = if went_well { 0 } else { self.failures.saturating_add(1) };
        self.at = now + BACKOFF.pause(self.failures);
    }
}

impl Obstacles {
    pub(super) fn none() -> Self {
        Self {
            files: None,
            files_again: Again::new(),
            trial: None,
            last_trial: Instant::now(),
            silence: None,
            writing: BTreeMap::new(),
            copies: Vec::new(),
            stays: true,
            reports: BTreeSet::new(),
            store: None,
            store_again: Again::new(),
            version: 0,
        }
    }

    /// When the driver has to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        let files = match (&self.silence, &self.trial) {
            (Some(Silence { since, told }), _) => Some(*since + 2 * *told),
            (None, Some((since, _))) => Some(*since + ANSWER_TIMEOUT),
            (None, None) => self.next_trial(),
        };
        let store = self.store.as_ref().map(|_| self.store_again.at);
        files.into_iter().chain(store).min()
    }

    /// When the folder is to be tried next, unless a client asks before.
    fn next_trial(&self) -> Option<Instant> {
        let held = self.files.as_ref().map(|_| self.files_again.at);
        held.or_else(|| Some(*self.writing.values().min()?.max(&self.last_trial) + TRIAL_AFTER))
    }

    /// A video is about to be written.
    pub(super) fn writes(&mut self, video: VideoId) {
        self.writing.insert(video, Instant::now());
    }

    /// Writing a video has ended, well or not.
    pub(super) fn wrote(&mut self, video: VideoId) {
        self.writing.remove(&video);
    }

    /// False while it is too early for another try.
    pub(super) fn store_may_try(&self) -> bool {
        self.store.is_none() || self.store_again.at <= Instant::now()
    }

    /// The store cannot record rows for now.
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

    /// Grows with every change of what a job is told of the store and of a folder that does not answer.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Why nothing can be recorded, if so.
    pub(super) fn of_store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// A client says that the obstacle is gone.
    fn look_now(&mut self) {
        self.files_again = Again::new();
        self.store_again = Again::new();
    }
}

impl Driver {
    /// Tries the output folder out before anything is rendered for it, whose volume has to be the one that was there
    /// before if `expected`. What may pass by itself holds the jobs of a coordinator that `stays` up.
    ///
    /// # Errors
    /// An obstacle that the user has to remove first.
    pub async fn begin_with_outputs(&mut self, stays: bool, expected: bool) -> Result<(), Obstacle> {
        self.obstacles.stays = stays;
        if expected {
            let known = self.registry.mounts.get(&self.output_folder()).cloned();
            self.outputs.expect_volume(known);
        }
        let Ok(tried) = tokio::time::timeout(ANSWER_TIMEOUT, self.outputs.try_out(None)).await else {
            let folder = self.outputs.root().to_owned();
            let silent = Obstacle::Silent { folder, seconds: ANSWER_TIMEOUT.as_secs() };
            self.try_outputs();
            return if stays { Ok(()) } else { Err(silent) };
        };
        match tried.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            Ok(mount) => self.remember_mount(mount),
            Err(refused @ Obstacle::Refused { .. }) => return Err(refused),
            Err(gone @ Obstacle::NotMounted { .. }) if !stays => return Err(gone),
            Err(obstacle) => self.on_obstacle(obstacle),
        }
        Ok(())
    }

    /// The output folder as rows hold it.
    fn output_folder(&self) -> PathBuf {
        self.outputs.root().to_string_lossy().into_owned().into()
    }

    fn remember_mount(&mut self, mount: PathBuf) {
        let folder = self.output_folder();
        self.outputs.expect_volume(Some(mount.clone()));
        if self.registry.mounts.get(&folder) != Some(&mount) {
            self.put(Row::Mount { folder, mount });
        }
    }

    /// Has the output folder tried out, unless it is being tried.
    pub(super) fn try_outputs(&mut self) {
        if self.obstacles.trial.is_none() {
            let (now, after) = (Instant::now(), self.obstacles.files.clone());
            self.obstacles.last_trial = now;
            self.outputs.tell_of_trial(after.clone());
            self.obstacles.trial = Some((now, after));
        }
    }

    /// The folder was tried out.
    pub(super) fn on_tried_out(&mut self, tried: Result<PathBuf, Obstacle>) {
        let after = self.obstacles.trial.take().and_then(|(_, after)| after);
        if self.obstacles.silence.take().is_some() {
            self.obstacles.version += 1;
            tracing::info!(folder = %self.outputs.root().display(), "the output folder answers again");
        }
        match tried {
            Ok(mount) => {
                self.remember_mount(mount);
                // What has come up meanwhile was not looked at.
                if self.obstacles.files == after {
                    self.go_on();
                }
            }
            Err(obstacle) => {
                if self.obstacles.files.is_some() {
                    self.obstacles.files_again.postpone();
                }
                self.on_obstacle(obstacle);
            }
        }
    }

    /// Pauses every active job until what stands in the way is gone.
    pub(super) fn on_obstacle(&mut self, obstacle: Obstacle) {
        if self.obstacles.files.as_ref() != Some(&obstacle) {
            tracing::error!("jobs are paused; they wait for {obstacle}");
        }
        if let Obstacle::Full { path, .. } = &obstacle
            && !matches!(self.obstacles.files, Some(Obstacle::Full { .. }))
        {
            let detail = Some(path.display().to_string());
            self.note(EventRow { kind: EventKind::DiskFull, detail, ..EventRow::default() });
        }
        if self.obstacles.files.is_none() {
            self.obstacles.files_again.postpone();
        }
        self.obstacles.files = Some(obstacle);
        for job in self.registry.jobs.iter().map(|job| job.id).collect::<Vec<_>>() {
            self.hold_if_blocked(job);
        }
    }

    /// A copy found no room.
    pub(super) fn hold_copy(&mut self, artifact: ArtifactId, obstacle: Obstacle) {
        self.obstacles.copies.push(artifact);
        self.on_obstacle(obstacle);
    }

    /// The report of a job that has ended cannot be written.
    pub(super) fn hold_report(&mut self, job: JobId, obstacle: Obstacle) {
        self.obstacles.reports.insert(job);
        self.obstacles.version += 1;
        self.on_obstacle(obstacle);
    }

    /// What the report of a job that has ended waits for; empty when it waits for nothing.
    pub(super) fn report_waits_for(&self, job: JobId) -> String {
        let reason = self.reason(job).filter(|_| self.obstacles.reports.contains(&job));
        reason.unwrap_or_default()
    }

    /// Why files of a job cannot be written, if so, and what to do.
    fn reason(&self, job: JobId) -> Option<String> {
        let obstacle = self.obstacles.files.as_ref()?;
        Some(match obstacle {
            Obstacle::NotMounted { .. } if self.obstacles.stays => {
                format!("{obstacle}; mount it, or have the folder taken as it is now: coordinator resume {job}")
            }
            _ => obstacle.to_string(),
        })
    }

    /// Pauses a job whose files cannot be written, and keeps it told why.
    pub(super) fn hold_if_blocked(&mut self, job: JobId) {
        let Some(reason) = self.reason(job) else { return };
        let Some(known) = self.registry.jobs.get(job) else { return };
        let active = known.phase() == Some(JobPhase::Active);
        if active || known.suspend_reason().is_some_and(|held| held != reason) {
            self.put(Row::Suspended { job, reason: Some(reason) });
        }
        if active {
            self.feed(Input::Pause(job));
        }
    }

    /// Jobs that were held when the coordinator stopped are looked at at once.
    pub(super) fn recall_obstacle(&mut self) {
        if self.registry.jobs.iter().any(|job| job.suspend_reason().is_some()) {
            self.obstacles.files = Some(Obstacle::Full { path: self.outputs.root().to_owned(), bytes: 0 });
        }
    }

    /// Looks at what is due: whether held jobs may go on, and whether the output folder still answers.
    pub(super) fn look_at_obstacles(&mut self) {
        let now = Instant::now();
        let is_due = self.obstacles.next_trial().is_some_and(|at| at <= now);
        let obstacles = &mut self.obstacles;
        match (&mut obstacles.silence, &obstacles.trial) {
            (Some(Silence { since, told }), _) if *since + 2 * *told <= now => {
                *told *= 2;
                obstacles.version += 1;
            }
            (None, Some((tried, _))) if *tried + ANSWER_TIMEOUT <= now => {
                let since = obstacles.writing.values().min().map_or(*tried, |oldest| (*oldest).min(*tried));
                obstacles.silence = Some(Silence { since, told: ANSWER_TIMEOUT });
                obstacles.version += 1;
                tracing::error!(folder = %self.outputs.root().display(), "the output folder does not answer");
            }
            (None, None) if is_due => self.try_outputs(),
            _ => {}
        }
    }

    /// Takes paused jobs up again.
    fn go_on(&mut self) {
        self.obstacles.files = None;
        for artifact in std::mem::take(&mut self.obstacles.copies) {
            self.feed(Input::CopyFailed(artifact));
        }
        for job in std::mem::take(&mut self.obstacles.reports) {
            self.obstacles.version += 1;
            // It may have been forgotten or taken up again meanwhile.
            if self.has_finished(job) {
                self.actions.push_back(Action::JobFinished(job));
            }
        }
        let held = self.registry.jobs.iter().filter(|job| job.suspend_reason().is_some());
        for job in held.map(|job| job.id).collect::<Vec<_>>() {
            tracing::info!(%job, "files can be written again: going on");
            self.release(job);
            self.feed(Input::Resume(job));
        }
    }

    /// A client says that the obstacle is gone, and that the folder is right as it is.
    pub(super) fn look_again(&mut self) {
        self.obstacles.look_now();
        if matches!(self.obstacles.files, Some(Obstacle::NotMounted { .. })) {
            self.outputs.expect_volume(None);
        }
    }

    /// A job is paused for no obstacle any more: from now on it stays as people have it.
    pub(super) fn release(&mut self, job: JobId) {
        if self.registry.jobs.get(job).is_some_and(|job| job.suspend_reason().is_some()) {
            self.put(Row::Suspended { job, reason: None });
        }
    }

    /// The obstacle of an output folder that does not answer.
    pub(super) fn silence(&self) -> Option<Obstacle> {
        let seconds = self.obstacles.silence.as_ref()?.told.as_secs();
        Some(Obstacle::Silent { folder: self.outputs.root().to_owned(), seconds })
    }
}
