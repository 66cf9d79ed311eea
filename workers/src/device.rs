//! The device thread: an operating-system thread that owns the device, the networks and their weights, and computes
//! one item at a time. Not what a computation consists of (`roles`), nor which item is next (`assignments`).

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use wanfarm_types::{AttemptId, Failure, ModelRole, StepTiming};

use crate::WorkerError;
use crate::assignments::Input;
use crate::awake::Awake;
use crate::runner::{Control, Loading, PreparedItem, RoleRunner, State};

/// Results that may wait to be taken over. They are, within microseconds: their receiver never waits for a network.
const EVENTS: usize = 4;

/// Makes the runner, with its weights. Called on the device thread, and again after a panic.
pub(crate) trait MakeRunner: FnMut() -> Result<Box<dyn RoleRunner>, WorkerError> + Send + 'static {}
impl<F: FnMut() -> Result<Box<dyn RoleRunner>, WorkerError> + Send + 'static> MakeRunner for F {}

/// Roles whose weights are in memory: the device thread writes, every hello reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resident(Arc<Mutex<Vec<ModelRole>>>);

impl Resident {
    pub(crate) fn set(&self, roles: Vec<ModelRole>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = roles;
    }

    pub(crate) fn roles(&self) -> Vec<ModelRole> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The other end of the device thread.
#[derive(Debug)]
pub(crate) struct Device {
    jobs: blocking::SyncSender<Job>,
    events: mpsc::Receiver<Input>,
    /// Of the item given last.
    signals: Option<(AttemptId, Arc<Signals>)>,
    resident: Resident,
}

#[derive(Debug)]
struct Job {
    attempt: AttemptId,
    item: Box<PreparedItem>,
    signals: Arc<Signals>,
}

#[derive(Debug, Default)]
struct Signals {
    stop: AtomicBool,
    abandon: AtomicBool,
}

impl Device {
    /// Starts the thread. The receiver hears once whether the runner could be made.
    pub(crate) fn start(
        make: impl MakeRunner,
        resident: Resident,
    ) -> io::Result<(Self, oneshot::Receiver<Result<(), WorkerError>>)> {
        let (jobs, waiting) = blocking::sync_channel(1);
        let (sender, events) = mpsc::channel(EVENTS);
        let (ready, is_ready) = oneshot::channel();
        let written = resident.clone();
        thread::Builder::new().name("device".to_owned()).spawn(move || work(make, ready, waiting, sender, written))?;
        Ok((Self { jobs, events, signals: None, resident }, is_ready))
    }

    /// Roles whose weights are in memory.
    pub(crate) fn resident(&self) -> Resident {
        self.resident.clone()
    }

    /// Gives the device its next item; the one before must have ended.
    pub(crate) fn compute(&mut self, attempt: AttemptId, item: Box<PreparedItem>) -> Result<(), WorkerError> {
        let signals = Arc::new(Signals::default());
        self.signals = Some((attempt, signals.clone()));
        let refused = |why: &str| WorkerError::DeviceThread(why.to_owned());
        self.jobs.try_send(Job { attempt, item, signals }).map_err(|error| match error {
            blocking::TrySendError::Full(_) => refused("it does not take items any more"),
            blocking::TrySendError::Disconnected(_) => refused("it took no item"),
        })
    }

    pub(crate) fn stop_after_step(&self, attempt: AttemptId) {
        if let Some((_, signals)) = self.signals.as_ref().filter(|(running, _)| *running == attempt) {
            signals.stop.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn abandon(&self, attempt: AttemptId) {
        if let Some((_, signals)) = self.signals.as_ref().filter(|(running, _)| *running == attempt) {
            signals.abandon.store(true, Ordering::Relaxed);
        }
    }

    /// The next result; `None` when the thread is gone. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        self.events.recv().await
    }

    /// Ends the thread. An item that does not notice in time is left to the end of the process.
    pub(crate) async fn end(mut self, patience: Duration) {
        if let Some((attempt, _)) = self.signals {
            self.abandon(attempt);
        }
        drop(self.jobs);
        let _ = tokio::time::timeout(patience, async { while self.events.recv().await.is_some() {} }).await;
    }
}

fn work(
    mut make: impl MakeRunner,
    ready: oneshot::Sender<Result<(), WorkerError>>,
    jobs: blocking::Receiver<Job>,
    events: mpsc::Sender<Input>,
    resident: Resident,
) {
    let mut runner = match guarded(&mut make) {
        Ok(Ok(runner)) => Some(runner),
        Ok(Err(error)) => {
            let _ = ready.send(Err(error));
            return;
        }
        Err(panic) => {
            let _ = ready.send(Err(WorkerError::DeviceThread(panic)));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    for Job { attempt, item, signals } in jobs {
        let awake = Awake::while_computing();
        let begun = Instant::now();
        let mut reporter =
            Reporter { attempt, signals, events: &events, begun, last: begun, timing: StepTiming::default() };
        let result = match runner.take() {
            Some(intact) => Ok(intact),
            None => guarded(&mut make)
                .and_then(|made| made.map_err(|error| error.to_string()))
                .map_err(|why| Failure::transient(format!("the model could not be loaded again after a crash: {why}"))),
        };
        let result = result.and_then(|mut intact| match guarded(|| intact.run(&item, &mut reporter)) {
            Ok(result) => {
                runner = Some(intact);
                result
            }
            // Whatever the computation left half done goes with its runner.
            Err(panic) => {
                drop(intact);
                resident.set(Vec::new());
                Err(Failure::transient(format!("{} crashed: {panic}", item.item.stage)))
            }
        });
        let timing = StepTiming { seconds: reporter.begun.elapsed().as_secs_f64(), ..reporter.timing };
        drop((item, awake));
        if events.blocking_send(Input::Ended(attempt, result, timing)).is_err() {
            return;
        }
    }
}

/// Runs something that may panic, and says what the panic said.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // What is touched by a panicking computation is dropped by the callers, not used again.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

struct Reporter<'a> {
    attempt: AttemptId,
    signals: Arc<Signals>,
    events: &'a mpsc::Sender<Input>,
    /// When the computation began.
    begun: Instant,
    last: Instant,
    timing: StepTiming,
}

impl Control for Reporter<'_> {
    fn step_done(&mut self, state: &State, forward_passes: u32) {
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64();
        self.last = now;
        self.timing.step_seconds.push(seconds);
        self.timing.forward_passes.push(forward_passes);
        if self.events.blocking_send(Input::StepDone(self.attempt, state.clone(), seconds)).is_err() {
            self.signals.abandon.store(true, Ordering::Relaxed);
        }
    }

    fn loading(&mut self) -> Loading {
        let (attempt, events) = (self.attempt, self.events.clone());
        // Whether the worker still is there shows at the next step.
        Box::new(move |progress| drop(events.blocking_send(Input::Loading(attempt, progress))))
    }

    fn loaded(&mut self) {
        (self.begun, self.last) = (Instant::now(), Instant::now());
    }

    fn text_read(&mut self, tokens: u32) {
        self.timing.text_tokens = tokens;
    }

    fn should_stop_after_step(&self) -> bool {
        self.signals.stop.load(Ordering::Relaxed)
    }

    fn abandoned(&self) -> bool {
        self.signals.abandon.load(Ordering::Relaxed)
    }
}
