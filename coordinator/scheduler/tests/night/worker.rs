//! A simulated worker process: one item running, one queued, results in memory, unanswered reports in a buffer.
//! It does what the protocol asks of a worker and nothing more; the farm around it decides what befalls it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wanfarm_scheduler::{Action, Assignment, JobPlan, Served, WorkerHello};
use wanfarm_types::{
    AttemptId, Checkpoint, Digest, Failure, FailureKind, Incarnation, ItemOutputs, ItemSize, LoadProgress, ModelRole,
    Report, Stage, StepTiming, TensorRef, WorkerId,
};

use crate::reference;

/// Which worker has which tensor.
pub(crate) type Holders = Vec<(Digest, WorkerId)>;

/// What happens at the next point in the running item.
pub(crate) enum Fate {
    /// It goes well.
    Well,
    /// It fails like this.
    Fails(Failure),
    /// The weights cannot be loaded.
    LoadFails,
}

/// In rows it would mean that the fence has a hole.
pub(crate) const FORGED: &str = "forged";

pub(crate) struct Item {
    pub(crate) assignment: Assignment,
    role: ModelRole,
    pub(crate) started: bool,
    stop: bool,
    state: Option<Checkpoint>,
    /// The frames that its video starts from.
    starts: Vec<TensorRef>,
}

pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) boots: u64,
    pub(crate) serves: Vec<Served>,
    /// Bytes that weights and items may take together, where it does not hold all it serves.
    pub(crate) budget: Option<u64>,
    /// What it has loaded.
    resident: BTreeSet<ModelRole>,
    pub(crate) step_ms: u64,
    /// Which kind of device it computes on.
    kind: u8,
    /// Fails whatever it gets.
    pub(crate) broken: bool,
    /// Passes on what nothing can be computed with, and does not look at what it gets.
    pub(crate) ruins: bool,
    pub(crate) up: bool,
    pub(crate) asleep_until: Option<u64>,
    /// It lives and gets nowhere: since when, and with what.
    pub(crate) hung: Option<(u64, Option<AttemptId>)>,
    pub(crate) connection: Option<u64>,
    pub(crate) running: Option<Item>,
    pub(crate) next: Option<Item>,
    /// Reports without an answer yet, in order.
    pub(crate) buffer: Vec<(AttemptId, Report)>,
    /// Something it said once and may say again at any time, also in a later boot.
    pub(crate) said: Option<(AttemptId, Report)>,
    pub(crate) memory: BTreeMap<AttemptId, BTreeSet<Digest>>,
    /// Counts changes of the running item, so that a timer of an older one means nothing.
    pub(crate) generation: u64,
}

impl Worker {
    pub(crate) fn new(number: u64, serves: Vec<Served>, budget: Option<u64>, step_ms: u64, broken: bool) -> Self {
        Self {
            id: WorkerId(Uuid::from_u128(u128::from(number) + 1)),
            boots: 0,
            serves,
            budget,
            resident: BTreeSet::new(),
            step_ms,
            kind: (number % 2) as u8,
            broken,
            ruins: false,
            up: false,
            asleep_until: None,
            hung: None,
            connection: None,
            running: None,
            next: None,
            buffer: Vec::new(),
            said: None,
            memory: BTreeMap::new(),
            generation: 0,
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(Uuid::from_u128(self.id.0.as_u128() << 64 | u128::from(self.boots)))
    }

    /// Power on: an empty memory.
    pub(crate) fn boot(&mut self) {
        let fresh = Worker::new(0, self.serves.clone(), self.budget, self.step_ms, self.broken);
        let said = self.said.take();
        *self = Worker {
            id: self.id,
            kind: self.kind,
            ruins: self.ruins,
            said,
            boots: self.boots + 1,
            up: true,
            generation: self.generation + 1,
            ..fresh
        };
    }

    pub(crate) fn hello(&self) -> WorkerHello {
        let items = self.running.iter().chain(&self.next).map(|item| item.assignment.attempt);
        let mut running: Vec<AttemptId> = items.chain(self.buffer.iter().map(|(attempt, _)| *attempt)).collect();
        running.sort();
        running.dedup();
        WorkerHello {
            worker: self.id,
            incarnation: self.incarnation(),
            name: format!("mac-{}", self.id.0.as_u128()),
            serves: self.serves.clone(),
            budget: self.budget,
            loaded: self.resident.iter().cloned().collect(),
            holding: self.memory.keys().filter(|attempt| !running.contains(attempt)).copied().collect(),
            running,
        }
    }

    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.memory.values().any(|digests| digests.contains(digest))
    }

    /// A message from the coordinator; true when the running item is another one afterwards.
    pub(crate) fn receive(&mut self, message: &Action, jobs: &[JobPlan]) -> (bool, Vec<(AttemptId, Report)>) {
        let before = self.running_attempt();
        let mut reports = Vec::new();
        match message {
            Action::Assign(assignment) => {
                let job = jobs.iter().find(|job| job.id == assignment.item.video.job).expect("a job");
                let item = Item {
                    role: ModelRole { model: job.model.clone(), role: assignment.item.stage.role() },
                    assignment: (**assignment).clone(),
                    started: false,
                    stop: false,
                    state: assignment.inputs.checkpoint.clone(),
                    starts: reference::starts(assignment.item.video, job),
                };
                assert!(self.next.is_none(), "{:?} gets a third item", self.id);
                assert!(self.serves.iter().any(|served| served.role == assignment.item.stage.role()), "not its role");
                if self.running.is_none() {
                    self.running = Some(item);
                } else {
                    self.next = Some(item);
                }
            }
            Action::Revoke { attempt, .. } => {
                let queued = [&mut self.running, &mut self.next]
                    .into_iter()
                    .find_map(|slot| slot.take_if(|item| item.assignment.attempt == *attempt && !item.started));
                if queued.is_some() {
                    reports.push((*attempt, Report::Revoked));
                }
            }
            Action::StopAfterStep { attempt, .. } => {
                if let Some(item) = self.running.as_mut().filter(|item| item.assignment.attempt == *attempt) {
                    item.stop = true;
                }
            }
            Action::Ack { attempt, .. } => self.buffer.retain(|(of, _)| of != attempt),
            Action::Drop { attempt, .. } => {
                self.buffer.retain(|(of, _)| of != attempt);
                self.memory.remove(attempt);
                self.abandon(*attempt);
            }
            other => panic!("not a message to a worker: {other:?}"),
        }
        self.running = self.running.take().or_else(|| self.next.take());
        (self.running_attempt() != before, reports)
    }

    /// Gives up an item it has; true when it runs another one afterwards.
    pub(crate) fn abandon(&mut self, attempt: AttemptId) -> bool {
        let before = self.running_attempt();
        self.running.take_if(|item| item.assignment.attempt == attempt);
        self.next.take_if(|item| item.assignment.attempt == attempt);
        self.running = self.running.take().or_else(|| self.next.take());
        self.running_attempt() != before
    }

    /// How long the running item takes to its next point.
    pub(crate) fn millis(&self) -> u64 {
        let index = self.running.as_ref().map_or(0, |item| item.assignment.item.video.index);
        let wavering = self.generation.wrapping_mul(7919) % 11;
        self.step_ms * reference::size(index) / 1024 * (95 + wavering) / 100
    }

    pub(crate) fn running_attempt(&self) -> Option<AttemptId> {
        self.running.as_ref().map(|item| item.assignment.attempt)
    }

    /// The tensors the running item starts from, as long as it has not started.
    pub(crate) fn inputs_to_fetch(&self) -> Option<(Vec<Digest>, Holders)> {
        let item = self.running.as_ref().filter(|item| !item.started)?;
        let inputs = &item.assignment.inputs;
        let state = inputs.checkpoint.iter().flat_map(|state| &state.tensors);
        let tensors = inputs.text.iter().chain(&inputs.image).chain(state);
        Some((tensors.map(|tensor| tensor.digest).collect(), item.assignment.holders.clone()))
    }

    /// True unless it sees that nothing can be computed with what the running item starts from.
    pub(crate) fn can_use_its_inputs(&self) -> bool {
        let inputs = self.inputs_to_fetch().map_or_else(Vec::new, |(inputs, _)| inputs);
        self.ruins || inputs.iter().all(reference::is_sound)
    }

    /// The running item comes to its next point: started, a step, the end.
    pub(crate) fn progress(&mut self, fate: Fate) -> Vec<(AttemptId, Report)> {
        let seconds = self.millis() as f64 / 1e3;
        let Some(item) = self.running.as_mut() else { return Vec::new() };
        let attempt = item.assignment.attempt;
        if let Fate::Fails(failure) = fate {
            // What was reported before stays in memory; a result that was not is gone.
            self.running = self.next.take();
            return vec![(attempt, Report::Failed(failure))];
        }
        if !item.started {
            item.started = true;
            return vec![(attempt, Report::Started)];
        }
        if let Some(budget) = self.budget
            && let wanted = item.role.clone()
            && !self.resident.contains(&wanted)
        {
            if matches!(fate, Fate::LoadFails) {
                self.resident.clear();
                self.running = self.next.take();
                let failure = Failure { kind: FailureKind::NotLoaded, message: "no memory".into() };
                return vec![(attempt, Report::Failed(failure))];
            }
            self.resident.retain(|role| item.assignment.keep.contains(role));
            self.resident.insert(wanted);
            self.assert_room(budget);
            return vec![(attempt, Report::Loading(LoadProgress { read: 9, of: 9, seconds }))];
        }
        if let Some(budget) = self.budget {
            self.resident.retain(|role| item.assignment.keep.contains(role) || *role == item.role);
            self.assert_room(budget);
        }
        let Some(item) = self.running.as_mut() else { return Vec::new() };
        let mut reports = Vec::new();
        let work = item.assignment.item;
        let inputs = &item.assignment.inputs;
        // Now and then, so that it is not known by its first result.
        let ruins = self.ruins && !self.generation.is_multiple_of(3);
        let rounded = |tensor| reference::ruined(reference::rounded(tensor, self.kind), ruins);
        let mut made: Vec<TensorRef> = Vec::new();
        let outputs = match work.stage {
            Stage::EncodeText => {
                made.push(rounded(reference::text(item.assignment.text.expect("a text to encode"))));
                Some(ItemOutputs::Text(made[0].clone()))
            }
            Stage::EncodeImage => {
                made = reference::image(work.video, &item.starts).into_iter().map(rounded).collect();
                Some(ItemOutputs::Image(made.clone()))
            }
            Stage::Decode => {
                // Whether frames can be looked at is for people to say.
                let frames = reference::frames(item.state.as_ref().expect("a state to decode"));
                made.push(reference::rounded(frames, self.kind));
                Some(ItemOutputs::Frames(made[0].clone()))
            }
            Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => {
                let mut state = reference::step(work.video, item.state.as_ref(), &inputs.text, &inputs.image);
                state.tensors = state.tensors.into_iter().map(rounded).collect();
                made = state.tensors.clone();
                let first = work.steps.first;
                assert_eq!(item.state.as_ref().map_or(0, |from| from.steps_done) + 1, state.steps_done);
                assert!(state.steps_done > first && state.steps_done <= work.steps.end);
                reports.push((attempt, Report::StepDone { checkpoint: state.clone(), seconds }));
                let ends = item.stop || state.steps_done == work.steps.end;
                item.state = Some(state.clone());
                ends.then_some(ItemOutputs::Checkpoint(state))
            }
        };
        let memory = self.memory.entry(attempt).or_default();
        if memory.len() >= 4 {
            memory.clear();
        }
        memory.extend(made.iter().map(|tensor| tensor.digest));
        if let Some(outputs) = outputs {
            let timing = StepTiming { seconds, ..StepTiming::default() };
            reports.push((attempt, Report::ItemDone { outputs, timing }));
            self.running = self.next.take();
        }
        reports
    }

    /// True when the running item waits for weights.
    pub(crate) fn is_loading(&self) -> bool {
        let item = self.running.as_ref().filter(|item| item.started && self.budget.is_some());
        item.is_some_and(|item| !self.resident.contains(&item.role))
    }

    /// Weights and the running item must not take more than there is.
    fn assert_room(&self, budget: u64) {
        let of = |role: &ModelRole| {
            self.serves.iter().find(|served| (&served.model, served.role) == (&role.model, role.role)).expect("served")
        };
        let weights: u64 = self.resident.iter().map(|role| of(role).footprint.weights).sum();
        let item = self.running.as_ref().map_or(0, |item| {
            let video = item.assignment.item.video.index;
            let (tokens, kept) = (reference::size(video), reference::kept(video));
            let size = ItemSize { tokens, frame: tokens / 4, kept };
            let is_text = item.assignment.item.stage == Stage::EncodeText;
            of(&item.role).footprint.of_item(if is_text { ItemSize::default() } else { size })
        });
        assert!(weights + item <= budget, "{:?} holds {:?} and an item of {item} in {budget}", self.id, self.resident);
    }

    /// What must never be believed of a worker that was not given the attempt.
    pub(crate) fn forge() -> Report {
        Report::Failed(Failure::deterministic(FORGED))
    }

    /// Something no honest worker would say about `attempt`.
    pub(crate) fn lie(&self, attempt: AttemptId, kind: u32) -> Report {
        let checkpoint = Checkpoint { steps_done: 10_000, tensors: Vec::new() };
        match kind % 4 {
            0 => Report::ItemDone { outputs: ItemOutputs::Image(Vec::new()), timing: StepTiming::default() },
            1 => Report::StepDone { checkpoint, seconds: f64::NAN },
            2 => Report::ItemDone { outputs: ItemOutputs::Checkpoint(checkpoint), timing: StepTiming::default() },
            _ => Report::Failed(Failure { kind: FailureKind::NotFinite, message: format!("{attempt} is odd") }),
        }
    }
}
