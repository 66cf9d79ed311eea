//! A scheduler from committed rows alone. Rows may come as the log of commits or as a dump of tables: for each key the
//! last row counts, and the order of different keys does not matter.
//!
//! Only durable tensors count. Attempts that were out are leased for one lease period to the boot they were given to:
//! a worker that re-attaches in time goes on as if nothing had happened, the others' items are assigned again, and
//! nothing counts as a failure.

use std::collections::BTreeMap;

use wanfarm_types::{
    AttemptId, Digest, Incarnation, JobId, Role, Stage, StepRange, StepTiming, TensorRef, VideoId, WorkItem, WorkerId,
};

use super::{Dirty, Scheduler};
use crate::attempts::{Attempt, Work};
use crate::job::LaneId;
use crate::kept::KeptText;
use crate::pace::effort;
use crate::stage_result::StageResult;
use crate::video::Video;
use crate::worker::{Session, Worker};
use crate::{ArtifactId, AttemptEnd, Change, Config, Instant, JobPhase, JobPlan, PlanError, TextKey, VideoPhase};

/// Rows that no scheduler has written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A stored plan is impossible.
    #[error(
        "the stored plan of job {job} cannot be used: {error}; the database was damaged or written by another version"
    )]
    Plan {
        /// The job.
        job: JobId,
        /// What is wrong with it.
        error: PlanError,
    },
}

/// The last row of every key.
#[derive(Default)]
struct Rows {
    jobs: BTreeMap<JobId, JobPlan>,
    job_states: BTreeMap<JobId, JobPhase>,
    priorities: BTreeMap<JobId, i32>,
    pins: BTreeMap<(JobId, Role), Digest>,
    videos: BTreeMap<VideoId, VideoPhase>,
    artifacts: BTreeMap<ArtifactId, Vec<TensorRef>>,
    /// Of a text, either this or an artifact.
    kept: BTreeMap<TextKey, KeptText>,
    attempts: BTreeMap<AttemptId, (WorkItem, Option<TextKey>, WorkerId, Incarnation)>,
    ended: BTreeMap<AttemptId, StepTiming>,
    /// One more than the greatest attempt number seen, forgotten ones included.
    next_attempt: u64,
    workers: BTreeMap<WorkerId, Worker>,
}

impl Scheduler {
    /// Rebuilds the scheduler after a restart of the coordinator. Poll its actions: there may be some at once.
    /// `next_attempt` matters only when rows of attempts have been removed, as those of forgotten jobs are: then it must
    /// be greater than every attempt ever issued. Otherwise `AttemptId(1)` will do.
    ///
    /// # Errors
    /// A stored plan that [`JobPlan::check`] refuses.
    pub fn restore(
        config: Config,
        now: Instant,
        next_attempt: AttemptId,
        rows: impl IntoIterator<Item = Change>,
    ) -> Result<Self, RestoreError> {
        let rows = Rows::collect(rows);
        let mut scheduler = Scheduler::new(config, next_attempt.max(AttemptId(rows.next_attempt)));
        scheduler.now = now;
        let plans = rows.jobs.into_iter().map(|(id, plan)| {
            let priority = rows.priorities.get(&id).copied().unwrap_or(plan.priority);
            (id, JobPlan { priority, ..plan })
        });
        scheduler.restore_jobs(plans.collect(), &rows.job_states, rows.pins)?;
        scheduler.restore_videos(rows.videos);
        scheduler.restore_artifacts(rows.artifacts);
        scheduler.restore_kept(rows.kept);
        scheduler.restore_chains();
        scheduler.workers = rows.workers;
        for (id, (item, text, worker, incarnation)) in rows.attempts {
            match rows.ended.get(&id) {
                Some(timing) => scheduler.restore_pace(item, worker, timing),
                None if scheduler.restore_attempt(id, item, text, worker, incarnation) => {}
                // Rows of an older coordinator, or of a transaction cut short: nothing refers to it any more.
                None => scheduler.record(Change::AttemptEnded {
                    attempt: id,
                    end: AttemptEnd::Lost,
                    steps: StepRange { first: item.steps.first, end: item.steps.first },
                    timing: StepTiming::default(),
                }),
            }
        }
        for job in scheduler.jobs.keys().copied().collect::<Vec<_>>() {
            scheduler.finish_if_over(job);
        }
        scheduler.settle();
        Ok(scheduler)
    }

    fn restore_jobs(
        &mut self,
        plans: BTreeMap<JobId, JobPlan>,
        states: &BTreeMap<JobId, JobPhase>,
        pins: BTreeMap<(JobId, Role), Digest>,
    ) -> Result<(), RestoreError> {
        for (id, plan) in plans {
            plan.check().map_err(|error| RestoreError::Plan { job: id, error })?;
            self.insert_job(plan);
            if let (Some(job), Some(&state)) = (self.jobs.get_mut(&id), states.get(&id)) {
                job.state = state;
            }
        }
        for ((job, role), weights) in pins {
            if let Some(job) = self.jobs.get_mut(&job) {
                job.pins.insert(role, weights);
                job.made.insert(role);
            }
        }
        Ok(())
    }

    fn restore_videos(&mut self, states: BTreeMap<VideoId, VideoPhase>) {
        for (id, state) in states {
            let Some(video) = self.videos.get_mut(&id).filter(|_| !state.is_open()) else { continue };
            video.state = state;
            self.remove_reader(id);
            if let Some(job) = self.jobs.get_mut(&id.job) {
                job.open -= 1;
            }
        }
    }

    /// Rows that nothing needs any more are removed: a transaction cut short may have left some.
    fn restore_artifacts(&mut self, artifacts: BTreeMap<ArtifactId, Vec<TensorRef>>) {
        for (id, tensors) in artifacts {
            let result = StageResult::durable(tensors);
            let unfinished = |video: &&mut Video| video.state != VideoPhase::Done;
            let unneeded = match id {
                ArtifactId::Text(key) => match self.texts.get_mut(&key) {
                    Some(text) => text.result.replace(result),
                    None => Some(result),
                },
                ArtifactId::Image(video) => match self.videos.get_mut(&video).filter(unfinished) {
                    Some(video) => video.image.replace(result),
                    None => Some(result),
                },
                ArtifactId::Checkpoint { video, steps_done } => match self.videos.get_mut(&video).filter(unfinished) {
                    Some(video) => video.checkpoints.0.insert(steps_done, result),
                    None => Some(result),
                },
            };
            if let Some(result) = unneeded {
                self.discard(id, &result);
            }
        }
        for video in self.videos.values_mut() {
            video.best = video.progress();
        }
    }

    /// Texts that are kept, and with which weights those were made that are read.
    fn restore_kept(&mut self, kept: BTreeMap<TextKey, KeptText>) {
        for (key, text) in kept {
            self.kept.insert(key, text);
        }
        self.trim_kept();
        for text in self.texts.values_mut().filter(|text| text.result.is_some()) {
            let jobs = text.readers.iter().filter_map(|video| self.jobs.get(&video.job));
            text.weights = jobs.filter_map(|job| job.pins.get(&Role::TextEncoder)).next().copied();
        }
    }

    /// What the rows of attempts say about the speed of their workers, oldest first.
    fn restore_pace(&mut self, item: WorkItem, worker: WorkerId, timing: &StepTiming) {
        let Some(model) = self.jobs.get(&item.video.job).map(|job| job.model) else { return };
        let Some(size) = self.size_of(item) else { return };
        let Some(worker) = self.workers.get_mut(&worker) else { return };
        if item.steps.is_empty() {
            worker.measure(model, item.stage, size, timing.seconds);
            return;
        }
        let is_whole = |step| self.videos.get(&item.video).is_some_and(|video| video.plan.is_whole(step));
        for (step, &seconds) in (item.steps.first..).zip(&timing.step_seconds) {
            if is_whole(step) {
                worker.measure(model, item.stage, size, seconds);
            }
        }
    }

    /// False when it has no place any more.
    fn restore_attempt(
        &mut self,
        id: AttemptId,
        item: WorkItem,
        text: Option<TextKey>,
        worker: WorkerId,
        incarnation: Incarnation,
    ) -> bool {
        let Some((model, priority)) = self.jobs.get(&item.video.job).map(|job| (job.model, job.priority)) else {
            return false;
        };
        let Some(size) = self.size_of(item) else { return false };
        let item_size = self.videos.get(&item.video).map(|video| video.plan.item_size()).unwrap_or_default();
        let lane = LaneId::new(model, item.stage, item.steps.first, item_size);
        let (work, place) = match (item.stage, text) {
            (Stage::EncodeText, Some(key)) => (Work::Text(key), self.texts.get_mut(&key).map(|text| &mut text.attempt)),
            (Stage::EncodeImage, _) => {
                (Work::Image(item.video), self.videos.get_mut(&item.video).map(|video| &mut video.image_attempt))
            }
            _ => (Work::Video(item.video), self.videos.get_mut(&item.video).map(|video| &mut video.attempt)),
        };
        let Some(place) = place.filter(|place| place.is_none()) else { return false };
        let known = self.workers.entry(worker).or_insert_with(|| Worker::new(incarnation, String::new()));
        let slot = if known.running.is_none() { &mut known.running } else { &mut known.next };
        if slot.is_some() || (known.session == Session::Lost && known.incarnation != incarnation) {
            return false;
        }
        *place = Some(id);
        *slot = Some(id);
        known.incarnation = incarnation;
        known.session = Session::Lost;
        let attempt = Attempt::new(work, item, (lane, priority), effort(item.stage, size), worker, incarnation);
        self.ledger.restore(id, Attempt { restored: true, ..attempt });
        self.renew(worker);
        self.touch(work);
        self.dirty.insert(Dirty::Worker(worker));
        true
    }
}

impl Rows {
    fn collect(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut rows = Self::default();
        for change in changes {
            rows.put(change);
        }
        rows
    }

    fn put(&mut self, change: Change) {
        match change {
            Change::JobAdded(plan) => {
                self.jobs.insert(plan.id, plan);
            }
            Change::JobPriority { job, priority } => {
                self.priorities.insert(job, priority);
            }
            Change::JobPhase { job, state } => {
                self.job_states.insert(job, state);
            }
            Change::WeightsPinned { job, role, weights: Some(weights) } => {
                self.pins.insert((job, role), weights);
            }
            Change::WeightsPinned { job, role, weights: None } => {
                self.pins.remove(&(job, role));
            }
            Change::VideoPhase { video, state } => {
                self.videos.insert(video, state);
            }
            Change::ArtifactDurable { artifact, tensors } => {
                self.forget_artifact(artifact);
                self.artifacts.insert(artifact, tensors);
            }
            Change::TextKept { text, tensors, weights, job } => {
                self.forget_artifact(ArtifactId::Text(text));
                self.kept.insert(text, KeptText { tensors, weights, job });
            }
            Change::ArtifactForgotten(artifact) => self.forget_artifact(artifact),
            Change::JobForgotten(job) => self.forget(job),
            Change::AttemptIssued { attempt, item, text, worker, incarnation } => {
                self.next_attempt = self.next_attempt.max(attempt.0.saturating_add(1));
                self.attempts.insert(attempt, (item, text, worker, incarnation));
            }
            Change::AttemptEnded { attempt, timing, .. } => {
                self.next_attempt = self.next_attempt.max(attempt.0.saturating_add(1));
                self.ended.insert(attempt, timing);
            }
            Change::WorkerState { worker, name, draining, assigned, set_aside } => {
                let known = Worker::new(Incarnation(Default::default()), name);
                self.workers.insert(worker, Worker { draining, assigned, set_aside, ..known });
            }
            Change::WorkerForgotten(worker) => {
                self.workers.remove(&worker);
            }
        }
    }

    fn forget_artifact(&mut self, artifact: ArtifactId) {
        self.artifacts.remove(&artifact);
        if let ArtifactId::Text(text) = artifact {
            self.kept.remove(&text);
        }
    }

    fn forget(&mut self, job: JobId) {
        self.jobs.remove(&job);
        self.job_states.remove(&job);
        self.pins.retain(|(of, _), _| *of != job);
        self.videos.retain(|video, _| video.job != job);
        self.attempts.retain(|_, (item, ..)| item.video.job != job);
        self.artifacts.retain(|artifact, _| match artifact {
            ArtifactId::Text(_) => true,
            ArtifactId::Image(video) | ArtifactId::Checkpoint { video, .. } => video.job != job,
        });
    }
}
