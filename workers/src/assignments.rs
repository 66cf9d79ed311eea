//! What this worker has been given, and what it owes an answer for: a state machine without IO. Facts and the time go
//! in ([`Assignments::handle`]), wishes ([`Assignments::poll_effect`]) and reports ([`Assignments::poll_report`]) come
//! out. Not the fetching, computing or sending themselves (`agent`).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use wanfarm_types::{Assignment, AttemptId, Failure, FailureKind, LoadProgress, Report, StepTiming, TensorRef};

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
    /// The device loads weights for it.
    Loading(AttemptId, LoadProgress),
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
    /// In the order they came. One that is running is the first.
    items: VecDeque<Held>,
    idle_since: Instant,
    /// In the order they arose; those of an attempt go when it is answered.
    reports: Vec<(AttemptId, Report)>,
    /// So many of them, from the first, have been sent on this connection.
    sent: usize,
    /// Attempts with results in memory.
    owners: BTreeSet<AttemptId>,
    /// Those of them whose final report has been acknowledged.
    holding: BTreeSet<AttemptId>,
    effects: VecDeque<Effect>,
}

/// An attempt that has not ended here.
#[derive(Debug)]
struct Held {
    assignment: Arc<Assignment>,
    since: Instant,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Waiting,
    Fetching,
    Ready(Box<PreparedItem>),
    /// `dropped`: cancelled, and the device has not noticed yet.
    Running {
        input_wait_seconds: f64,
        dropped: bool,
    },
}

impl Held {
    fn attempt(&self) -> AttemptId {
        self.assignment.attempt
    }

    fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Running { .. })
    }

    fn is_dropped(&self) -> bool {
        matches!(self.progress, Progress::Running { dropped: true, .. })
    }
}

impl Assignments {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            items: VecDeque::new(),
            idle_since: now,
            reports: Vec::new(),
            sent: 0,
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
                if self.running().is_some_and(|running| running.attempt() == attempt) {
                    self.effects.push_back(Effect::StopAfterStep(attempt));
                }
            }
            Input::Drop(attempt) => self.dropped(attempt),
            Input::Acknowledged(attempt) => self.acknowledged(attempt),
            Input::Inputs(attempt, inputs) => self.inputs(attempt, inputs),
            Input::Loading(attempt, progress) => self.loading(attempt, progress),
            Input::StepDone(attempt, state, seconds) => self.step_done(attempt, state, seconds),
            Input::Ended(attempt, result, timing) => self.ended(now, attempt, result, timing),
            Input::Attached => self.sent = 0,
        }
        self.advance(now);
    }

    /// The next thing to do, until there is none.
    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next report that has not been sent on this connection.
    pub(crate) fn poll_report(&mut self) -> Option<(AttemptId, Report)> {
        let next = self.reports.get(self.sent)?.clone();
        self.sent += 1;
        Some(next)
    }

    /// Attempts computing, queued, or finished with an unanswered report; each once, oldest first.
    pub(crate) fn in_hand(&self) -> Vec<AttemptId> {
        let items = self.items.iter().filter(|item| !item.is_dropped()).map(Held::attempt);
        let reported = self.reports.iter().map(|(attempt, _)| *attempt);
        items.chain(reported).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Answered attempts whose results are still in memory.
    pub(crate) fn holding(&self) -> Vec<AttemptId> {
        self.holding.iter().copied().collect()
    }

    /// True while so much waits for the coordinator that nothing more is begun.
    pub(crate) fn is_full(&self) -> bool {
        let done = self.reports.iter().filter_map(|(_, report)| match report {
            Report::ItemDone { outputs, .. } => Some(outputs.tensors()),
            _ => None,
        });
        let size = |tensors: &[TensorRef]| tensors.iter().filter_map(TensorRef::byte_len).fold(0, u64::saturating_add);
        let (count, bytes) = done.fold((0, 0u64), |(count, sum), made| (count + 1, sum.saturating_add(size(made))));
        count >= MAX_UNANSWERED || bytes >= MAX_UNANSWERED_BYTES
    }

    fn knows(&self, attempt: AttemptId) -> bool {
        let is_here = |item: &Held| item.attempt() == attempt;
        self.items.iter().any(is_here) || self.holding.contains(&attempt) || self.in_hand().contains(&attempt)
    }

    fn running(&self) -> Option<&Held> {
        self.items.front().filter(|item| item.is_running())
    }

    fn assigned(&mut self, now: Instant, assignment: Assignment) {
        let attempt = assignment.attempt;
        if self.knows(attempt) {
            return;
        }
        if self.items.len() >= MAX_WAITING + usize::from(self.running().is_some()) {
            return self.report(attempt, Report::Revoked);
        }
        let assignment = Arc::new(assignment);
        self.items.push_back(Held { assignment, since: now, progress: Progress::Waiting });
    }

    /// Returns an item that has not started; one that has continues.
    fn revoke(&mut self, attempt: AttemptId) {
        if self.remove_waiting(attempt) {
            self.report(attempt, Report::Revoked);
        }
    }

    fn dropped(&mut self, attempt: AttemptId) {
        self.remove_waiting(attempt);
        if let Some(Held { assignment, progress: Progress::Running { dropped, .. }, .. }) = self.items.front_mut()
            && assignment.attempt == attempt
        {
            *dropped = true;
            self.effects.push_back(Effect::Abandon(attempt));
        }
        self.forget_reports(|of, _| of == attempt);
        self.holding.remove(&attempt);
        if self.owners.remove(&attempt) {
            self.effects.push_back(Effect::Free(attempt));
        }
    }

    fn acknowledged(&mut self, attempt: AttemptId) {
        if self.reports.iter().any(|(of, report)| *of == attempt && report.is_final()) {
            self.forget_reports(|of, _| of == attempt);
            if self.owners.contains(&attempt) {
                self.holding.insert(attempt);
            }
        }
    }

    fn inputs(&mut self, attempt: AttemptId, inputs: Result<Box<PreparedItem>, Failure>) {
        let fetching = |item: &&mut Held| item.attempt() == attempt && matches!(item.progress, Progress::Fetching);
        let Some(item) = self.items.iter_mut().find(fetching) else { return };
        match inputs {
            Ok(inputs) => item.progress = Progress::Ready(inputs),
            Err(failure) => {
                self.items.retain(|item| item.attempt() != attempt);
                self.report(attempt, Report::Failed(failure));
            }
        }
    }

    fn loading(&mut self, attempt: AttemptId, progress: LoadProgress) {
        if self.wanted(attempt) {
            self.forget_reports(|of, report| of == attempt && matches!(report, Report::Loading(_)));
            self.report(attempt, Report::Loading(progress));
        }
    }

    fn step_done(&mut self, attempt: AttemptId, state: State, seconds: f64) {
        if self.wanted(attempt) {
            let checkpoint = state.checkpoint();
            self.keep(attempt, state.tensors);
            // Only the newest is worth anything to a coordinator that missed some.
            self.forget_reports(|of, report| of == attempt && matches!(report, Report::StepDone { .. }));
            self.report(attempt, Report::StepDone { checkpoint, seconds });
        }
    }

    fn ended(&mut self, now: Instant, attempt: AttemptId, result: Result<Output, Failure>, timing: StepTiming) {
        if self.running().is_none_or(|item| item.attempt() != attempt) {
            return;
        }
        let Some(item) = self.items.pop_front() else { return };
        self.idle_since = now;
        let Progress::Running { input_wait_seconds, dropped: false } = item.progress else { return };
        let report = match result {
            Err(failure) => Report::Failed(failure),
            Ok((outputs, tensors)) => {
                let timing = StepTiming { input_wait_seconds, ..timing };
                self.keep(attempt, tensors);
                Report::ItemDone { outputs, timing }
            }
        };
        self.report(attempt, report);
    }

    fn wanted(&self, attempt: AttemptId) -> bool {
        self.running().is_some_and(|item| item.attempt() == attempt && !item.is_dropped())
    }

    fn keep(&mut self, attempt: AttemptId, tensors: Vec<HostTensor>) {
        self.owners.insert(attempt);
        self.effects.push_back(Effect::Keep(attempt, tensors));
    }

    fn report(&mut self, attempt: AttemptId, report: Report) {
        self.reports.push((attempt, report));
    }

    fn forget_reports(&mut self, is_over: impl Fn(AttemptId, &Report) -> bool) {
        let is_kept = |(attempt, report): &(AttemptId, Report)| !is_over(*attempt, report);
        self.sent = self.reports.iter().take(self.sent).filter(|entry| is_kept(entry)).count();
        self.reports.retain(is_kept);
    }

    /// Removes an item that has not started; true when there was one.
    fn remove_waiting(&mut self, attempt: AttemptId) -> bool {
        let index = self.items.iter().position(|item| item.attempt() == attempt && !item.is_running());
        let removed = index.and_then(|index| self.items.remove(index));
        if removed.as_ref().is_some_and(|item| matches!(item.progress, Progress::Fetching)) {
            self.effects.push_back(Effect::CancelFetch(attempt));
        }
        removed.is_some()
    }

    /// Items run in the order they came. The first that waits has its inputs fetched, whether the device is busy or not.
    fn advance(&mut self, now: Instant) {
        let is_full = self.is_full();
        if let Some(item) =
            self.items.front_mut().filter(|item| matches!(item.progress, Progress::Ready(_)) && !is_full)
        {
            let attempt = item.attempt();
            let waited = now.saturating_duration_since(item.since.max(self.idle_since));
            let running = Progress::Running { input_wait_seconds: waited.as_secs_f64(), dropped: false };
            if let Progress::Ready(inputs) = std::mem::replace(&mut item.progress, running) {
                self.report(attempt, Report::Started);
                self.effects.push_back(Effect::Compute(attempt, inputs));
            }
        }
        let next = self.items.iter_mut().find(|item| !item.is_running());
        if let Some(next) = next.filter(|next| matches!(next.progress, Progress::Waiting)) {
            next.progress = Progress::Fetching;
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
