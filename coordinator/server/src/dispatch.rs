//! The control plane's service edge: worker streams in, typed events out.
//!
//! One task per connection reads and checks messages and hands them to the driver; the driver's answers go out
//! through a bounded queue. Tensors that others cannot fetch come by calls of their own. Deliberately not here: any
//! decision about work.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Request, Response, Status, Streaming};
use wanfarm_proto::convert::{attempt_ids, check_hello, parse_uuid};
use wanfarm_proto::v1::{self, coordinator_message, dispatch_server::Dispatch, worker_message};
use wanfarm_proto::{PROTOCOL, WireError};
use wanfarm_scheduler::{ItemOutputs, Report};
use wanfarm_types::{AttemptId, Incarnation, ModelFile, Role, Stage, WorkerId};

use crate::catalog::Announcement;
use crate::driver::Event;
use crate::reach::{Address, Ends};
use crate::relay::Relay;
use crate::requests::StoredWeights;

/// Messages that may wait for a worker that reads slowly; a worker further behind is disconnected and catches up
/// by re-attaching.
const OUTBOX: usize = 256;
/// How long a new connection may take to say hello.
const HELLO: Duration = Duration::from_secs(20);

/// Messages to one worker. Dropping it closes the connection.
pub type Outbox = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

/// The same for those who must not keep the connection open.
pub type WeakOutbox = mpsc::WeakSender<Result<v1::CoordinatorMessage, Status>>;

/// A worker that said hello on a new connection.
#[derive(Debug)]
pub struct Attached {
    /// Counts connections; messages of an older one are ignored.
    pub connection: u64,
    /// Persistent identity.
    pub worker: WorkerId,
    /// This boot.
    pub incarnation: Incarnation,
    /// For people.
    pub name: String,
    /// For people.
    pub device: String,
    /// Main memory of its machine, in bytes.
    pub memory_bytes: u64,
    /// How its weights are stored.
    pub weights: Vec<StoredWeights>,
    /// Where its tensors are read.
    pub address: Address,
    /// The ends of its connection.
    pub ends: Ends,
    /// What it serves.
    pub models: Vec<Announcement>,
    /// Why models were taken out of these, a sentence each.
    pub passed_over: Vec<String>,
    /// Attempts it has not had an answer to.
    pub running: Vec<AttemptId>,
    /// Answered attempts whose tensors it still holds.
    pub holding: Vec<AttemptId>,
    /// The way back.
    pub outbox: Outbox,
}

/// What a worker says after its hello.
#[derive(Debug)]
pub enum WorkerEvent {
    /// It lives.
    Heartbeat,
    /// News of an attempt.
    Report(AttemptId, RawReport),
    /// It leaves on purpose.
    Goodbye,
}

/// A report whose meaning depends on the stage of the attempt, which only the driver knows.
#[derive(Debug)]
pub enum RawReport {
    /// Complete as it is.
    Report(Report),
    /// An item's results; the stage says which kind they are.
    Done(v1::ItemDone),
}

/// Reads an item's results as those of a stage.
///
/// # Errors
/// When they are not what this stage produces.
pub fn outputs(stage: Stage, done: v1::ItemDone) -> Result<Report, WireError> {
    let count = done.tensors.len();
    let mut tensors = done.tensors.into_iter().map(TryInto::try_into);
    let mut one = |what| match count {
        1 => tensors.next().unwrap_or(Err(WireError::Missing(what))),
        _ => Err(WireError::Missing(what)),
    };
    let outputs = match stage {
        Stage::EncodeText => ItemOutputs::Text(one("the encoded text")?),
        Stage::Decode => ItemOutputs::Frames(one("the decoded frames")?),
        Stage::EncodeImage => ItemOutputs::Image(tensors.collect::<Result<_, _>>()?),
        Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise => {
            ItemOutputs::Checkpoint(done.checkpoint.ok_or(WireError::Missing("checkpoint"))?.try_into()?)
        }
    };
    let timing = done.timing.map(Into::into).unwrap_or_default();
    Ok(Report::ItemDone { outputs, timing })
}

/// The service.
#[derive(Debug)]
pub struct DispatchService {
    events: mpsc::Sender<Event>,
    relay: Relay,
    connections: AtomicU64,
}

impl DispatchService {
    /// A service that feeds the driver, and the relay.
    pub fn new(events: mpsc::Sender<Event>, relay: Relay) -> Self {
        Self { events, relay, connections: AtomicU64::new(1) }
    }
}

#[tonic::async_trait]
impl Dispatch for DispatchService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let peers = request.extensions().get::<TcpConnectInfo>().cloned();
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(HELLO, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello"))??;
        let Some(worker_message::Body::Hello(hello)) = first.and_then(|message| message.body) else {
            return Err(Status::invalid_argument("the first message must be a hello"));
        };
        if hello.protocol != PROTOCOL {
            let reason = format!(
                "this coordinator (version {}) speaks protocol {PROTOCOL}, the worker (version {}) speaks {}; \
                 install the same version on both",
                env!("CARGO_PKG_VERSION"),
                hello.version.chars().take(40).filter(|c| !c.is_control()).collect::<String>(),
                hello.protocol
            );
            return Ok(refusal(reason));
        }
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        let attached = match read_hello(hello, connection, outbox, peers.as_ref()) {
            Ok(attached) => attached,
            // It would say the same again.
            Err(error) => return Ok(refusal(format!("its hello cannot be used: {error}"))),
        };
        let (worker, incarnation) = (attached.worker, attached.incarnation);
        let events = self.events.clone();
        let closing = || Status::unavailable("the coordinator is shutting down");
        events.send(Event::Attached(Box::new(attached))).await.map_err(|_| closing())?;
        tokio::spawn(async move {
            loop {
                // An error is a broken connection, or a message that means nothing: either way the worker
                // re-attaches and says again what it has to say.
                let event = match inbound.next().await {
                    Some(Ok(message)) => match read(message) {
                        Ok(Some(event)) => event,
                        Ok(None) => continue,
                        Err(error) => {
                            tracing::warn!(%worker, %error, "closing a connection that sent nonsense");
                            break;
                        }
                    },
                    Some(Err(_)) | None => break,
                };
                if events.send(Event::Worker { connection, worker, incarnation, event }).await.is_err() {
                    return;
                }
            }
            // The driver is gone when the coordinator stops; then nobody needs to know.
            let _ = events.send(Event::Detached { connection, worker, incarnation }).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn deliver(&self, request: Request<Streaming<v1::Delivery>>) -> Result<Response<v1::Delivered>, Status> {
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(HELLO, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no errand"))??
            .ok_or_else(|| Status::invalid_argument("the first message must name the errand"))?;
        let unwanted = || Status::not_found("nobody waits for this tensor any more");
        let delivery = self.relay.deliver(first.errand).ok_or_else(unwanted)?;
        if first.missing {
            delivery.missing().await;
            return Ok(Response::new(v1::Delivered {}));
        }
        loop {
            // Without an end the reader knows that it broke off.
            let next = tokio::select! {
                next = inbound.message() => next?,
                () = delivery.abandoned() => return Err(unwanted()),
            };
            let Some(v1::Delivery { data, .. }) = next else {
                delivery.end().await;
                return Ok(Response::new(v1::Delivered {}));
            };
            if !delivery.piece(data).await {
                return Err(unwanted());
            }
        }
    }
}

/// Wraps a body as a message.
pub fn message(body: coordinator_message::Body) -> v1::CoordinatorMessage {
    v1::CoordinatorMessage { body: Some(body) }
}

/// Turns a worker away as it says hello.
fn refusal(reason: String) -> Response<<DispatchService as Dispatch>::AttachStream> {
    tracing::warn!(%reason, "worker refused");
    let refused = message(coordinator_message::Body::Refused(v1::Refused { reason, take_new_identity: false }));
    Response::new(Box::pin(futures::stream::iter([Ok(refused)])))
}

fn read_hello(
    hello: v1::Hello,
    connection: u64,
    outbox: Outbox,
    peers: Option<&TcpConnectInfo>,
) -> Result<Attached, WireError> {
    check_hello(&hello)?;
    let ends =
        Ends { remote: peers.and_then(TcpConnectInfo::remote_addr), local: peers.and_then(TcpConnectInfo::local_addr) };
    let unusable = |_| WireError::Unknown { field: "tensor_url", value: hello.tensor_url.clone() };
    Ok(Attached {
        connection,
        worker: WorkerId(parse_uuid("worker_id", &hello.worker_id)?),
        incarnation: Incarnation(parse_uuid("incarnation", &hello.incarnation)?),
        name: hello.name,
        device: hello.device,
        memory_bytes: hello.memory_bytes,
        address: Address::read(&hello.tensor_url, ends).map_err(unusable)?,
        ends,
        weights: hello.models.iter().flat_map(stored).collect(),
        models: hello.models.into_iter().map(read_model).collect::<Result<_, _>>()?,
        passed_over: Vec::new(),
        running: attempt_ids(hello.running),
        holding: attempt_ids(hello.holding),
        outbox,
    })
}

/// How the weights of a model's roles are stored.
fn stored(model: &v1::ServedModel) -> impl Iterator<Item = StoredWeights> {
    let name = model.card.as_ref().map(|card| card.name.clone()).unwrap_or_default();
    model.roles.iter().filter_map(move |served| {
        let role = v1::Role::try_from(served.role).ok()?.try_into().ok()?;
        Some(StoredWeights { model: name.clone(), role, encoding: served.encoding.clone(), bytes: served.bytes })
    })
}

fn read_model(model: v1::ServedModel) -> Result<Announcement, WireError> {
    let read_role = |served: v1::ServedRole| -> Result<(Role, Vec<ModelFile>), WireError> {
        let role = v1::Role::try_from(served.role).map_err(|_| WireError::Missing("role"))?.try_into()?;
        Ok((role, served.files.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?))
    };
    Ok(Announcement {
        card: model.card.ok_or(WireError::Missing("card"))?.try_into()?,
        roles: model.roles.into_iter().map(read_role).collect::<Result<_, _>>()?,
    })
}

fn read(message: v1::WorkerMessage) -> Result<Option<WorkerEvent>, WireError> {
    use worker_message::Body;
    let report = |attempt, report| Some(WorkerEvent::Report(AttemptId(attempt), RawReport::Report(report)));
    Ok(match message.body {
        Some(Body::Heartbeat(_)) => Some(WorkerEvent::Heartbeat),
        Some(Body::Goodbye(_)) => Some(WorkerEvent::Goodbye),
        Some(Body::Started(started)) => report(started.attempt, Report::Started),
        Some(Body::StepDone(done)) => {
            let checkpoint = done.checkpoint.ok_or(WireError::Missing("checkpoint"))?.try_into()?;
            report(done.attempt, Report::StepDone { checkpoint, seconds: done.seconds })
        }
        Some(Body::ItemDone(done)) => Some(WorkerEvent::Report(AttemptId(done.attempt), RawReport::Done(done))),
        Some(Body::ItemFailed(failed)) => {
            let failure = failed.failure.ok_or(WireError::Missing("failure"))?.try_into()?;
            report(failed.attempt, Report::Failed(failure))
        }
        Some(Body::Revoked(revoked)) => report(revoked.attempt, Report::Revoked),
        Some(Body::Hello(_)) => return Err(WireError::unknown_message("a second hello")),
        // A newer worker may say more than we understand; what we must know is in messages we do.
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_must_be_those_of_the_stage() {
        let tensor = v1::TensorRef {
            digest: vec![0; 32],
            data_type: v1::DataType::F32.into(),
            shape: vec![1],
            byte_length: 4,
            locations: vec![],
        };
        let done = |tensors| v1::ItemDone { attempt: 1, tensors, checkpoint: None, timing: None };
        assert!(outputs(Stage::EncodeText, done(vec![tensor.clone()])).is_ok());
        assert!(outputs(Stage::EncodeText, done(vec![])).is_err());
        assert!(outputs(Stage::Decode, done(vec![tensor.clone(), tensor.clone()])).is_err());
        assert!(outputs(Stage::DenoiseLow, done(vec![tensor])).is_err());
    }
}
