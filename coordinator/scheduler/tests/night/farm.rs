//! The world around the scheduler: virtual time, connections that keep order until they break, a coordinator that
//! loses everything but its rows and its store, workers, operators, and the faults that befall them.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wanfarm_scheduler::{
    Action, ArtifactId, Change, Config, Input, Instant, JobPlan, JobState, Scheduler, Served, Target, VideoPlan,
    VideoState,
};
use wanfarm_types::{AttemptId, Digest, Failure, FailureKind, JobId, Role, TensorRef, VideoId, WorkerId};

use crate::reference;
use crate::weather::Weather;
use crate::worker::{Fate, Worker};

const TRACE: bool = false;
const MINUTE: u64 = 60_000;

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
    Copied(u64, ArtifactId, Vec<TensorRef>, WorkerId),
    Written(u64, VideoId, TensorRef, WorkerId),
    CoordinatorUp,
    Minute,
}

struct Connection {
    worker: usize,
    incarnation: wanfarm_types::Incarnation,
    open: bool,
    /// Nothing arrives before what was sent earlier: to the worker, to the coordinator.
    arrived: [u64; 2],
}

pub struct Farm {
    rng: SmallRng,
    weather: Weather,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    scheduler: Option<Scheduler>,
    /// Counts the coordinator's boots.
    epoch: u64,
    rows: Vec<Change>,
    /// Lengths of `rows` after each commit.
    commits: Vec<usize>,
    store: BTreeSet<Digest>,
    connections: BTreeMap<u64, Connection>,
    workers: Vec<Worker>,
    jobs: Vec<JobPlan>,
    bad: BTreeMap<VideoId, FailureKind>,
    written: BTreeMap<VideoId, TensorRef>,
    last_assigned: AttemptId,
    steps_run: u64,
}

impl Farm {
    pub fn new(seed: u64, weather: Weather) -> Self {
        let mut farm = Farm {
            rng: SmallRng::seed_from_u64(seed),
            weather,
            now: 1_000,
            events: BTreeMap::new(),
            sequence: 0,
            scheduler: Some(Scheduler::new(Config::default(), AttemptId(1))),
            epoch: 0,
            rows: Vec::new(),
            commits: vec![0],
            store: BTreeSet::new(),
            connections: BTreeMap::new(),
            workers: Vec::new(),
            jobs: Vec::new(),
            bad: BTreeMap::new(),
            written: BTreeMap::new(),
            last_assigned: AttemptId(0),
            steps_run: 0,
        };
        farm.hire();
        farm.plan();
        farm
    }

    pub fn rows(&self) -> &[Change] {
        &self.rows
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_ratio(per_mille.min(1000), 1000)
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn hire(&mut self) {
        let count = self.rng.random_range(2..7);
        for number in 0..count {
            // The first one serves everything, so that every role exists.
            let everything = number == 0 || self.chance(200);
            let lot = u64::from(number != 0 && self.weather.bad_worker > 0 && self.rng.random_ratio(1, 25));
            let mut serves = Vec::new();
            for (model, roles) in [
                ("dual", &[Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae][..]),
                ("single", &[Role::TextEncoder, Role::Dit, Role::Vae][..]),
            ] {
                for &role in roles {
                    if everything || self.rng.random_ratio(1, 3) {
                        serves.push(Served { model: model.into(), role, weights: weights(model, role, lot) });
                    }
                }
            }
            let broken = number != 0 && self.rng.random_ratio(self.weather.bad_worker.min(1000), 1000);
            let step_ms = self.rng.random_range(500..20_000);
            self.workers.push(Worker::new(number, serves, step_ms, broken));
            let late = if self.chance(300) { self.rng.random_range(0..20 * MINUTE) } else { 0 };
            self.after(late, Event::Boot(number as usize));
        }
    }

    fn plan(&mut self) {
        for id in 1..=self.rng.random_range(1..4) {
            let model = if self.chance(300) { "single" } else { "dual" };
            let total = self.rng.random_range(2..9);
            let high = self.rng.random_range(0..total);
            let videos = self.rng.random_range(1..9);
            let priority = self.rng.random_range(0..3);
            let plan = reference::job(id, priority, model, videos, high, total);
            for index in 0..videos {
                if self.chance(self.weather.bad_video) {
                    let kind = if self.rng.random() { FailureKind::Deterministic } else { FailureKind::Transient };
                    self.bad.insert(VideoId { job: plan.id, index }, kind);
                }
            }
            self.jobs.push(plan);
            let at = self.rng.random_range(0..30 * MINUTE);
            self.after(at, Event::Submit(id as usize - 1));
        }
    }

    /// An hour of weather, then the morning.
    pub fn night(&mut self) {
        self.after(MINUTE, Event::Minute);
        self.run_until(self.now + 60 * MINUTE);
        self.morning();
    }

    /// Everything is repaired; what is left must come to its end.
    pub fn morning(&mut self) {
        self.weather = Weather::CALM;
        self.copy_weights();
        for number in 0..self.workers.len() {
            self.workers[number].broken = false;
            if !self.workers[number].up {
                self.after(0, Event::Boot(number));
            }
        }
        if self.scheduler.is_none() {
            self.after(0, Event::CoordinatorUp);
        }
        // Sleepers wake up.
        self.run_until(self.now + 42 * MINUTE);
        for job in self.jobs.iter().map(|job| job.id).collect::<Vec<_>>() {
            self.input(Input::Resume(job));
        }
        for id in self.workers.iter().map(|worker| worker.id).collect::<Vec<_>>() {
            self.input(Input::WorkerEnabled(id));
        }
        let deadline = self.now + 24 * 60 * MINUTE;
        while !self.is_over() {
            assert!(self.now < deadline, "not over after a day: {:#?}", self.scheduler.as_ref().map(Scheduler::view));
            self.run_until(self.now + MINUTE);
        }
        // Last words arrive, memory is freed.
        self.run_until(self.now + 5 * MINUTE);
    }

    /// Gives every worker the weights that unfinished jobs are rendered with, and reboots it for that.
    fn copy_weights(&mut self) {
        let mut pins = BTreeMap::new();
        for row in &self.rows {
            if let Change::WeightsPinned { job, role, weights } = row {
                let model = self.jobs[job.0 as usize - 1].model.clone();
                let is_open = |change: &&Change| matches!(change, Change::JobState { job: of, .. } if of == job);
                let last = self.rows.iter().rev().find(is_open);
                if !matches!(last, Some(Change::JobState { state: JobState::Finished, .. })) {
                    pins.insert((model, *role), *weights);
                }
            }
        }
        for number in 0..self.workers.len() {
            let mut serves = self.workers[number].serves.clone();
            for served in &mut serves {
                let pin = pins.get(&(served.model.clone(), served.role)).copied().flatten();
                served.weights = pin.unwrap_or_else(|| weights(&served.model, served.role, 0));
            }
            if serves != self.workers[number].serves {
                self.workers[number].serves = serves;
                self.crash(number);
            }
        }
    }

    fn is_over(&self) -> bool {
        let open = |scheduler: &Scheduler, job: &JobPlan| {
            let known = scheduler.view_job(job.id);
            known.is_some_and(|job| job.videos.iter().any(|video| video.state.is_open()))
        };
        self.scheduler.as_ref().is_some_and(|scheduler| !self.jobs.iter().any(|job| open(scheduler, job)))
    }

    fn run_until(&mut self, end: u64) {
        while self.now < end {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.scheduler.as_ref().and_then(Scheduler::poll_timeout).map(|at| at.0.max(self.now));
            match (event, timeout) {
                (Some(at), _) if at <= end && timeout.is_none_or(|timeout| at <= timeout) => {
                    self.now = self.now.max(at);
                    let (_, event) = self.events.pop_first().expect("there is one");
                    self.happen(event);
                }
                (_, Some(timeout)) if timeout <= end => {
                    self.now = timeout + self.rng.random_range(0..100);
                    if let Some(scheduler) = self.scheduler.as_mut() {
                        scheduler.handle_timeout(Instant(self.now));
                    }
                    self.after_transition("timeout");
                }
                _ => self.now = end,
            }
        }
    }

    fn happen(&mut self, event: Event) {
        if TRACE { eprintln!("{} {event:?}", self.now); }
        let asleep = match &event {
            Event::Closed(worker, _) | Event::ToWorker(worker, ..) | Event::Progress(worker, _) => Some(*worker),
            Event::Heartbeat(worker, _) | Event::Dial(worker) => Some(*worker),
            _ => None,
        };
        if let Some(until) = asleep.and_then(|worker| self.workers[worker].asleep_until) {
            if until > self.now {
                return self.after(until - self.now, event);
            }
        }
        match event {
            Event::Submit(job) => {
                if self.scheduler.is_some() {
                    self.input(Input::JobAdded(self.jobs[job].clone()));
                }
                // A crash may have swallowed it; whoever submits asks again until it is in.
                if !self.is_known(job) {
                    self.after(5_000, Event::Submit(job));
                }
            }
            Event::Boot(number) if !self.workers[number].up => {
                self.workers[number].boot();
                self.after(0, Event::Dial(number));
                self.after(5_000, Event::Heartbeat(number, self.workers[number].boots));
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
                if self.connections.get(&connection).is_some_and(|connection| connection.open) {
                    self.input(input);
                }
            }
            Event::Progress(number, generation) => self.progress(number, generation),
            Event::Heartbeat(number, boots) => self.heartbeat(number, boots),
            Event::Lost(connection) => self.lost(connection),
            Event::Copied(epoch, artifact, tensors, holder) => self.copied(epoch, artifact, &tensors, holder),
            Event::Written(epoch, video, frames, holder) => self.wrote(epoch, video, frames, holder),
            Event::CoordinatorUp => self.coordinator_up(),
            Event::Minute => self.minute(),
        }
    }

    fn is_known(&self, job: usize) -> bool {
        self.rows.iter().any(|row| matches!(row, Change::JobAdded(plan) if plan.id == self.jobs[job].id))
    }

    fn input(&mut self, input: Input) {
        let what = format!("{input:?}");
        let Some(scheduler) = self.scheduler.as_mut() else { return };
        scheduler.handle(Instant(self.now), input);
        self.after_transition(&what);
    }

    /// Checks the invariants, then carries out the actions, unless the coordinator dies in the middle of it.
    fn after_transition(&mut self, what: &str) {
        let Some(scheduler) = self.scheduler.as_mut() else { return };
        if let Err(violation) = scheduler.check_invariants() {
            panic!("at {} after {what}: {violation}", self.now);
        }
        let actions: Vec<Action> = std::iter::from_fn(|| scheduler.poll_action()).collect();
        if TRACE { for action in &actions { eprintln!("{}   => {action:?}", self.now); } }
        let dies_before = self.chance(self.weather.coordinator).then(|| self.rng.random_range(0..=actions.len()));
        for (index, action) in actions.into_iter().enumerate() {
            if dies_before == Some(index) {
                return self.coordinator_down();
            }
            self.carry_out(index, action);
        }
        if dies_before.is_some() {
            self.coordinator_down();
        }
    }

    fn carry_out(&mut self, index: usize, action: Action) {
        match action {
            Action::Commit(changes) => {
                assert_eq!(index, 0, "rows come before everything that depends on them");
                for change in &changes {
                    if let Change::VideoState { video, state: VideoState::Done } = change {
                        let done = |row: &Change| matches!(row, Change::VideoState { video: v, state: VideoState::Done } if v == video);
                        assert!(!self.rows.iter().any(done), "{video} finished twice");
                    }
                }
                self.rows.extend(changes);
                self.commits.push(self.rows.len());
            }
            Action::Assign(ref assignment) => {
                let (attempt, worker) = (assignment.attempt, assignment.worker);
                assert!(attempt > self.last_assigned, "{attempt} is not newer than {}", self.last_assigned);
                let issued = |row: &Change| matches!(row, Change::AttemptIssued { attempt: a, .. } if *a == attempt);
                assert!(self.rows.iter().rev().any(issued), "{attempt} left before it was committed");
                self.last_assigned = attempt;
                self.send(worker, action);
            }
            Action::Revoke { worker, .. }
            | Action::StopAfterStep { worker, .. }
            | Action::Ack { worker, .. }
            | Action::Drop { worker, .. } => self.send(worker, action),
            Action::RefuseWorker { worker, incarnation, .. } | Action::Disconnect { worker, incarnation } => {
                let ids: Vec<u64> = self
                    .connections
                    .iter()
                    .filter(|(_, c)| c.open && c.incarnation == incarnation)
                    .map(|(&id, _)| id)
                    .collect();
                assert!(ids.iter().all(|id| self.workers[self.connections[id].worker].id == worker));
                ids.into_iter().for_each(|id| self.hang_up(id, 30_000));
            }
            Action::MakeDurable { artifact, tensors, holder } => {
                let delay = self.rng.random_range(100..10_000);
                self.after(delay, Event::Copied(self.epoch, artifact, tensors, holder));
            }
            Action::WriteOutputs { video, frames, holder, checkpoint } => {
                assert_eq!(frames, reference::frames(&checkpoint));
                let delay = self.rng.random_range(100..5_000);
                self.after(delay, Event::Written(self.epoch, video, frames, holder));
            }
            Action::DeleteDurable(_) => self.collect_garbage(),
            Action::RefuseJob { .. } => panic!("a good job was refused"),
            Action::SetAside { .. } | Action::VideoFailed { .. } | Action::JobFinished(_) => {}
        }
    }

    /// Sends on the open connection of a worker, if any; what was sent first arrives first.
    fn send(&mut self, worker: WorkerId, message: Action) {
        let workers = &self.workers;
        let open = self.connections.iter_mut().find(|(_, c)| c.open && workers[c.worker].id == worker);
        let Some((&id, connection)) = open else { return };
        connection.arrived[0] = connection.arrived[0].max(self.now + self.rng.random_range(1..300));
        let (number, at) = (connection.worker, connection.arrived[0]);
        self.after(at - self.now, Event::ToWorker(number, id, message));
    }

    fn say(&mut self, number: usize, input: Input) {
        let Some(id) = self.workers[number].connection else { return };
        let hello = matches!(input, Input::WorkerJoined(_));
        let copies = if !hello && self.chance(self.weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            connection.arrived[1] = connection.arrived[1].max(self.now + self.rng.random_range(1..300));
            let at = connection.arrived[1];
            self.after(at - self.now, Event::ToCoordinator(id, input.clone()));
        }
    }

    fn dial(&mut self, number: usize) {
        if !self.workers[number].up || self.workers[number].connection.is_some() {
            return;
        }
        if self.scheduler.is_none() {
            return self.after(1_000, Event::Dial(number));
        }
        // The new connection takes the place of a half-open one.
        let old = self.connections.iter().filter(|(_, c)| c.worker == number && c.open).map(|(&id, _)| id);
        for id in old.collect::<Vec<_>>() {
            if self.rng.random() {
                self.lost(id);
            }
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.open = false;
            }
        }
        if self.scheduler.is_none() {
            return self.after(1_000, Event::Dial(number));
        }
        self.sequence += 1;
        let id = self.sequence;
        let incarnation = self.workers[number].incarnation();
        let connection = Connection { worker: number, incarnation, open: true, arrived: [self.now; 2] };
        self.connections.retain(|_, connection| connection.open);
        self.connections.insert(id, connection);
        self.workers[number].connection = Some(id);
        self.say(number, Input::WorkerJoined(self.workers[number].hello()));
        for (attempt, report) in self.workers[number].buffer.clone() {
            let worker = self.workers[number].id;
            self.say(number, Input::Report { worker, incarnation, attempt, report });
        }
    }

    fn deliver(&mut self, number: usize, message: &Action) {
        let (changed, reports) = self.workers[number].receive(message);
        self.tell(number, reports);
        if changed {
            self.next_point(number);
        }
    }

    fn tell(&mut self, number: usize, reports: Vec<(AttemptId, wanfarm_scheduler::Report)>) {
        for (attempt, report) in reports {
            let (worker, incarnation) = (self.workers[number].id, self.workers[number].incarnation());
            self.workers[number].buffer.push((attempt, report.clone()));
            self.say(number, Input::Report { worker, incarnation, attempt, report });
        }
    }

    fn next_point(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.generation += 1;
        let fetching = worker.inputs_to_fetch().is_some();
        if worker.running.is_some() {
            let (delay, generation) = (if fetching { 200 } else { worker.step_ms }, worker.generation);
            self.after(delay, Event::Progress(number, generation));
        }
    }

    fn progress(&mut self, number: usize, generation: u64) {
        if !self.workers[number].up || self.workers[number].generation != generation {
            return;
        }
        let Some(fate) = self.fate(number) else { return self.crash(number) };
        self.steps_run += 1;
        let reports = self.workers[number].progress(fate);
        self.tell(number, reports);
        self.next_point(number);
    }

    /// What becomes of the next point of the running item; `None`: the process dies of it.
    fn fate(&mut self, number: usize) -> Option<Fate> {
        let item = self.workers[number].running.as_ref()?;
        let (video, steps) = (item.assignment.item.video, item.assignment.item.steps);
        if let Some((inputs, holders)) = self.workers[number].inputs_to_fetch() {
            let readable = |digest: &Digest| {
                let held = self.workers.iter().any(|worker| {
                    let awake = worker.up && worker.asleep_until.is_none_or(|until| until <= self.now);
                    awake && worker.holds(digest) && holders.contains(&(*digest, worker.id))
                });
                held || (self.scheduler.is_some() && self.store.contains(digest))
            };
            let kind = FailureKind::InputsLost;
            return Some(match inputs.iter().all(readable) {
                true => Fate::Well,
                false => Fate::Fails(Failure { kind, message: "inputs are nowhere to be had".into() }),
            });
        }
        match self.bad.get(&video) {
            Some(FailureKind::Deterministic) if !steps.is_empty() => {
                return Some(Fate::Fails(Failure::deterministic("this size does not fit")));
            }
            // Poison: the process dies on its last step, wherever it runs.
            Some(_) if !steps.is_empty() && item.started => return None,
            _ => {}
        }
        if self.workers[number].broken || self.chance(self.weather.failure) {
            let kind = if self.chance(200) { FailureKind::NotFinite } else { FailureKind::Transient };
            return Some(Fate::Fails(Failure { kind, message: "something broke".into() }));
        }
        Some(Fate::Well)
    }

    fn crash(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        worker.up = false;
        worker.generation += 1;
        worker.asleep_until = None;
        let connection = worker.connection.take();
        let (id, incarnation) = (worker.id, worker.incarnation());
        if let Some(connection) = connection {
            let noticed = self.rng.random_range(1..3_000);
            if self.chance(300) {
                // A supervisor on the same machine saw it exit.
                self.input(Input::WorkerGone { worker: id, incarnation, clean: false });
            }
            self.after(noticed, Event::Lost(connection));
        }
        let reboot = self.rng.random_range(1_000..10 * MINUTE);
        self.after(reboot, Event::Boot(number));
    }

    fn heartbeat(&mut self, number: usize, boots: u64) {
        let worker = &self.workers[number];
        if !worker.up || worker.boots != boots {
            return;
        }
        let (id, incarnation) = (worker.id, worker.incarnation());
        self.say(number, Input::Heartbeat { worker: id, incarnation });
        if self.chance(self.weather.lie) {
            let attempt = AttemptId(self.rng.random_range(0..=self.last_assigned.0 + 2));
            // A liar may ruin what it was given, and nothing else.
            let report = self.workers[number].lie(attempt, self.rng.random());
            self.say(number, Input::Report { worker: id, incarnation, attempt, report });
        }
        self.after(5_000, Event::Heartbeat(number, boots));
    }

    fn lost(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.open) else { return };
        connection.open = false;
        let (worker, incarnation) = (self.workers[connection.worker].id, connection.incarnation);
        self.input(Input::WorkerLost { worker, incarnation });
    }

    /// Closes a connection from the coordinator's side; the worker notices `late`.
    fn hang_up(&mut self, id: u64, late: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = false;
            let worker = connection.worker;
            self.after(late, Event::Closed(worker, id));
        }
    }

    fn copied(&mut self, epoch: u64, artifact: ArtifactId, tensors: &[TensorRef], holder: WorkerId) {
        if epoch != self.epoch || self.scheduler.is_none() {
            return;
        }
        let found = self.can_read(holder, tensors);
        if found && !self.chance(self.weather.failure) {
            self.store.extend(tensors.iter().map(|tensor| tensor.digest));
            self.input(Input::Durable(artifact));
        } else {
            self.input(Input::CopyFailed(artifact));
        }
    }

    fn can_read(&self, holder: WorkerId, tensors: &[TensorRef]) -> bool {
        let worker = self.workers.iter().find(|worker| worker.id == holder);
        worker.is_some_and(|worker| {
            let awake = worker.up && worker.asleep_until.is_none_or(|until| until <= self.now);
            awake && tensors.iter().all(|tensor| worker.holds(&tensor.digest))
        })
    }

    fn wrote(&mut self, epoch: u64, video: VideoId, frames: TensorRef, holder: WorkerId) {
        if epoch != self.epoch || self.scheduler.is_none() {
            return;
        }
        if !self.can_read(holder, std::slice::from_ref(&frames)) {
            let failure = Failure { kind: FailureKind::InputsLost, message: "the frames are gone".into() };
            self.input(Input::OutputsFailed { video, failure });
        } else if self.chance(self.weather.failure) {
            self.input(Input::OutputsFailed { video, failure: Failure::transient("disk full") });
        } else {
            let reference = reference::render(video, self.plan_of(video));
            assert_eq!(frames, reference, "{video} is not what an undisturbed run would give");
            self.written.insert(video, frames);
            self.input(Input::OutputsWritten(video));
        }
    }

    fn plan_of(&self, video: VideoId) -> &VideoPlan {
        let job = self.jobs.iter().find(|job| job.id == video.job).expect("a job of ours");
        &job.videos[video.index as usize]
    }

    fn coordinator_down(&mut self) {
        self.scheduler = None;
        self.epoch += 1;
        let open: Vec<u64> = self.connections.iter().filter(|(_, c)| c.open).map(|(&id, _)| id).collect();
        for id in open {
            let late = self.rng.random_range(1..2_000);
            self.hang_up(id, late);
        }
        let outage = self.rng.random_range(100..MINUTE);
        self.after(outage, Event::CoordinatorUp);
    }

    fn coordinator_up(&mut self) {
        if self.scheduler.is_none() {
            self.collect_garbage();
            let rows = self.rows.iter().cloned();
            let scheduler = Scheduler::restore(Config::default(), Instant(self.now), AttemptId(1), rows);
            self.scheduler = Some(scheduler.expect("our own rows"));
            self.after_transition("restart");
        }
    }

    /// The durable store keeps exactly what rows refer to.
    fn collect_garbage(&mut self) {
        let referenced = self.referenced();
        self.store.retain(|digest| referenced.contains(digest));
    }

    fn referenced(&self) -> BTreeSet<Digest> {
        let mut artifacts: BTreeMap<ArtifactId, &[TensorRef]> = BTreeMap::new();
        for row in &self.rows {
            match row {
                Change::ArtifactDurable { artifact, tensors } => drop(artifacts.insert(*artifact, tensors)),
                Change::ArtifactForgotten(artifact) => drop(artifacts.remove(artifact)),
                _ => {}
            }
        }
        artifacts.into_values().flatten().map(|tensor| tensor.digest).collect()
    }

    fn minute(&mut self) {
        for number in 0..self.workers.len() {
            if !self.workers[number].up {
                continue;
            }
            if self.chance(self.weather.crash) {
                self.crash(number);
            } else if self.chance(self.weather.sleep) {
                self.workers[number].asleep_until = Some(self.now + self.rng.random_range(1_000..40 * MINUTE));
            } else if self.chance(self.weather.cut)
                && let Some(id) = self.workers[number].connection.take()
            {
                let (noticed, pause) = (self.rng.random_range(1..4_000), self.rng.random_range(1..8_000));
                self.after(noticed, Event::Lost(id));
                self.after(pause, Event::Dial(number));
            }
        }
        if self.chance(self.weather.operator) {
            self.operate();
        }
        self.after(MINUTE, Event::Minute);
    }

    fn operate(&mut self) {
        let job = JobId(self.rng.random_range(1..=self.jobs.len() as u64));
        let video = VideoId { job, index: self.rng.random_range(0..8) };
        let worker = self.workers[self.rng.random_range(0..self.workers.len())].id;
        let input = match self.rng.random_range(0..9) {
            0 => Input::Pause(job),
            1 | 2 => Input::Resume(job),
            3 => Input::Cancel(Target::Video(video)),
            4 => Input::Retry(Target::Job(job)),
            5 => Input::Retry(Target::Video(video)),
            6 => Input::Drain(worker),
            7 if self.rng.random_ratio(1, 3) => Input::Cancel(Target::Job(job)),
            _ => Input::WorkerEnabled(worker),
        };
        self.input(input);
    }

    /// The farm again, with a coordinator that only has some prefix of the rows, and workers that were all rebooted.
    pub fn restored_from_a_prefix(&mut self) -> Farm {
        let whole = self.rng.random::<bool>();
        let length = match whole {
            true => self.commits[self.rng.random_range(0..self.commits.len())],
            false => self.rng.random_range(0..=self.rows.len()),
        };
        let mut farm = Farm::new(self.rng.random(), Weather::CALM);
        farm.events.clear();
        farm.now = self.now;
        farm.rows = self.rows[..length].to_vec();
        farm.commits = vec![length];
        farm.jobs = self.jobs.clone();
        farm.bad = self.bad.clone();
        farm.last_assigned = AttemptId(0);
        farm.store = farm.referenced();
        farm.scheduler = None;
        farm.coordinator_up();
        for number in 0..farm.workers.len() {
            farm.after(0, Event::Boot(number));
        }
        farm
    }

    pub fn assert_everything_is_done(&self) {
        self.assert_everything_has_ended();
        let videos: usize = self.jobs.iter().map(|job| job.videos.len()).sum();
        assert_eq!(self.written.len(), videos, "every video is written");
    }

    pub fn assert_everything_has_ended(&self) {
        let scheduler = self.scheduler.as_ref().expect("the coordinator is up");
        for job in self.jobs.iter().filter_map(|job| scheduler.view_job(job.id)) {
            for video in job.videos {
                match (&video.state, self.bad.get(&video.id)) {
                    (VideoState::Open, _) => panic!("{} is still open", video.id),
                    (VideoState::Done, bad) => assert!(bad.is_none(), "{} cannot be done", video.id),
                    (VideoState::Failed(_) | VideoState::Cancelled, _) => {}
                }
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
        assert_eq!(self.store, self.referenced(), "the store keeps what rows refer to");
    }
}

fn weights(model: &str, role: Role, lot: u64) -> Digest {
    reference::digest(&[model.len() as u64, role as u64, lot])
}
