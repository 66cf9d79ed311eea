//! What this worker has been given, and what it owes an answer for: a state machine without IO. Facts and the time go
//! in ([`Assignments::handle`]), wishes ([`Assignments::poll_effect`]) and reports ([`Assignments::poll_report`]) come
//! out. Not the fetching, computing or sending themselves (`agent`).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use wanfarm_types::{Assignment, AttemptId, Failure, FailureKind, Report, StepTiming, TensorRef};

use crate::runner::{HostTensor, Output, PreparedItem, State};

/// Items that may wait here. The coordinator sends one ahead; more are returned at once.
const MAX_WAITING: usize = 4;

/// Finished items that may wait for the coordinator's answer, and the bytes of their results, before no further item is
/// begun: a coordinator that is away for long, or whose disk is full, stops the work instead of filling the memory.
const MAX_UNANSWERED: usize = 4;
const MAX_UNANSWERED_BYTES: u64 = 2 << 30;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// The coordinator wants this run; its form has been checked.
    Assigned(Box<Assignment>),
    /// The coordinator wants something run that cannot be.
    Unacceptable(AttemptId, Failure),
    /// Give it back unless it has started.
    Revoke(AttemptId),
    /// Stop after the current step.
    StopAfterStep(AttemptId),
    /// It is cancelled.
    Drop(AttemptId),
    /// Its final report is recorded.
    Acknowledged(AttemptId),
    /// Its inputs are here, or cannot be had.
    Inputs(AttemptId, Result<Box<PreparedItem>, Failure>),
    /// The device finished a step of it.
    StepDone(AttemptId, State, f64),
    /// The device finished it, or gave up.
    Ended(AttemptId, Result<Output, Failure>, StepTiming),
    /// A connection stands, on which nothing has been reported yet.
    Attached,
}

/// Something to do, in this order.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Get the inputs; answer with [`Input::Inputs`].
    Fetch(Arc<Assignment>),
    /// The inputs are not needed any more.
    CancelFetch(AttemptId),
    /// The device is free: run this; answer with [`Input::Ended`].
    Compute(AttemptId, Box<PreparedItem>),
    /// Ask the running item to stop after its step.
    StopAfterStep(AttemptId),
    /// Ask the running item to stop at once.
    Abandon(AttemptId),
    /// Keep a result for those who will read it.
    Keep(AttemptId, Vec<HostTensor>),
    /// Forget all results of an attempt.
    Free(AttemptId),
}

#[derive(Debug)]
pub(crate) struct Assignments {
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    idle_since: Instant,
    /// In the order they arose; those of an attempt go when it is answered.
    reports: Vec<Unanswered>,
    /// Attempts with results in memory.
    owners: BTreeSet<AttemptId>,
    /// Those of them whose final report has been acknowledged.
    holding: BTreeSet<AttemptId>,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
struct Waiting {
    assignment: Arc<Assignment>,
    since: Instant,
    inputs: Inputs,
}

#[derive(Debug)]
enum Inputs {
    NotAsked,
    Coming,
    Here(Box<PreparedItem>),
}

#[derive(Debug)]
struct Running {
    attempt: AttemptId,
    input_wait_seconds: f64,
    /// Cancelled; the device has not noticed yet.
    dropped: bool,
}

#[derive(Debug)]
struct Unanswered {
    attempt: AttemptId,
    report: Report,
    sent: bool,
}

impl Assignments {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: None,
            idle_since: now,
            reports: Vec::new(),
            owners: BTreeSet::new(),
            holding: BTreeSet::new(),
            effects: VecDeque::new(),
        }
    }

    /// Handles one event.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Assigned(assignment) => self.assigned(now, *assignment),
            Input::Unacceptable(attempt, failure) => {
                if !self.knows(attempt) {
                    self.report(attempt, Report::Failed(failure));
                }
            }
            Input::Revoke(attempt) => self.revoke(attempt),
            Input::StopAfterStep(attempt) => {
                self.revoke(attempt);
                if self.running.as_ref().is_some_and(|running| running.attempt == attempt) {
                    self.effects.push_back(Effect::StopAfterStep(attempt));
                }
            }
            Input::Drop(attempt) => self.dropped(attempt),
            Input::Acknowledged(attempt) => self.acknowledged(attempt),
            Input::Inputs(attempt, inputs) => self.inputs(attempt, inputs),
            Input::StepDone(attempt, state, seconds) => self.step_done(attempt, state, seconds),
            Input::Ended(attempt, result, timing) => self.ended(now, attempt, result, timing),
            Input::Attached => self.reports.iter_mut().for_each(|unanswered| unanswered.sent = false),
        }
        self.advance(now);
    }

    /// The next thing to do, until there is none.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next report that has not been sent on this connection.
    pub(crate) fn poll_report(&mut self) -> Option<(AttemptId, Report)> {
        let next = self.reports.iter_mut().find(|unanswered| !unanswered.sent)?;
        next.sent = true;
        Some((next.attempt, next.report.clone()))
    }

    /// Attempts computing, queued, or finished with an unanswered report; each once, oldest first.
    pub(crate) fn in_hand(&self) -> Vec<AttemptId> {
        let running = self.running.iter().filter(|running| !running.dropped).map(|running| running.attempt);
        let waiting = self.waiting.iter().map(|waiting| waiting.assignment.attempt);
        let reported = self.reports.iter().map(|unanswered| unanswered.attempt);
        running.chain(waiting).chain(reported).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Answered attempts whose results are still in memory.
    pub(crate) fn holding(&self) -> Vec<AttemptId> {
        self.holding.iter().copied().collect()
    }

    /// True while so much waits for the coordinator that nothing more is begun.
    pub(crate) fn is_full(&self) -> bool {
        let done = self.reports.iter().filter_map(|unanswered| match &unanswered.report {
            Report::ItemDone { outputs, .. } => Some(outputs.tensors()),
            _ => None,
        });
        let size = |tensors: &[TensorRef]| tensors.iter().filter_map(TensorRef::byte_len).fold(0, u64::saturating_add);
        let (count, bytes) = done.fold((0, 0u64), |(count, sum), made| (count + 1, sum.saturating_add(size(made))));
        count >= MAX_UNANSWERED || bytes >= MAX_UNANSWERED_BYTES
    }

    fn knows(&self, attempt: AttemptId) -> bool {
        self.holding.contains(&attempt) || self.in_hand().contains(&attempt) || self.computes(attempt)
    }

    fn computes(&self, attempt: AttemptId) -> bool {
        self.running.as_ref().is_some_and(|running| running.attempt == attempt)
    }

    fn assigned(&mut self, now: Instant, assignment: Assignment) {
        let attempt = assignment.attempt;
        if self.knows(attempt) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            return self.report(attempt, Report::Revoked);
        }
        self.waiting.push_back(Waiting { assignment: Arc::new(assignment), since: now, inputs: Inputs::NotAsked });
    }

    /// Returns an item that has not started; one that has continues.
    fn revoke(&mut self, attempt: AttemptId) {
        if self.remove_waiting(attempt).is_some() {
            self.report(attempt, Report::Revoked);
        }
    }

    fn dropped(&mut self, attempt: AttemptId) {
        self.remove_waiting(attempt);
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
            running.dropped = true;
            self.effects.push_back(Effect::Abandon(attempt));
        }
        self.reports.retain(|unanswered| unanswered.attempt != attempt);
        self.holding.remove(&attempt);
        if self.owners.remove(&attempt) {
            self.effects.push_back(Effect::Free(attempt));
        }
    }

    fn acknowledged(&mut self, attempt: AttemptId) {
        let of_attempt = |unanswered: &Unanswered| unanswered.attempt == attempt;
        if self.reports.iter().any(|unanswered| of_attempt(unanswered) && unanswered.report.is_final()) {
            self.reports.retain(|unanswered| !of_attempt(unanswered));
            if self.owners.contains(&attempt) {
                self.holding.insert(attempt);
            }
        }
    }

    fn inputs(&mut self, attempt: AttemptId, inputs: Result<Box<PreparedItem>, Failure>) {
        let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.assignment.attempt == attempt) else {
            return;
        };
        match inputs {
            Ok(item) => waiting.inputs = Inputs::Here(item),
            Err(failure) => {
                waiting.inputs = Inputs::NotAsked;
                self.remove_waiting(attempt);
                self.report(attempt, Report::Failed(failure));
            }
        }
    }

    fn step_done(&mut self, attempt: AttemptId, state: State, seconds: f64) {
        if self.wanted(attempt) {
            let checkpoint = state.checkpoint();
            self.keep(attempt, state.tensors);
            // Only the newest is worth anything to a coordinator that missed some.
            self.reports.retain(|old| old.attempt != attempt || !matches!(old.report, Report::StepDone { .. }));
            self.report(attempt, Report::StepDone { checkpoint, seconds });
        }
    }

    fn ended(&mut self, now: Instant, attempt: AttemptId, result: Result<Output, Failure>, timing: StepTiming) {
        let wanted = self.wanted(attempt);
        let Some(running) = self.running.take_if(|running| running.attempt == attempt) else { return };
        self.idle_since = now;
        if !wanted {
            return;
        }
        let report = match result {
            Err(failure) => Report::Failed(failure),
            Ok(output) => {
                let timing = StepTiming { input_wait_seconds: running.input_wait_seconds, ..timing };
                let outputs = output.named();
                self.keep(attempt, output.into_tensors());
                Report::ItemDone { outputs, timing }
            }
        };
        self.report(attempt, report);
    }

    fn wanted(&self, attempt: AttemptId) -> bool {
        self.running.as_ref().is_some_and(|running| running.attempt == attempt && !running.dropped)
    }

    fn keep(&mut self, attempt: AttemptId, tensors: Vec<HostTensor>) {
        self.owners.insert(attempt);
        self.effects.push_back(Effect::Keep(attempt, tensors));
    }

    fn report(&mut self, attempt: AttemptId, report: Report) {
        self.reports.push(Unanswered { attempt, report, sent: false });
    }

    fn remove_waiting(&mut self, attempt: AttemptId) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.assignment.attempt == attempt)?;
        let removed = self.waiting.remove(index)?;
        if matches!(removed.inputs, Inputs::Coming) {
            self.effects.push_back(Effect::CancelFetch(attempt));
        }
        Some(removed)
    }

    /// Items run in the order they came. The first that waits has its inputs fetched, whether the device is busy or not.
    fn advance(&mut self, now: Instant) {
        if self.running.is_none()
            && !self.is_full()
            && self.waiting.front().is_some_and(|next| matches!(next.inputs, Inputs::Here(_)))
        {
            let Some(Waiting { assignment, since, inputs: Inputs::Here(item) }) = self.waiting.pop_front() else {
                return;
            };
            let attempt = assignment.attempt;
            let waited = now.saturating_duration_since(since.max(self.idle_since));
            self.running = Some(Running { attempt, input_wait_seconds: waited.as_secs_f64(), dropped: false });
            self.report(attempt, Report::Started);
            self.effects.push_back(Effect::Compute(attempt, item));
        }
        if let Some(next) = self.waiting.front_mut().filter(|next| matches!(next.inputs, Inputs::NotAsked)) {
            next.inputs = Inputs::Coming;
            self.effects.push_back(Effect::Fetch(next.assignment.clone()));
        }
    }
}

/// The failure of inputs that no location delivers.
pub(crate) fn inputs_lost(message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::InputsLost, message: message.into() }
}

#[cfg(test)]
mod tests;
