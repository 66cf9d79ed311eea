//! The machine: one input at a time changes the state, the placement policy is asked until it has nothing more to
//! say, and everything to be done is queued as actions, rows first. The transitions live in the modules below.

mod chains;
mod copies;
mod dispatch;
mod invariants;
mod jobs;
mod kept;
mod leaving;
mod losses;
mod pins;
mod refresh;
mod reports;
mod restore;
mod stalls;
mod view;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wanfarm_types::{AttemptId, JobId, VideoId, WorkerId};

use crate::attempts::{Ledger, Work};
use crate::job::{Job, Models, Text};
use crate::kept::KeptTexts;
use crate::placement::{Board, next_decision};
use crate::video::Video;
use crate::worker::Worker;
use crate::{Action, Change, Config, Input, Instant, TextKey};

pub use invariants::Violation;
pub use restore::RestoreError;
pub use view::{Progress, WorkerView};

/// The state of all jobs, videos and workers, and the transitions on it.
#[derive(Debug, Clone)]
pub struct Scheduler {
    config: Config,
    now: Instant,
    models: Models,
    jobs: BTreeMap<JobId, Job>,
    videos: BTreeMap<VideoId, Video>,
    texts: BTreeMap<TextKey, Text>,
    /// Encoded texts that none of those is.
    kept: KeptTexts,
    workers: BTreeMap<WorkerId, Worker>,
    ledger: Ledger,
    leases: BTreeSet<(Instant, WorkerId)>,
    /// By when items must have shown their next point.
    stalls: BTreeSet<(Instant, AttemptId)>,
    /// When workers may try again to load what they could not.
    reloads: BTreeSet<(Instant, WorkerId)>,
    /// Workers that are to leave and have not been told yet.
    leaving: BTreeSet<WorkerId>,
    /// How many workers have come.
    arrivals: u64,
    /// Something has ended that roles are refused for.
    look_again: bool,
    /// When a failed copy or write is worth another try.
    timers: BTreeSet<(Instant, Work)>,
    /// Derived from the above by `refresh`; what the policy sees.
    board: Board,
    /// What `refresh` has to look at before the next decision.
    dirty: BTreeSet<Dirty>,
    /// Rows and actions of the input being handled.
    changes: Vec<Change>,
    actions: Vec<Action>,
    /// Actions to be polled.
    outbox: VecDeque<Action>,
}

/// Something whose place on the board may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Video(VideoId),
    Text(TextKey),
    Worker(WorkerId),
}

impl Scheduler {
    /// An empty scheduler. `next_attempt` must be greater than every attempt ever issued on this farm.
    pub fn new(config: Config, next_attempt: AttemptId) -> Self {
        let board = config.board();
        Self {
            config,
            now: Instant(0),
            models: Models::default(),
            jobs: BTreeMap::new(),
            videos: BTreeMap::new(),
            texts: BTreeMap::new(),
            kept: KeptTexts::default(),
            workers: BTreeMap::new(),
            ledger: Ledger::new(next_attempt),
            leases: BTreeSet::new(),
            stalls: BTreeSet::new(),
            reloads: BTreeSet::new(),
            leaving: BTreeSet::new(),
            arrivals: 0,
            look_again: false,
            timers: BTreeSet::new(),
            board,
            dirty: BTreeSet::new(),
            changes: Vec::new(),
            actions: Vec::new(),
            outbox: VecDeque::new(),
        }
    }

    /// Handles one event that happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::JobAdded(plan) => self.job_added(plan),
            Input::Pause(job) => self.pause(job),
            Input::SetPriority(job, priority) => self.set_priority(job, priority),
            Input::Resume(job) => self.resume(job),
            Input::Cancel(target) => self.cancel(target),
            Input::Retry(target) => self.retry(target),
            Input::Forget(job) => self.forget(job),
            Input::WorkerJoined(hello) => self.worker_joined(hello),
            Input::Heartbeat { worker, incarnation } => self.heartbeat(worker, incarnation),
            Input::WorkerLost { worker, incarnation } => self.worker_lost(worker, incarnation),
            Input::WorkerGone { worker, incarnation, clean } => self.worker_gone(worker, incarnation, clean),
            Input::Drain(worker) => self.drain(worker),
            Input::WorkerEnabled(worker) => self.worker_enabled(worker),
            Input::AssignRoles(worker, roles) => self.assign_roles(worker, roles),
            Input::ForgetWorker(worker) => self.forget_worker(worker),
            Input::Report { worker, incarnation, attempt, report } => {
                self.report(worker, incarnation, attempt, report);
            }
            Input::Durable(artifact) => self.durable(artifact),
            Input::CopyFailed(artifact) => self.copy_failed(artifact),
            Input::CopyUnsound { artifact, maker, reason } => self.copy_unsound(artifact, maker, reason),
            Input::OutputsWritten(video) => self.outputs_written(video),
            Input::OutputsHeld(video) => self.outputs_held(video),
            Input::OutputsFailed { video, failure } => self.outputs_failed(video, failure),
        }
        self.settle();
    }

    /// Does what is due at `now`. To be called when the time of [`Self::poll_timeout`] has come, after all inputs that
    /// have already arrived: a heartbeat waiting in a queue is better than a lease broken.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let was_away = self.was_away();
        self.end_leases(was_away);
        self.end_stalls(was_away);
        while let Some(&(at, id)) = self.reloads.first().filter(|(at, _)| *at <= self.now) {
            self.reloads.remove(&(at, id));
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.try_again(self.now);
                self.dirty.insert(Dirty::Worker(id));
            }
        }
        while let Some(&(at, work)) = self.timers.first().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, work));
            self.end_rest(work);
            self.touch(work);
        }
        self.settle();
    }

    /// The next thing to do. To be polled until `None` after every `handle` and `handle_timeout`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::handle_timeout`], if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lease = self.leases.first().map(|(at, _)| *at);
        let stall = self.stalls.first().map(|(at, _)| *at);
        let timer = self.timers.first().map(|(at, _)| *at);
        let reload = self.reloads.first().map(|(at, _)| *at);
        lease.into_iter().chain(stall).chain(timer).chain(reload).chain(self.next_to_leave()).min()
    }

    /// Brings the board up to date, carries out decisions until there are none, and queues the actions.
    fn settle(&mut self) {
        while !self.dirty.is_empty() || self.look_again {
            if std::mem::take(&mut self.look_again) {
                self.reconsider();
            }
            while let Some(dirty) = self.dirty.pop_first() {
                match dirty {
                    Dirty::Video(video) => self.refresh_video(video),
                    Dirty::Text(text) => self.refresh_text(text),
                    Dirty::Worker(worker) => self.refresh_worker(worker),
                }
            }
            if let Some(decision) = next_decision(&self.board) {
                self.carry_out(decision);
            }
        }
        self.finish_drains();
        if !self.changes.is_empty() {
            self.outbox.push_back(Action::Commit(std::mem::take(&mut self.changes)));
        }
        self.outbox.extend(self.actions.drain(..));
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Marks what an item belongs to for `refresh`.
    fn touch(&mut self, work: Work) {
        self.dirty.insert(match work {
            Work::Text(text) => Dirty::Text(text),
            Work::Image(video) | Work::Video(video) => Dirty::Video(video),
        });
    }
}
