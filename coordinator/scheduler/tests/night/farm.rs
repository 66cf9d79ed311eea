//! The world around the scheduler: virtual time, connections that keep order until they break, a coordinator that
//! loses everything but its rows and its store, workers, operators, and the faults that befall them.

mod coordinator;
mod faults;
mod network;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use wanfarm_scheduler::{
    Action, ArtifactId, Change, Config, Input, Instant, JobPhase, JobPlan, Scheduler, Served, Target, VideoPhase,
    WorkerView,
};
use wanfarm_types::{
    AttemptId, Digest, Failure, FailureKind, Footprint, JobId, Role, Stage, TensorRef, VideoId, WorkerId,
};

use crate::audit::Audit;
use crate::reference;
use crate::weather::Weather;
use crate::worker::{Fate, Worker};

const MINUTE: u64 = 60_000;
const HEARTBEAT: u64 = 15_000;

#[derive(Debug)]
enum Event {
    Submit(usize),
    /// A boot, if it is still down.
    Boot(usize),
    /// A worker dials, if it has no connection.
    Dial(usize),
    /// The worker notices that its connection is closed.
    Closed(usize, u64),
    ToWorker(usize, u64, Action),
    ToCoordinator(u64, Input),
    /// The running item of this generation comes to its next point.
    Progress(usize, u64),
    Heartbeat(usize, u64),
    /// The coordinator notices that a connection broke.
    Lost(u64),
    /// From whom, and whether they were pulled before anything else happened.
    Copied(u64, ArtifactId, Vec<TensorRef>, (WorkerId, bool)),
    Written(u64, VideoId, TensorRef, WorkerId),
    CoordinatorUp,
    Minute,
}

struct Connection {
    worker: usize,
    incarnation: wanfarm_types::Incarnation,
    open: bool,
    /// The coordinator has taken in its hello; before that it does not speak on it.
    greeted: bool,
    /// Nothing arrives before what was sent earlier: to the worker, to the coordinator.
    arrived: [u64; 2],
}

pub(crate) struct Farm {
    rng: SmallRng,
    weather: Weather,
    /// Nobody fails or dies, from the evening to the end: whoever is blamed for something has lied.
    only_liars: bool,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    scheduler: Option<Scheduler>,
    /// Its process is stopped until then.
    stopped_until: u64,
    /// Counts the coordinator's boots.
    epoch: u64,
    rows: Vec<Change>,
    audit: Audit,
    /// What the coordinator's clock shows at the beginning of time; another one after each restart.
    origin: u64,
    config: Config,
    /// Lengths of `rows` after each commit.
    commits: Vec<usize>,
    store: BTreeSet<Digest>,
    connections: BTreeMap<u64, Connection>,
    workers: Vec<Worker>,
    /// Who cannot dial whom; without the first, nobody can.
    walls: BTreeSet<(Option<usize>, usize)>,
    jobs: Vec<JobPlan>,
    bad: BTreeMap<VideoId, FailureKind>,
    written: BTreeMap<VideoId, TensorRef>,
    last_assigned: AttemptId,
    /// Attempts that were ever revoked or stopped.
    revoked: BTreeSet<AttemptId>,
    steps_run: u64,
}

/// What is still to be done, and who is there to do it.
fn open(scheduler: &Scheduler) -> (Vec<(VideoId, Option<Stage>)>, Vec<WorkerView>) {
    let videos = scheduler.job_ids().flat_map(|job| scheduler.phases(job)).filter(|(_, phase)| phase.is_open());
    let workers = scheduler.worker_ids().filter_map(|worker| scheduler.view_worker(worker));
    (videos.map(|(video, _)| (video, scheduler.stage(video))).collect(), workers.collect())
}

impl Farm {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let config = Self::config(&mut rng);
        let mut farm = Farm {
            rng,
            weather,
            only_liars: weather.ruin > 0 && weather.failure == 0,
            now: 1_000,
            events: BTreeMap::new(),
            sequence: 0,
            scheduler: Some(Scheduler::new(config.clone(), AttemptId(1))),
            audit: Audit::default(),
            origin: 0,
            config,
            stopped_until: 0,
            epoch: 0,
            rows: Vec::new(),
            commits: vec![0],
            store: BTreeSet::new(),
            connections: BTreeMap::new(),
            workers: Vec::new(),
            walls: BTreeSet::new(),
            jobs: Vec::new(),
            bad: BTreeMap::new(),
            written: BTreeMap::new(),
            last_assigned: AttemptId(0),
            revoked: BTreeSet::new(),
            steps_run: 0,
        };
        farm.hire();
        farm.plan();
        farm
    }

    /// What an operator may have tuned.
    fn config(rng: &mut SmallRng) -> Config {
        let usual = Config { lease: Duration::from_secs(60), stall: Duration::from_secs(40), ..Config::default() };
        Config {
            queue_per_worker: rng.random_range(1..4),
            steps_per_assignment: if rng.random_ratio(1, 5) { rng.random_range(1..4) } else { u32::MAX },
            prefetch_steps: rng.random_range(0..4),
            move_margin: Duration::from_millis(rng.random_range(0..10_000)),
            checkpoint_steps: rng.random_range(1..4),
            checkpoint_time: Duration::from_secs(rng.random_range(1..60)),
            unwritten_videos: rng.random_range(1..5),
            kept_text_bytes: [0, 10, 1000, u64::MAX][rng.random_range(0..4)],
            ..usual
        }
    }

    pub(crate) fn rows(&self) -> &[Change] {
        &self.rows
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_ratio(per_mille.min(1000), 1000)
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Half an hour of weather, then the morning.
    pub(crate) fn night(&mut self) {
        self.after(MINUTE, Event::Minute);
        self.run_until(self.now + 30 * MINUTE);
        self.morning();
    }

    /// Everything is repaired; what is left must come to its end.
    pub(crate) fn morning(&mut self) {
        self.weather = Weather::CALM;
        self.copy_weights();
        for number in 0..self.workers.len() {
            self.workers[number].broken = false;
            if self.workers[number].hung.is_some() {
                self.crash(number);
            }
            if !self.workers[number].up {
                self.after(0, Event::Boot(number));
            }
        }
        if self.scheduler.is_none() {
            self.after(0, Event::CoordinatorUp);
        }
        // Sleepers wake up.
        self.run_until(self.now + 11 * MINUTE);
        for job in self.jobs.iter().map(|job| job.id).collect::<Vec<_>>() {
            self.input(Input::Resume(job));
        }
        for id in self.workers.iter().map(|worker| worker.id).collect::<Vec<_>>() {
            self.input(Input::WorkerEnabled(id));
            self.input(Input::AssignRoles(id, None));
        }
        let deadline = self.now + 24 * 60 * MINUTE;
        while !self.is_over() {
            assert!(self.now < deadline, "not over after a day: {:#?}", self.scheduler.as_ref().map(open));
            self.run_until(self.now + MINUTE);
        }
        // Last words arrive, memory is freed.
        self.run_until(self.now + 5 * MINUTE);
    }

    fn is_over(&self) -> bool {
        let open = |scheduler: &Scheduler, job: &JobPlan| scheduler.phases(job.id).any(|(_, phase)| phase.is_open());
        self.scheduler.as_ref().is_some_and(|scheduler| !self.jobs.iter().any(|job| open(scheduler, job)))
    }

    fn run_until(&mut self, end: u64) {
        while self.now < end {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timeout = self
                .scheduler
                .as_ref()
                .and_then(Scheduler::poll_timeout)
                .map(|at| (at.0 - self.origin).max(self.now).max(self.stopped_until));
            match (event, timeout) {
                (Some(at), _) if at <= end && timeout.is_none_or(|timeout| at <= timeout) => {
                    self.now = self.now.max(at);
                    let (_, event) = self.events.pop_first().expect("there is one");
                    self.happen(event);
                }
                (_, Some(timeout)) if timeout <= end => {
                    self.now = timeout + self.rng.random_range(0..100);
                    let now = self.clock();
                    let alive = self.alive();
                    if let Some(scheduler) = self.scheduler.as_mut() {
                        scheduler.handle_timeout(now);
                    }
                    // Where nobody crashes or sleeps, heartbeats come, also while the coordinator is stopped.
                    let must_live = self.weather.stop > 0 && self.weather.sleep == 0;
                    assert!(!must_live || self.alive() == alive, "at {}: a living worker is given up", self.now);
                    self.after_transition(&"timeout");
                }
                _ => self.now = end,
            }
        }
    }

    fn happen(&mut self, event: Event) {
        let asleep = match &event {
            Event::Closed(worker, _) | Event::ToWorker(worker, ..) | Event::Progress(worker, _) => Some(*worker),
            Event::Heartbeat(worker, _) | Event::Dial(worker) => Some(*worker),
            _ => None,
        };
        let wakes = asleep.and_then(|worker| self.workers[worker].asleep_until);
        if let Some(until) = wakes.filter(|until| *until > self.now) {
            return self.after(until - self.now, event);
        }
        let to_coordinator = matches!(
            event,
            Event::ToCoordinator(..) | Event::Lost(_) | Event::Copied(..) | Event::Written(..) | Event::Submit(_)
        );
        if to_coordinator && self.stopped_until > self.now {
            return self.after(self.stopped_until - self.now, event);
        }
        match event {
            Event::Submit(job) => {
                if self.scheduler.is_some() {
                    self.input(Input::JobAdded(self.jobs[job].clone()));
                }
                // A crash may have swallowed it; the client asks again until it is in.
                if !self.is_known(job) {
                    self.after(5_000, Event::Submit(job));
                }
            }
            Event::Boot(number) if !self.workers[number].up => {
                self.workers[number].boot();
                self.after(0, Event::Dial(number));
                self.after(HEARTBEAT, Event::Heartbeat(number, self.workers[number].boots));
            }
            Event::Boot(_) => {}
            Event::Dial(number) => self.dial(number),
            Event::Closed(number, connection) => {
                if self.workers[number].connection == Some(connection) {
                    self.workers[number].connection = None;
                    let pause = self.rng.random_range(100..8_000);
                    self.after(pause, Event::Dial(number));
                }
            }
            Event::ToWorker(number, connection, message) => {
                if self.workers[number].connection == Some(connection) {
                    self.deliver(number, &message);
                }
            }
            Event::ToCoordinator(connection, input) => {
                if let Some(connection) = self.connections.get_mut(&connection).filter(|connection| connection.open) {
                    connection.greeted |= matches!(input, Input::WorkerJoined(_));
                    self.input(input);
                }
            }
            Event::Progress(number, generation) => self.progress(number, generation),
            Event::Heartbeat(number, boots) => self.heartbeat(number, boots),
            Event::Lost(connection) => self.lost(connection),
            Event::Copied(epoch, artifact, tensors, from) => self.copied(epoch, artifact, &tensors, from),
            Event::Written(epoch, video, frames, holder) => self.wrote(epoch, video, frames, holder),
            Event::CoordinatorUp => self.coordinator_up(),
            Event::Minute => self.minute(),
        }
    }

    fn is_known(&self, job: usize) -> bool {
        self.audit.jobs.contains_key(&self.jobs[job].id)
    }

    /// What the coordinator takes for the time. It is no wall clock, starts anywhere, and need not be exact.
    fn clock(&self) -> Instant {
        Instant(self.origin + self.now)
    }

    pub(crate) fn assert_everything_is_done(&self) {
        self.assert_everything_has_ended();
        let videos: usize = self.jobs.iter().map(|job| job.videos.len()).sum();
        assert_eq!(self.written.len(), videos, "every video is written");
    }

    pub(crate) fn assert_everything_has_ended(&self) {
        let scheduler = self.scheduler.as_ref().expect("the coordinator is up");
        for (video, phase) in self.jobs.iter().flat_map(|job| scheduler.phases(job.id)) {
            match (phase, self.bad.get(&video)) {
                (VideoPhase::Open, _) => panic!("{video} is still open"),
                (VideoPhase::Done, bad) => {
                    assert!(bad.is_none(), "{video} cannot be done");
                    let before = &self.plan_of(video.job).videos[video.index as usize].after;
                    assert!(before.iter().all(|index| self.audit.is_done(VideoId { index: *index, ..video })));
                }
                (VideoPhase::Failed(_) | VideoPhase::Cancelled, _) => {}
            }
        }
        for worker in self.workers.iter().filter(|worker| worker.up) {
            assert!(
                worker.running.is_none() && worker.next.is_none(),
                "{:?} still works: {:?}",
                worker.id,
                scheduler.view_worker(worker.id)
            );
            assert!(
                worker.buffer.is_empty(),
                "{:?} {:?} got no answer to {:?} {:?}",
                worker.id,
                worker.connection,
                worker.buffer,
                scheduler.view_worker(worker.id)
            );
            assert!(worker.memory.is_empty(), "{:?} still keeps {:?}", worker.id, worker.memory);
        }
        assert_eq!(self.store, self.audit.referenced(), "the store keeps what rows refer to");
    }
}
