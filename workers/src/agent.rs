//! The worker's only select loop: carries facts into the state machine (`assignments`) and its wishes out to the
//! device, the network and memory. Nothing here blocks and nothing is decided.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};
use wanfarm_proto::tensors::Puller;
use wanfarm_types::{Assignment, AttemptId, CoordinatorMessage, Failure, Hello, ModelRole, Report, WorkerMessage};

use crate::ahead::Ahead;
use crate::assignments::{Assignments, Effect, Input};
use crate::deliver::Deliveries;
use crate::device::Device;
use crate::holdings::{Holdings, ModelFiles};
use crate::identity::Identity;
use crate::link::{Event, Link};
use crate::loras::Loras;
use crate::models::Catalog;
use crate::prefetch::Prefetch;
use crate::runner::PreparedItem;
use crate::tensors::TensorStore;
use crate::{WorkerError, admission};

/// How long the coordinator may take to hear the goodbye, and meanwhile the device to notice that it is over.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

type Fetched = Result<Box<PreparedItem>, Failure>;

/// What a worker reads from its own disks while it works.
#[derive(Debug)]
pub(crate) struct LocalFiles {
    pub(crate) loras: Arc<Loras>,
    pub(crate) ahead: Ahead,
    /// Of its models, which others may read.
    pub(crate) models: Arc<ModelFiles>,
}

impl LocalFiles {
    /// Those of a catalog; an elastic worker reads weights ahead.
    pub(crate) fn of(catalog: &Arc<Catalog>, elastic: bool) -> Self {
        let ahead = if elastic { Ahead::of(catalog.clone()) } else { Ahead::default() };
        Self { loras: catalog.loras().clone(), ahead, models: Arc::new(catalog.files()) }
    }
}

/// Everything the loop drives.
#[derive(Debug)]
pub(crate) struct Agent {
    identity: Identity,
    /// Its hello; identity, running items and loaded roles are filled in at each connection.
    hello: Hello,
    link: Link,
    device: Device,
    store: Arc<TensorStore>,
    holdings: Holdings,
    prefetch: Prefetch,
    ahead: Ahead,
    deliveries: Deliveries,
    state: Assignments,
    fetching: Option<Fetching>,
    /// The coordinator's address as it was dialled, which also serves its tensors.
    coordinator: String,
    /// Why there is no connection, as last logged.
    lost: Option<String>,
    /// That nothing more is begun was logged.
    full: bool,
}

#[derive(Debug)]
struct Fetching {
    attempt: AttemptId,
    task: AbortOnDropHandle<Fetched>,
}

impl Agent {
    pub(crate) fn new(
        identity: Identity,
        hello: Hello,
        link: Link,
        device: Device,
        store: Arc<TensorStore>,
        files: LocalFiles,
        puller: Puller,
    ) -> Result<Self, WorkerError> {
        let LocalFiles { loras, ahead, models } = files;
        let holdings = Holdings::new(store.clone(), models);
        let coordinator = link.target().address().to_owned();
        let deliveries = Deliveries::new(link.channel()?, holdings.clone());
        let prefetch = Prefetch::new(store.clone(), loras, puller);
        let state = Assignments::new(Instant::now());
        Ok(Self {
            identity,
            hello,
            link,
            device,
            store,
            holdings,
            prefetch,
            ahead,
            deliveries,
            state,
            fetching: None,
            coordinator,
            lost: None,
            full: false,
        })
    }

    /// Works until it is told to leave, is refused, or the device thread is gone.
    pub(crate) async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        let ended = self.work(shutdown).await;
        let Self { link, device, .. } = self;
        let goodbye = async {
            if let Ok(reason) = ended {
                let _ = tokio::time::timeout(SHUTDOWN_GRACE, link.close(reason)).await;
            }
            ended.map(drop)
        };
        // At once: the coordinator is to hear of it while the device is in the middle of a step.
        tokio::join!(goodbye, device.end(SHUTDOWN_GRACE)).0
    }

    /// Returns why it leaves.
    async fn work(&mut self, shutdown: impl Future<Output = ()>) -> Result<&'static str, WorkerError> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            while let Some(effect) = self.state.poll_effect() {
                self.carry_out(effect)?;
            }
            self.send_reports();
            self.note_fullness();
            let resident = self.device.resident();
            let hello = || Hello {
                worker: self.identity.worker,
                incarnation: self.identity.incarnation,
                running: self.state.in_hand(),
                holding: self.state.holding(),
                loaded: resident.roles(),
                ..self.hello.clone()
            };
            let input = tokio::select! {
                () = &mut shutdown => return Ok("shutting down"),
                event = self.link.next(hello) => match event {
                    Event::Leave => {
                        info!(
                            "drained: the coordinator needs nothing more of this worker, which leaves; \
                             `coordinator workers enable` makes it welcome again"
                        );
                        return Ok("drained");
                    }
                    event => self.heard(event)?,
                },
                input = fetched(&mut self.fetching) => Some(input),
                input = self.device.next() => match input {
                    Some(input) => Some(input),
                    None => return Err(WorkerError::DeviceThread("it took no further item".to_owned())),
                },
            };
            if let Some(input) = input {
                self.state.handle(Instant::now(), input);
            }
        }
    }

    fn heard(&mut self, event: Event) -> Result<Option<Input>, WorkerError> {
        match event {
            Event::Attached => {
                if self.coordinator != self.link.target().address() {
                    // It has moved, and what else is asked of it goes there as well.
                    self.coordinator = self.link.target().address().to_owned();
                    self.deliveries = Deliveries::new(self.link.channel()?, self.holdings.clone());
                }
                info!(coordinator = %self.coordinator, "attached");
                self.lost = None;
                Ok(Some(Input::Attached))
            }
            Event::Lost(reason) => {
                // A night of the same failure, every few seconds, is one line.
                if self.lost.as_ref() != Some(&reason) {
                    warn!(coordinator = %self.coordinator, %reason, "not attached; dialling again");
                    self.lost = Some(reason);
                }
                Ok(None)
            }
            Event::Refused(reason) => Err(WorkerError::Refused(reason)),
            Event::Mistaken(reason) => {
                let old = self.identity.worker;
                self.identity.renew()?;
                warn!(%old, new = %self.identity.worker, %reason, "this worker takes a new id");
                Ok(None)
            }
            Event::Wanted(errand) => {
                self.deliveries.begin(errand);
                Ok(None)
            }
            Event::Beat | Event::Leave => Ok(None),
            Event::Order(order) => Ok(self.order(*order)),
        }
    }

    fn order(&self, order: CoordinatorMessage) -> Option<Input> {
        Some(match order {
            CoordinatorMessage::Assign(assignment) => match admission::check(&self.hello.models, &assignment) {
                Ok(()) => Input::Assigned(assignment),
                Err(failure) => Input::Unacceptable(assignment.attempt, failure),
            },
            CoordinatorMessage::Revoke(attempt) => Input::Revoke(attempt),
            CoordinatorMessage::StopAfterStep(attempt) => Input::StopAfterStep(attempt),
            CoordinatorMessage::Drop(attempt) => Input::Drop(attempt),
            CoordinatorMessage::Acknowledge(attempt) => Input::Acknowledged(attempt),
            // The link's.
            CoordinatorMessage::Welcome { .. }
            | CoordinatorMessage::Refused { .. }
            | CoordinatorMessage::Certificate(_)
            | CoordinatorMessage::Leave
            | CoordinatorMessage::Send(_) => return None,
        })
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), WorkerError> {
        match effect {
            Effect::Fetch(assignment) => {
                let (prefetch, coordinator) = (self.prefetch.clone(), self.coordinator.clone());
                let attempt = assignment.attempt;
                self.read_ahead(&assignment);
                let task = tokio::spawn(async move { prefetch.fetch(&assignment, coordinator).await.map(Box::new) });
                self.fetching = Some(Fetching { attempt, task: AbortOnDropHandle::new(task) });
            }
            Effect::CancelFetch(attempt) => {
                self.fetching.take_if(|fetching| fetching.attempt == attempt);
                self.ahead.end();
            }
            Effect::Compute(attempt, item) => {
                self.ahead.end();
                info!(%attempt, video = %item.item.video, stage = %item.item.stage, "started");
                self.device.compute(attempt, item)?;
            }
            Effect::StopAfterStep(attempt) => self.device.stop_after_step(attempt),
            Effect::Abandon(attempt) => self.device.abandon(attempt),
            Effect::Keep(attempt, tensors) => self.store.keep(attempt, &tensors),
            Effect::Free(attempt) => self.store.free(attempt),
        }
        Ok(())
    }

    /// The weights of an item that are not in memory.
    fn read_ahead(&mut self, assignment: &Assignment) {
        let wanted = ModelRole { model: assignment.spec.model.clone(), role: assignment.item.stage.role() };
        if !self.device.resident().roles().contains(&wanted) {
            self.ahead.begin(&wanted);
        }
    }

    fn note_fullness(&mut self) {
        if std::mem::replace(&mut self.full, self.state.is_full()) != self.full {
            match self.full {
                true => warn!("results wait for an answer of the coordinator; nothing more is begun until it comes"),
                false => info!("the coordinator has answered: going on"),
            }
        }
    }

    fn send_reports(&mut self) {
        while self.link.has_room()
            && let Some((attempt, report)) = self.state.poll_report()
        {
            match &report {
                Report::Failed(failure) => warn!(%attempt, kind = ?failure.kind, "failed: {failure}"),
                Report::ItemDone { timing, .. } => info!(%attempt, seconds = timing.seconds, "done"),
                other => debug!(%attempt, report = ?other, "reported"),
            }
            self.link.send(WorkerMessage::Report(attempt, report));
        }
    }
}

/// The answer to the fetch in progress; for ever pending without one. Safe to drop and call again.
async fn fetched(fetching: &mut Option<Fetching>) -> Input {
    let Some(Fetching { attempt, task }) = fetching else { return std::future::pending().await };
    let attempt = *attempt;
    let fetched = task.await;
    *fetching = None;
    Input::Inputs(
        attempt,
        fetched.unwrap_or_else(|broken| Err(Failure::transient(format!("fetching inputs: {broken}")))),
    )
}
