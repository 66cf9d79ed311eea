//! What this worker has been given, and what it owes an answer for: a state machine without IO. Facts and the time go
//! in ([`Assignments::handle`]), wishes ([`Assignments::poll_effect`]) and reports ([`Assignments::poll_report`]) come
//! out. Not the fetching, computing or sending themselves (`agent`).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use wanfarm_types::{
    AttemptId, Checkpoint, Failure, FailureKind, ItemInputs, StepTiming, TensorRef, VideoSpec, WorkItem,
};

use crate::runner::{HostTensor, Output, PreparedItem, State, refs};

/// Items that may wait here. The coordinator sends one ahead; what is beyond this is given back at once.
const MOST_WAITING: usize = 4;

/// An attempt as the coordinator sent it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) attempt: AttemptId,
    pub(crate) item: WorkItem,
    pub(crate) spec: VideoSpec,
    pub(crate) text: String,
    pub(crate) inputs: ItemInputs,
    /// Per tensor of `inputs` (text, image, checkpoint, in this order): where to read it, best first.
    pub(crate) locations: Vec<Vec<String>>,
}

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
    /// Nothing of it is wanted.
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

/// What the coordinator is told about an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Report {
    Started,
    StepDone { checkpoint: Checkpoint, seconds: f64 },
    ItemDone { result: Outcome, timing: StepTiming },
    Failed(Failure),
    Revoked,
}

/// [`Output`] by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Tensors(Vec<TensorRef>),
    Checkpoint(Checkpoint),
}

impl Report {
    fn is_final(&self) -> bool {
        matches!(self, Report::ItemDone { .. } | Report::Failed(_) | Report::Revoked)
    }
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
    /// Nobody wants it any more; the device only has not noticed yet.
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

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Assigned(assignment) => self.assigned(now, *assignment),
            Input::Unacceptable(attempt, failure) => {
                if !self.knows(attempt) {
                    self.report(attempt, Report::Failed(failure));
                }
            }
            Input::Revoke(attempt) => self.give_back(attempt),
            Input::StopAfterStep(attempt) => {
                self.give_back(attempt);
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
        if self.waiting.len() >= MOST_WAITING {
            return self.report(attempt, Report::Revoked);
        }
        self.waiting.push_back(Waiting { assignment: Arc::new(assignment), since: now, inputs: Inputs::NotAsked });
    }

    /// What has not started is given back; what has goes on to its own reports.
    fn give_back(&mut self, attempt: AttemptId) {
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
                let result = match &output {
                    Output::Tensors(tensors) => Outcome::Tensors(refs(tensors)),
                    Output::State(state) => Outcome::Checkpoint(state.checkpoint()),
                };
                self.keep(attempt, output.into_tensors());
                Report::ItemDone { result, timing }
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
        if self.running.is_none() && self.waiting.front().is_some_and(|next| matches!(next.inputs, Inputs::Here(_))) {
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::fixtures;

    /// The machine, and a clock that stands still until it is moved.
    struct Desk {
        state: Assignments,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            let now = Instant::now();
            Self { state: Assignments::new(now), now }
        }

        /// What is to be done after this happened, in short.
        fn on(&mut self, input: Input) -> Vec<String> {
            self.state.handle(self.now, input);
            std::iter::from_fn(|| self.state.poll_effect()).map(|effect| short(&effect)).collect()
        }

        fn wait(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn reports(&mut self) -> Vec<(u64, Report)> {
            std::iter::from_fn(|| self.state.poll_report()).map(|(attempt, report)| (attempt.0, report)).collect()
        }

        fn held(&self) -> (Vec<u64>, Vec<u64>) {
            let numbers = |attempts: Vec<AttemptId>| attempts.iter().map(|attempt| attempt.0).collect();
            (numbers(self.state.in_hand()), numbers(self.state.holding()))
        }

        fn assign(&mut self, attempt: u64) -> Vec<String> {
            self.on(Input::Assigned(Box::new(fixtures::assignment(attempt))))
        }

        fn inputs(&mut self, attempt: u64) -> Vec<String> {
            self.on(Input::Inputs(AttemptId(attempt), Ok(Box::new(fixtures::prepared()))))
        }

        fn step(&mut self, attempt: u64, steps_done: u32) -> Vec<String> {
            self.on(Input::StepDone(AttemptId(attempt), fixtures::state(steps_done), 1.0))
        }

        fn end(&mut self, attempt: u64, result: Result<Output, Failure>) -> Vec<String> {
            self.on(Input::Ended(AttemptId(attempt), result, StepTiming::default()))
        }
    }

    fn short(effect: &Effect) -> String {
        match effect {
            Effect::Fetch(assignment) => format!("fetch {}", assignment.attempt),
            Effect::CancelFetch(attempt) => format!("cancel {attempt}"),
            Effect::Compute(attempt, _) => format!("compute {attempt}"),
            Effect::StopAfterStep(attempt) => format!("stop {attempt}"),
            Effect::Abandon(attempt) => format!("abandon {attempt}"),
            Effect::Keep(attempt, _) => format!("keep {attempt}"),
            Effect::Free(attempt) => format!("free {attempt}"),
        }
    }

    fn done(steps_done: u32) -> Result<Output, Failure> {
        Ok(Output::State(fixtures::state(steps_done)))
    }

    #[test]
    fn the_next_item_is_fetched_while_the_first_computes() {
        let mut desk = Desk::new();
        assert_eq!(desk.assign(1), ["fetch 1"]);
        assert_eq!(desk.assign(2), [""; 0]);
        assert_eq!(desk.inputs(1), ["compute 1", "fetch 2"]);
        assert_eq!(desk.inputs(2), [""; 0]);
        assert_eq!(desk.end(1, done(2)), ["keep 1", "compute 2"]);
        assert_eq!(desk.held(), (vec![1, 2], vec![]));
    }

    #[test]
    fn only_idle_time_counts_as_waiting_for_inputs() {
        let waited = |desk: &mut Desk| {
            desk.reports().into_iter().find_map(|(_, report)| match report {
                Report::ItemDone { timing, .. } => Some(timing.input_wait_seconds),
                _ => None,
            })
        };
        let mut desk = Desk::new();
        desk.wait(100);
        desk.assign(1);
        desk.wait(3);
        desk.inputs(1);
        desk.assign(2);
        desk.wait(50);
        desk.end(1, done(2));
        assert_eq!(waited(&mut desk), Some(3.0), "idle before it was assigned is not waiting");
        desk.wait(7);
        desk.inputs(2);
        desk.assign(3);
        desk.inputs(3);
        desk.end(2, done(2));
        assert_eq!(waited(&mut desk), Some(7.0), "busy with another item is not waiting");
        desk.end(3, done(2));
        assert_eq!(waited(&mut desk), Some(0.0), "prefetched");
    }

    #[test]
    fn unanswered_reports_are_sent_again_in_order_and_steps_only_once() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.inputs(1);
        desk.step(1, 1);
        assert_eq!(desk.reports().len(), 2);
        desk.step(1, 2);
        assert_eq!(desk.reports().len(), 1);
        desk.end(1, done(2));
        desk.on(Input::Attached);
        let kinds: Vec<_> = desk.reports().into_iter().map(|(_, report)| std::mem::discriminant(&report)).collect();
        let checkpoint = fixtures::state(2).checkpoint();
        let expected = [
            Report::Started,
            Report::StepDone { checkpoint: checkpoint.clone(), seconds: 1.0 },
            Report::ItemDone { result: Outcome::Checkpoint(checkpoint), timing: StepTiming::default() },
        ];
        assert_eq!(kinds, expected.each_ref().map(std::mem::discriminant));
        assert_eq!(desk.reports(), []);
        desk.on(Input::Acknowledged(AttemptId(1)));
        desk.on(Input::Attached);
        assert_eq!(desk.reports(), []);
        assert_eq!(desk.held(), (vec![], vec![1]));
        assert_eq!(desk.on(Input::Drop(AttemptId(1))), ["free 1"]);
        assert_eq!(desk.held(), (vec![], vec![]));
    }

    #[test]
    fn an_acknowledgement_before_the_end_changes_nothing() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.inputs(1);
        desk.on(Input::Acknowledged(AttemptId(1)));
        assert_eq!(desk.held(), (vec![1], vec![]));
        assert_eq!(desk.reports(), [(1, Report::Started)]);
    }

    #[test]
    fn what_has_not_started_is_given_back_and_what_has_is_not() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.inputs(1);
        desk.assign(2);
        desk.assign(3);
        desk.reports();
        assert_eq!(desk.on(Input::Revoke(AttemptId(1))), [""; 0]);
        assert_eq!(desk.on(Input::Revoke(AttemptId(2))), ["cancel 2", "fetch 3"]);
        assert_eq!(desk.reports(), [(2, Report::Revoked)]);
        assert_eq!(desk.inputs(2), [""; 0], "an answer that was on its way");
        assert_eq!(desk.on(Input::Revoke(AttemptId(99))), [""; 0]);
        assert_eq!(desk.held().0, [1, 2, 3]);
        desk.on(Input::Acknowledged(AttemptId(2)));
        assert_eq!(desk.held(), (vec![1, 3], vec![]));
    }

    #[test]
    fn stopping_lets_the_running_item_finish_its_step() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.inputs(1);
        desk.assign(2);
        desk.reports();
        assert_eq!(desk.on(Input::StopAfterStep(AttemptId(1))), ["stop 1"]);
        assert_eq!(desk.on(Input::StopAfterStep(AttemptId(2))), ["cancel 2"]);
        assert_eq!(desk.reports(), [(2, Report::Revoked)]);
        desk.end(1, done(1));
        assert!(matches!(desk.reports()[..], [(1, Report::ItemDone { .. })]));
    }

    #[test]
    fn a_dropped_item_leaves_nothing_behind() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.inputs(1);
        desk.step(1, 1);
        desk.assign(2);
        desk.inputs(2);
        assert_eq!(desk.on(Input::Drop(AttemptId(1))), ["abandon 1", "free 1"]);
        assert_eq!(desk.held().0, [2]);
        assert_eq!(desk.reports(), []);
        assert_eq!(desk.assign(1), [""; 0], "it is still on the device");
        assert_eq!(desk.step(1, 2), [""; 0], "a result that was on its way");
        assert_eq!(desk.end(1, done(2)), ["compute 2"]);
        assert_eq!(desk.reports(), [(2, Report::Started)]);
    }

    #[test]
    fn lost_inputs_fail_the_item_and_the_next_goes_on() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.assign(2);
        let failure = inputs_lost("nowhere");
        assert_eq!(desk.on(Input::Inputs(AttemptId(1), Err(failure.clone()))), ["fetch 2"]);
        assert_eq!(desk.reports(), [(1, Report::Failed(failure))]);
        desk.on(Input::Acknowledged(AttemptId(1)));
        assert_eq!(desk.held(), (vec![2], vec![]), "without results there is nothing to hold");
    }

    #[test]
    fn repeated_and_surplus_assignments() {
        let mut desk = Desk::new();
        for attempt in [1, 1, 2, 3, 4, 5, 5] {
            desk.assign(attempt);
        }
        assert_eq!(desk.reports(), [(5, Report::Revoked)]);
        assert_eq!(desk.held().0, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_failure_after_some_steps_keeps_their_results() {
        let mut desk = Desk::new();
        desk.assign(1);
        desk.inputs(1);
        desk.step(1, 1);
        desk.end(1, Err(Failure::transient("broken")));
        desk.reports();
        assert_eq!(desk.on(Input::Acknowledged(AttemptId(1))), [""; 0]);
        assert_eq!(desk.held(), (vec![], vec![1]));
    }
}
