//! The control plane's service edge: worker streams in, typed events out.
//!
//! One task per connection reads and checks messages and hands them to the driver; the driver's answers go out
//! through a bounded queue. Tensors that others cannot fetch come by calls of their own. Deliberately not here: any
//! decision about work.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};
use wanfarm_identity::{PublicKey, worker_id};
use wanfarm_proto::listen::Connection;
use wanfarm_proto::v1::{self, dispatch_server::Dispatch};
use wanfarm_proto::{PROTOCOL, WireError};
use wanfarm_types::{CoordinatorMessage, Hello, WorkerMessage, check_label};

use crate::access::{RENEWAL, Trust};
use crate::address::{Address, Ends};
use crate::event::{Attached, Event};
use crate::limits::{HELLO_TIMEOUT, OUTBOX_CAPACITY};
use crate::logs::SharedLogs;
use crate::outbox::Outbox;
use crate::relay::Relay;

/// The service.
#[derive(Debug)]
pub(crate) struct DispatchService {
    events: mpsc::Sender<Event>,
    relay: Relay,
    logs: SharedLogs,
    /// Vouches for workers, where connections are encrypted.
    trust: Option<Arc<Trust>>,
    connections: AtomicU64,
}

impl DispatchService {
    /// A service that feeds the driver, the relay, and the logs.
    pub(crate) fn new(events: mpsc::Sender<Event>, relay: Relay, logs: SharedLogs, trust: Option<Arc<Trust>>) -> Self {
        Self { events, relay, logs, trust, connections: AtomicU64::new(1) }
    }
}

#[tonic::async_trait]
impl Dispatch for DispatchService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<v1::Frame, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<v1::Frame>>) -> Result<Response<Self::AttachStream>, Status> {
        let peers = request.extensions().get::<Connection>().cloned().unwrap_or_default();
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello"))??
            .ok_or_else(|| Status::invalid_argument("the first message must be a hello"))?;
        if first.protocol != PROTOCOL {
            let reason = format!(
                "this coordinator (version {}) speaks protocol {PROTOCOL}, the worker (version {}) speaks {}; \
                 install the same version on both",
                env!("CARGO_PKG_VERSION"),
                first.version.chars().take(40).filter(|c| !c.is_control()).collect::<String>(),
                first.protocol
            );
            return Ok(refusal(reason));
        }
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let (outbox, outgoing) = mpsc::channel(OUTBOX_CAPACITY);
        let attached = match read_hello(&first, connection, outbox, &peers) {
            Ok(attached) => attached.vouched_for(&peers, self.trust.as_deref()),
            // It would say the same again.
            Err(error) => return Ok(refusal(format!("its hello cannot be used: {error}"))),
        };
        let (worker, incarnation) = (attached.hello.worker, attached.hello.incarnation);
        let (events, logs) = (self.events.clone(), self.logs.clone());
        let closing = || Status::unavailable("the coordinator is shutting down");
        events.send(Event::Attached(Box::new(attached))).await.map_err(|_| closing())?;
        tokio::spawn(async move {
            // An error is a broken connection, or a message that means nothing: either way the worker re-attaches and
            // says again what it has to say.
            while let Some(Ok(frame)) = inbound.next().await {
                let message = match read(&frame) {
                    Ok(WorkerMessage::Log { first, entries }) => {
                        logs.hear(worker, incarnation, first, entries);
                        continue;
                    }
                    Ok(message) => message,
                    Err(error) => {
                        tracing::warn!(%worker, %error, "closing a connection that sent nonsense");
                        break;
                    }
                };
                if events.send(Event::Worker { connection, worker, incarnation, message }).await.is_err() {
                    return;
                }
            }
            // The driver is gone when the coordinator stops; then nobody needs to know.
            let _ = events.send(Event::Detached { connection, worker, incarnation }).await;
        });
        let voucher = self.trust.clone().zip(peers.peer.key);
        let start = (outgoing, voucher, Instant::now() + RENEWAL);
        let messages = futures::stream::unfold(start, |(mut outgoing, voucher, mut next)| async move {
            let message = tokio::select! {
                message = outgoing.recv() => message?,
                certificate = renewed(voucher.as_ref(), next) => {
                    next += RENEWAL;
                    CoordinatorMessage::Certificate(certificate)
                }
            };
            Some((Ok(v1::Frame::of(&message)), (outgoing, voucher, next)))
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn deliver(&self, request: Request<Streaming<v1::Delivery>>) -> Result<Response<v1::Delivered>, Status> {
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(HELLO_TIMEOUT, inbound.message())
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
            if !delivery.chunk(data).await {
                return Err(unwanted());
            }
        }
    }
}

/// The worker's certificate, when it is time for a new one.
async fn renewed(voucher: Option<&(Arc<Trust>, PublicKey)>, due: Instant) -> String {
    tokio::time::sleep_until(due).await;
    match voucher.and_then(|(trust, key)| trust.vouch(key)) {
        Some(certificate) => certificate,
        None => std::future::pending().await,
    }
}

impl Attached {
    /// With the id that nobody with another key has, and what others know it by.
    fn vouched_for(mut self, connection: &Connection, trust: Option<&Trust>) -> Self {
        if let Some((trust, key)) = trust.zip(connection.peer.key.as_ref()) {
            self.hello.worker = worker_id(&key.id(), self.hello.worker);
            self.member = Some(key.id());
            self.certificate = trust.vouch(key);
        }
        self
    }
}

/// Turns a worker away as it says hello.
fn refusal(reason: String) -> Response<<DispatchService as Dispatch>::AttachStream> {
    tracing::warn!(%reason, "worker refused");
    let refused = CoordinatorMessage::Refused { reason, take_new_identity: false };
    Response::new(Box::pin(futures::stream::iter([Ok(v1::Frame::of(&refused))])))
}

fn read_hello(first: &v1::Frame, connection: u64, outbox: Outbox, peers: &Connection) -> Result<Attached, WireError> {
    let hello: Hello = first.read()?;
    hello.check()?;
    check_label("version", &first.version)?;
    let ends = Ends { remote: peers.remote, local: peers.local };
    let unusable = |_| WireError::Unknown { field: "tensor_address", value: hello.tensor_address.clone() };
    let address = Address::read(&hello.tensor_address, ends).map_err(unusable)?;
    let build = first.version.clone();
    Ok(Attached { connection, hello, build, address, ends, member: None, certificate: None, outbox })
}

fn read(frame: &v1::Frame) -> Result<WorkerMessage, WireError> {
    let message: WorkerMessage = frame.read()?;
    message.check()?;
    Ok(message)
}
