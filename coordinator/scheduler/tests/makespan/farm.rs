//! The simulated farm: workers that run one item and hold one more, stop where they are asked to, and report on time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use uuid::Uuid;
use wanfarm_scheduler::{Action, Assignment, Change, Config, Input, Scheduler, Served, WorkerHello};
use wanfarm_types::{
    AttemptId, Checkpoint, DType, Digest, Incarnation, ItemOutputs, JobId, LoadProgress, ModelRole, Report, Stage,
    StepTiming, TensorRef, WorkerId,
};

use crate::batch::{self, Batch};

const HEARTBEAT: u64 = 7_500;
/// Milliseconds to fetch the inputs of an item, unless that was done during the one before it.
const FETCH: u64 = 500;
/// Bytes per second that weights are read with.
pub(crate) const LOAD_SPEED: f64 = 2e9;

enum Event {
    Input(Input),
    /// The worker comes to the next point of its item, if it still runs this attempt.
    Point(usize, AttemptId),
    Heartbeats,
}

#[derive(Default)]
struct Desk {
    running: Option<Item>,
    next: Option<Assignment>,
    resident: BTreeSet<ModelRole>,
}

struct Item {
    assignment: Assignment,
    started: bool,
    stop: bool,
    steps_done: u32,
    step_seconds: Vec<f64>,
}

pub(crate) struct Farm {
    scheduler: Scheduler,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    desks: Vec<Desk>,
    speeds: Vec<f64>,
    budgets: Vec<Option<u64>>,
    models: BTreeMap<JobId, String>,
    rows: Vec<Change>,
    written: usize,
    pub(crate) figures: Figures,
}

/// What the scheduler did, and the time it took.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Virtual seconds until the last video was ready to be written.
    pub(crate) makespan: f64,
    pub(crate) inputs: u32,
    pub(crate) assigned: u32,
    /// Videos that were stopped after a step.
    pub(crate) stopped: u32,
    /// Times that weights were loaded.
    pub(crate) loads: u32,
    /// Seconds that workers spent on that.
    pub(crate) loading: f64,
    /// Time for all inputs.
    pub(crate) total: Duration,
    /// Time for the inputs that led to assignments.
    pub(crate) deciding: Duration,
    pub(crate) slowest: Duration,
}

impl Farm {
    /// All workers have joined.
    pub(crate) fn new(batch: &Batch) -> Self {
        let mut farm = Self {
            scheduler: Scheduler::new(Config::default(), AttemptId(1)),
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            desks: batch.workers.iter().map(|_| Desk::default()).collect(),
            speeds: batch.workers.iter().map(|machine| machine.speed).collect(),
            budgets: batch.workers.iter().map(|machine| machine.budget).collect(),
            models: batch.plans.iter().map(|plan| (plan.id, plan.model.clone())).collect(),
            rows: Vec::new(),
            written: 0,
            figures: Figures::default(),
        };
        for machine in &batch.workers {
            let serves = machine.roles.iter().map(|role| Served {
                model: role.model.clone(),
                role: role.role,
                weights: Digest([1; 32]),
                footprint: batch::footprint(role),
            });
            farm.handle(Input::WorkerJoined(WorkerHello {
                worker: machine.id,
                incarnation: INCARNATION,
                name: format!("mac-{}", machine.id.0.as_u128()),
                serves: serves.collect(),
                budget: machine.budget,
                loaded: Vec::new(),
                running: Vec::new(),
                holding: Vec::new(),
            }));
        }
        farm.later(HEARTBEAT, Event::Heartbeats);
        farm
    }

    /// Submits the batch and goes on until every video is written.
    pub(crate) fn render(&mut self, batch: &Batch) {
        batch.plans.iter().for_each(|plan| self.handle(Input::JobAdded(plan.clone())));
        while self.written < batch.videos() {
            let Some(((at, _), event)) = self.events.pop_first() else { return };
            self.now = at;
            match event {
                Event::Input(input) => self.handle(input),
                Event::Point(worker, attempt) => self.point(worker, attempt),
                Event::Heartbeats => {
                    for machine in &batch.workers {
                        self.handle(Input::Heartbeat { worker: machine.id, incarnation: INCARNATION });
                    }
                    self.later(HEARTBEAT, Event::Heartbeats);
                }
            }
        }
    }

    pub(crate) fn open_videos(&self) -> usize {
        let phases = self.scheduler.job_ids().flat_map(|job| self.scheduler.phases(job));
        phases.filter(|(_, phase)| phase.is_open()).count()
    }

    pub(crate) fn rows(self) -> Vec<Change> {
        self.rows
    }

    #[expect(clippy::disallowed_methods, reason = "this measures the scheduler from outside")]
    fn handle(&mut self, input: Input) {
        if let Input::OutputsWritten(_) = input {
            self.written += 1;
        }
        let start = Instant::now();
        self.scheduler.handle(wanfarm_scheduler::Instant(self.now), input);
        let actions: Vec<_> = std::iter::from_fn(|| self.scheduler.poll_action()).collect();
        let spent = start.elapsed();
        self.figures.total += spent;
        self.figures.slowest = self.figures.slowest.max(spent);
        self.figures.inputs += 1;
        if actions.iter().any(|action| matches!(action, Action::Assign(_))) {
            self.figures.deciding += spent;
        }
        actions.into_iter().for_each(|action| self.carry_out(action));
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Commit(rows) => self.rows.extend(rows),
            Action::Assign(assignment) => self.take(*assignment),
            Action::Revoke { worker, attempt, .. } => self.revoke(worker, attempt),
            Action::StopAfterStep { worker, attempt, .. } => {
                let running = self.desks[number(worker)].running.as_mut();
                if let Some(item) = running.filter(|item| item.assignment.attempt == attempt) {
                    item.stop = true;
                    self.figures.stopped += 1;
                }
            }
            Action::MakeDurable { artifact, .. } => self.later(500, Event::Input(Input::Durable(artifact))),
            Action::WriteOutputs { video, .. } => {
                self.figures.makespan = self.now as f64 / 1e3;
                self.later(2_000, Event::Input(Input::OutputsWritten(video)));
            }
            _ => {}
        }
    }

    fn later(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn take(&mut self, assignment: Assignment) {
        self.figures.assigned += 1;
        let number = number(assignment.worker);
        if self.desks[number].running.is_some() {
            self.desks[number].next = Some(assignment);
        } else {
            self.begin(number, assignment, FETCH);
        }
    }

    fn begin(&mut self, number: usize, assignment: Assignment, delay: u64) {
        let (attempt, steps_done) = (assignment.attempt, assignment.item.steps.first);
        let item = Item { assignment, started: false, stop: false, steps_done, step_seconds: Vec::new() };
        self.desks[number].running = Some(item);
        self.later(delay, Event::Point(number, attempt));
    }

    fn revoke(&mut self, worker: WorkerId, attempt: AttemptId) {
        let number = number(worker);
        let desk = &mut self.desks[number];
        let queued = desk.next.take_if(|next| next.attempt == attempt).is_some();
        let fetching = desk.running.take_if(|item| item.assignment.attempt == attempt && !item.started).is_some();
        if queued || fetching {
            self.say(number, attempt, Report::Revoked, 10);
        }
        if fetching {
            self.follow(number);
        }
    }

    fn follow(&mut self, number: usize) {
        if let Some(next) = self.desks[number].next.take() {
            self.begin(number, next, 20);
        }
    }

    fn say(&mut self, number: usize, attempt: AttemptId, report: Report, delay: u64) {
        let worker = WorkerId(Uuid::from_u128(number as u128 + 1));
        self.later(delay, Event::Input(Input::Report { worker, incarnation: INCARNATION, attempt, report }));
    }

    /// Lets go of what is not kept, and loads what an item needs; returns the seconds that takes.
    fn hold(&mut self, number: usize, role: &ModelRole, keep: &BTreeSet<ModelRole>) -> f64 {
        let (Some(budget), resident) = (self.budgets[number], &mut self.desks[number].resident) else { return 0.0 };
        resident.retain(|held| held == role || keep.contains(held));
        let is_new = resident.insert(role.clone());
        let weights: u64 = resident.iter().map(|role| batch::footprint(role).weights).sum();
        assert!(weights + batch::footprint(role).item <= budget, "{resident:?} do not fit");
        let seconds = if is_new { batch::footprint(role).weights as f64 / LOAD_SPEED } else { 0.0 };
        self.figures.loads += u32::from(is_new);
        self.figures.loading += seconds;
        seconds
    }

    fn point(&mut self, number: usize, attempt: AttemptId) {
        let running = self.desks[number].running.as_mut();
        let Some(item) = running.filter(|item| item.assignment.attempt == attempt) else { return };
        let work = item.assignment.item;
        let has_steps = !work.steps.is_empty();
        let seed = attempt.0 * 64 + u64::from(item.steps_done);
        let role = batch::of(&self.models[&work.video.job], work.stage.role());
        let seconds =
            batch::seconds(&role.model, work.stage) / self.speeds[number] * (0.95 + 0.1 * batch::fraction(seed));
        if !item.started {
            item.started = true;
            let keep: BTreeSet<_> = item.assignment.keep.iter().cloned().collect();
            self.say(number, attempt, Report::Started, 10);
            let load = self.hold(number, &role, &keep);
            if load > 0.0 {
                let progress = LoadProgress { read: 1, of: 1, seconds: load };
                self.say(number, attempt, Report::Loading(progress), (load * 1e3) as u64);
            }
            return self.later(((load + seconds) * 1e3) as u64, Event::Point(number, attempt));
        }
        item.step_seconds.push(seconds);
        item.steps_done += 1;
        let (steps_done, ends) = (item.steps_done, !has_steps || item.stop || item.steps_done == work.steps.end);
        let tensor = tensor(attempt.0 ^ u64::from(steps_done) << 48);
        if has_steps {
            let checkpoint = Checkpoint { steps_done, tensors: vec![tensor.clone()] };
            self.say(number, attempt, Report::StepDone { checkpoint, seconds }, 10);
        }
        if !ends {
            return self.later((seconds * 1e3) as u64, Event::Point(number, attempt));
        }
        let Some(item) = self.desks[number].running.take() else { return };
        let outputs = match work.stage {
            Stage::EncodeText => ItemOutputs::Text(tensor),
            Stage::EncodeImage => ItemOutputs::Image(vec![tensor]),
            Stage::Decode => ItemOutputs::Frames(tensor),
            _ => ItemOutputs::Checkpoint(Checkpoint { steps_done, tensors: vec![tensor] }),
        };
        let seconds = item.step_seconds.iter().sum();
        let timing = StepTiming { seconds, step_seconds: item.step_seconds, ..StepTiming::default() };
        self.say(number, attempt, Report::ItemDone { outputs, timing }, 10);
        self.follow(number);
    }
}

const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(1));

/// Workers are numbered from 1 by their ids.
fn number(worker: WorkerId) -> usize {
    worker.0.as_u128() as usize - 1
}

fn tensor(number: u64) -> TensorRef {
    TensorRef {
        digest: Digest(std::array::from_fn(|i| number.to_le_bytes()[i % 8])),
        dtype: DType::F32,
        shape: vec![1],
    }
}

/// A coordinator that starts again.
pub(crate) fn restore(rows: Vec<Change>) -> Scheduler {
    let restored = Scheduler::restore(Config::default(), wanfarm_scheduler::Instant(0), AttemptId(1), rows);
    restored.unwrap_or_else(|error| panic!("our own rows: {error}"))
}
