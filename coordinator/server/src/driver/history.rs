//! What is told of the rows: who did what to which job, video or worker, as one more row of the same transaction. Nothing
//! that is told can be lost, and nothing is told that was not recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::broadcast;
use wanfarm_scheduler::{AttemptEnd, Change, JobPhase, VideoPhase};
use wanfarm_types::{AttemptId, EventKind, FarmEvent, JobId, Role, Stage, VideoId, VideoState, WorkerId};

use super::Driver;
use crate::jobs::Job;
use crate::store::{EventRow, Row};
use crate::times::wall_clock;

/// Events of one transaction, for those who listen.
pub type Told = Arc<[FarmEvent]>;

/// Most letters of what an event says.
const MAX_DETAIL: usize = 1000;

/// What is needed to tell what happens.
#[derive(Debug)]
pub(super) struct History {
    /// The number of the next event.
    pub(super) next: u64,
    /// Who asked for what is being done.
    pub(super) by: Option<String>,
    /// What was decided about workers.
    standings: BTreeMap<WorkerId, Standing>,
    /// Hears what has been recorded.
    pub(super) told: broadcast::Sender<Told>,
}

/// What operators and failures decided about a worker.
#[derive(Debug, Clone, Default, PartialEq)]
struct Standing {
    draining: bool,
    assigned: Option<BTreeSet<Role>>,
    set_aside: Option<String>,
}

/// What a row is about, before it is applied.
#[derive(Debug, Default)]
pub(super) struct Before {
    name: Option<String>,
    phase: Option<JobPhase>,
    priority: Option<u32>,
    state: Option<&'static str>,
    video: Option<VideoState>,
    attempt: Option<(VideoId, WorkerId)>,
    stage: Option<Stage>,
}

impl History {
    pub(super) fn new(next: u64, told: broadcast::Sender<Told>) -> Self {
        Self { next, by: None, standings: BTreeMap::new(), told }
    }

    /// A row from before the restart.
    pub(super) fn recall(&mut self, row: &Row) {
        if let Row::Scheduler(Change::WorkerState { worker, draining, assigned, set_aside, .. }) = row {
            let (draining, assigned, set_aside) = (*draining, assigned.clone(), set_aside.clone());
            self.standings.insert(*worker, Standing { draining, assigned, set_aside });
        }
    }

    /// Tells those who listen what of these rows, which have been recorded, happened.
    pub(super) fn tell(&self, rows: &[Row]) {
        if self.told.receiver_count() == 0 {
            return;
        }
        let events = rows.iter().filter_map(|row| if let Row::Event(event) = row { Some(event.told()) } else { None });
        let events: Told = events.collect();
        if !events.is_empty() {
            // Nobody may listen any more.
            let _ = self.told.send(events);
        }
    }
}

impl Driver {
    /// Queues an event to be written with the rows before it.
    pub(super) fn note(&mut self, event: EventRow) {
        let detail = event.detail.map(|detail| detail.chars().take(MAX_DETAIL).collect());
        let event = EventRow { id: self.history.next, at: wall_clock(), by: self.history.by.clone(), detail, ..event };
        self.history.next += 1;
        self.rows.push(Row::Event(event));
    }

    /// Notes something about a worker.
    pub(super) fn note_worker(&mut self, kind: EventKind, worker: WorkerId, detail: Option<String>) {
        let name = Some(self.sessions.name(worker).to_string()).filter(|name| !name.is_empty());
        self.note(EventRow { kind, worker: Some(worker), name, detail, ..EventRow::default() });
    }

    /// What has to be known of a row's job, video or attempt before the row is applied.
    pub(super) fn before(&self, row: &Row) -> Before {
        let job = match row {
            Row::Scheduler(Change::JobPhase { job, .. } | Change::JobForgotten(job)) => *job,
            Row::Scheduler(Change::JobPriority { job, .. }) => {
                let priority = self.registry.jobs.get(*job).map(Job::priority);
                return Before { priority, ..Before::default() };
            }
            Row::Scheduler(Change::VideoPhase { video, .. }) => {
                let place = self.registry.jobs.in_manifest(*video);
                let line = place.and_then(|place| self.registry.jobs.line(place));
                return Before { video: line.map(|line| line.state), ..Before::default() };
            }
            Row::Scheduler(Change::AttemptEnded { attempt, .. }) => {
                let stage = self.registry.ledger.stage_of(*attempt);
                return Before { attempt: self.attempt(*attempt), stage, ..Before::default() };
            }
            _ => return Before::default(),
        };
        let Some(job) = self.registry.jobs.get(job) else { return Before::default() };
        let (name, state) = (Some(job.submission.name.clone()), Some(job.state().name()));
        Before { name, phase: job.phase(), state, ..Before::default() }
    }

    /// The video, by its place in the manifest, and the worker of an attempt that is out.
    fn attempt(&self, attempt: AttemptId) -> Option<(VideoId, WorkerId)> {
        let (video, _) = self.registry.ledger.open(attempt)?;
        Some((self.registry.jobs.in_manifest(video)?, self.registry.ledger.worker_of(attempt)?))
    }

    /// Notes what a row that has been applied tells.
    pub(super) fn note_row(&mut self, row: &Row, before: Before) {
        match row {
            Row::Job(job) => self.note(EventRow {
                kind: EventKind::JobSubmitted,
                job: Some(job.id),
                name: Some(job.submission.name.clone()),
                after: Some("active".to_owned()),
                ..EventRow::default()
            }),
            Row::Resolved { job, videos } => {
                let refused = videos.iter().filter(|video| video.is_err()).count();
                let detail =
                    (refused > 0).then(|| format!("{refused} of {} videos do not suit the model", videos.len()));
                self.note_job(EventKind::JobPlanned, *job, EventRow { detail, ..EventRow::default() });
            }
            Row::Requeued(job) => self.note_job(EventKind::JobRetried, *job, changed(None, Some("active"))),
            Row::About { job, .. } => self.note_job(EventKind::JobDescribed, *job, EventRow::default()),
            // With a worker that is forgotten goes what was said of it.
            Row::WorkerNote { worker, note } if self.scheduler.view_worker(*worker).is_some() => {
                self.note_worker(EventKind::WorkerDescribed, *worker, note.clone());
            }
            Row::Suspended { job, reason: Some(reason) } => {
                let detail = Some(reason.clone());
                self.note_job(EventKind::JobSuspended, *job, EventRow { detail, ..EventRow::default() });
            }
            Row::Scheduler(change) => self.note_change(change, before),
            _ => {}
        }
    }

    fn note_change(&mut self, change: &Change, before: Before) {
        match change {
            Change::JobPhase { job, state } => self.note_phase(*job, *state, &before),
            Change::JobPriority { job, priority } => {
                let before = before.priority.map(|priority| priority.to_string());
                let event = EventRow { before, after: Some(priority.to_string()), ..EventRow::default() };
                self.note_job(EventKind::JobPrioritised, *job, event);
            }
            Change::JobForgotten(job) => self.note(EventRow {
                kind: EventKind::JobForgotten,
                job: Some(*job),
                name: before.name,
                ..changed(before.state, None)
            }),
            Change::VideoPhase { video, state } => {
                if let Some(place) = self.registry.jobs.in_manifest(*video) {
                    self.note_video(place, state, before.video);
                }
            }
            Change::AttemptEnded { end, .. } => {
                if let Some(stage) = before.stage {
                    self.meters.ended(stage, how(end));
                }
                let (kind, detail) = match end {
                    AttemptEnd::Failed(failure) => (EventKind::AttemptFailed, Some(failure.message.clone())),
                    AttemptEnd::Lost => (EventKind::AttemptLost, None),
                    AttemptEnd::Done | AttemptEnd::Revoked => return,
                };
                let Some((video, worker)) = before.attempt else { return };
                let name = self.registry.ledger.worker(worker).map(|known| known.name.clone());
                let (job, video) = (Some(video.job), Some(video.index));
                self.note(EventRow { kind, job, video, worker: Some(worker), name, detail, ..EventRow::default() });
            }
            Change::WorkerState { worker, name, draining, assigned, set_aside } => {
                let (draining, assigned, set_aside) = (*draining, assigned.clone(), set_aside.clone());
                self.note_standing(*worker, name, Standing { draining, assigned, set_aside });
            }
            Change::WorkerForgotten(worker) => {
                self.history.standings.remove(worker);
                self.note_worker(EventKind::WorkerForgotten, *worker, None);
            }
            _ => {}
        }
    }

    /// Notes something about a job that is there.
    fn note_job(&mut self, kind: EventKind, id: JobId, event: EventRow) {
        let name = self.registry.jobs.get(id).map(|job| job.submission.name.clone());
        self.note(EventRow { kind, job: Some(id), name, ..event });
    }

    fn note_phase(&mut self, id: JobId, phase: JobPhase, before: &Before) {
        let Some(job) = self.registry.jobs.get(id) else { return };
        let (kind, event) = match (before.phase, phase) {
            (Some(JobPhase::Paused), JobPhase::Active) => {
                (EventKind::JobResumed, changed(Some("paused"), Some("active")))
            }
            (Some(JobPhase::Finished), JobPhase::Active) => {
                (EventKind::JobRetried, changed(before.state, Some("active")))
            }
            // Of one that the coordinator has paused, it has said so.
            (Some(JobPhase::Active), JobPhase::Paused) if job.suspend_reason().is_none() => {
                (EventKind::JobPaused, changed(Some("active"), Some("paused")))
            }
            (_, JobPhase::Finished) => {
                let line = job.summary();
                let detail = format!("{} done, {} failed, {} cancelled", line.done, line.failed, line.cancelled);
                let event = changed(before.state, Some(job.end_state().name()));
                (EventKind::JobEnded, EventRow { detail: Some(detail), ..event })
            }
            (_, JobPhase::Active | JobPhase::Paused) => return,
        };
        self.note_job(kind, id, event);
    }

    fn note_video(&mut self, place: VideoId, phase: &VideoPhase, before: Option<VideoState>) {
        let Some(line) = self.registry.jobs.line(place) else { return };
        let verdict = line.verdict.clone();
        let event = changed(before.map(VideoState::name), Some(line.state.name()));
        let suspect = verdict.clone().filter(|verdict| verdict != "ok");
        let (kind, detail) = match phase {
            VideoPhase::Done => (EventKind::VideoDone, verdict),
            VideoPhase::Failed(failure) => (EventKind::VideoFailed, Some(failure.message.clone())),
            VideoPhase::Cancelled => (EventKind::VideoCancelled, None),
            VideoPhase::Open if before.is_some_and(VideoState::is_end) => (EventKind::VideoRetried, None),
            VideoPhase::Open => return,
        };
        let how = line.state;
        if how.is_end() {
            self.meters.video_ended(how);
        }
        let event = EventRow { video: Some(place.index), ..event };
        self.note_job(kind, place.job, EventRow { detail, ..event.clone() });
        if let Some(verdict) = suspect.filter(|_| kind == EventKind::VideoDone) {
            self.note_job(EventKind::VideoSuspect, place.job, EventRow { detail: Some(verdict), ..event });
        }
    }

    fn note_standing(&mut self, worker: WorkerId, name: &str, now: Standing) {
        let before = self.history.standings.insert(worker, now.clone()).unwrap_or_default();
        let mut note = |kind, event: EventRow| {
            self.note(EventRow { kind, worker: Some(worker), name: Some(name.to_owned()), ..event });
        };
        if now.draining && !before.draining {
            note(EventKind::WorkerDrained, EventRow::default());
        }
        if let Some(why) = now.set_aside.clone().filter(|_| before.set_aside.is_none()) {
            note(EventKind::WorkerSetAside, EventRow { detail: Some(why), ..EventRow::default() });
        }
        if before.draining && !now.draining || before.set_aside.is_some() && now.set_aside.is_none() {
            note(EventKind::WorkerEnabled, EventRow::default());
        }
        if now.assigned != before.assigned {
            let roles = |roles: &Option<BTreeSet<Role>>| match roles {
                Some(roles) => roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "),
                None => "all".to_owned(),
            };
            let (before, after) = (roles(&before.assigned), roles(&now.assigned));
            note(EventKind::WorkerAssigned, changed(Some(&before), Some(&after)));
        }
    }
}

fn how(end: &AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Done => "done",
        AttemptEnd::Failed(_) => "failed",
        AttemptEnd::Revoked => "revoked",
        AttemptEnd::Lost => "lost",
    }
}

fn changed(before: Option<&str>, after: Option<&str>) -> EventRow {
    EventRow { before: before.map(str::to_owned), after: after.map(str::to_owned), ..EventRow::default() }
}
