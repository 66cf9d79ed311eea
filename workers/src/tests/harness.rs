//! The other sides: a coordinator whose every message the test sends and reads, and a device that waits to be told.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use wanfarm_proto::dial::{Target, Way};
use wanfarm_proto::tensors::TensorSource;
use wanfarm_proto::v1;
use wanfarm_proto::v1::dispatch_server::{Dispatch, DispatchServer};
use wanfarm_types::{
    Assignment, AttemptId, CoordinatorMessage, Digest, Failure, Hello, Report, VideoSpec, WorkerMessage,
};

use super::fixtures;
use crate::agent::LocalFiles;
use crate::ahead::Ahead;
use crate::device::{Device, Resident};
use crate::holdings::ModelFiles;
use crate::identity::Identity;
use crate::link::Dial;
use crate::loras::Loras;
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner, abandoned, refs};
use crate::{Log, WorkerError, run};

/// Nothing in these tests takes long; what does is a fault.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

/// Tensors for others to read, and who read what.
#[derive(Clone)]
pub(super) struct Shelf {
    tensors: Arc<Mutex<HashMap<Digest, Bytes>>>,
    reads: mpsc::Sender<Digest>,
}

impl Shelf {
    fn new() -> (Self, mpsc::Receiver<Digest>) {
        let (reads, was_read) = mpsc::channel(64);
        (Self { tensors: Arc::default(), reads }, was_read)
    }

    pub(super) fn put(&self, tensors: &[HostTensor]) {
        for tensor in tensors {
            self.put_as(tensor.name.digest, tensor.bytes.clone());
        }
    }

    /// Puts bytes under a name that need not be theirs.
    pub(super) fn put_as(&self, digest: Digest, bytes: Bytes) {
        self.tensors.lock().unwrap().insert(digest, bytes);
    }

    /// Serves the shelf alone, as another worker would; its address.
    pub(super) async fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        self.serve_on(listener);
        url
    }

    pub(super) fn serve_on(self, listener: TcpListener) {
        let server = tonic::transport::Server::builder().add_service(wanfarm_proto::tensors::service(self));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }

    pub(super) fn alone() -> Self {
        Self::new().0
    }
}

impl TensorSource for Shelf {
    fn tensor(&self, digest: &Digest) -> Option<Bytes> {
        let _ = self.reads.try_send(*digest);
        self.tensors.lock().unwrap().get(digest).cloned()
    }
}

/// A coordinator.
pub(super) struct Coordinator {
    pub(super) url: String,
    pub(super) shelf: Shelf,
    pub(super) was_read: mpsc::Receiver<Digest>,
    connections: mpsc::Receiver<Connection>,
    deliveries: mpsc::Receiver<Delivered>,
}

/// An errand, and its bytes if the worker had them.
type Delivered = (u64, Option<Bytes>);

/// A worker's connection, seen from the coordinator. Dropping it cuts it.
pub(super) struct Connection {
    pub(super) protocol: u32,
    pub(super) hello: Hello,
    from_worker: Streaming<v1::Frame>,
    to_worker: mpsc::Sender<Result<v1::Frame, Status>>,
}

impl Coordinator {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let (sender, connections) = mpsc::channel(4);
        let (delivered, deliveries) = mpsc::channel(4);
        let (shelf, was_read) = Shelf::new();
        let server = tonic::transport::Server::builder()
            .add_service(DispatchServer::new(Dispatcher(sender, delivered)))
            .add_service(wanfarm_proto::tensors::service(shelf.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, shelf, was_read, connections, deliveries }
    }

    /// The next worker that says hello; not welcomed yet.
    pub(super) async fn hello(&mut self) -> Connection {
        soon("hello", self.connections.recv()).await.unwrap()
    }

    /// The next tensor that a worker delivers.
    pub(super) async fn delivered(&mut self) -> Delivered {
        soon("a delivery", self.deliveries.recv()).await.unwrap()
    }

    pub(super) async fn welcome(&mut self) -> Connection {
        self.welcome_as(false).await
    }

    /// As [`Self::welcome`], saying whether it wants to hear the worker's log.
    pub(super) async fn welcome_as(&mut self, wants_log: bool) -> Connection {
        let connection = self.hello().await;
        let welcome = CoordinatorMessage::Welcome {
            heartbeat_milliseconds: 50,
            lease_milliseconds: 30_000,
            wants_log,
            certificate: None,
        };
        connection.send(welcome).await;
        connection
    }
}

/// A coordinator with the contexts, and a worker that it has welcomed.
pub(super) async fn attached() -> (Coordinator, Worker, Connection) {
    let mut coordinator = Coordinator::start().await;
    coordinator.shelf.put(&fixtures::contexts());
    let worker = Worker::start(&coordinator.url).await;
    let connection = coordinator.welcome().await;
    (coordinator, worker, connection)
}

impl Connection {
    /// Where a reader on this machine finds the worker's tensors.
    pub(super) fn tensors(&self) -> String {
        let port = self.hello.tensor_address.rsplit(':').next().unwrap();
        format!("127.0.0.1:{port}")
    }

    pub(super) async fn send(&self, order: CoordinatorMessage) {
        self.send_frame(v1::Frame::of(&order)).await;
    }

    pub(super) async fn send_frame(&self, frame: v1::Frame) {
        self.to_worker.send(Ok(frame)).await.unwrap();
    }

    /// The next report, and the attempt it is about.
    pub(super) async fn report(&mut self) -> (u64, Report) {
        loop {
            match self.message().await {
                WorkerMessage::Heartbeat => {}
                WorkerMessage::Report(attempt, report) => return (attempt.0, report),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next lines of its log, and the number of the first.
    pub(super) async fn log(&mut self) -> (u64, Vec<String>) {
        loop {
            if let WorkerMessage::Log { first, entries } = self.message().await {
                return (first, entries.into_iter().map(|entry| entry.text).collect());
            }
        }
    }

    /// The reason why it leaves.
    pub(super) async fn goodbye(&mut self) -> String {
        loop {
            if let WorkerMessage::Goodbye { reason } = self.message().await {
                return reason;
            }
        }
    }

    pub(super) async fn message(&mut self) -> WorkerMessage {
        let message = soon("report", self.from_worker.message()).await.unwrap();
        message.expect("the worker closed the connection").read().unwrap()
    }

    /// The worker ends the connection.
    pub(super) async fn closed(mut self) {
        soon("the end", async { while let Ok(Some(_)) = self.from_worker.message().await {} }).await;
    }

    /// Assigns the first two steps, from nothing, with contexts that lie where `locations` says.
    pub(super) async fn assign(&self, attempt: u64, contexts: &[HostTensor], locations: &[String]) {
        self.assign_of(fixtures::spec(), attempt, contexts, locations).await;
    }

    /// The same of a video of its own.
    pub(super) async fn assign_of(&self, spec: VideoSpec, attempt: u64, contexts: &[HostTensor], locations: &[String]) {
        let inputs = wanfarm_types::ItemInputs { text: refs(contexts), ..Default::default() };
        let locations = contexts.iter().map(|context| (context.name.digest, locations.to_vec())).collect();
        let assignment = Assignment { attempt: AttemptId(attempt), spec, inputs, locations, ..fixtures::assignment(1) };
        self.send(CoordinatorMessage::Assign(Box::new(assignment))).await;
    }
}

struct Dispatcher(mpsc::Sender<Connection>, mpsc::Sender<Delivered>);

#[tonic::async_trait]
impl Dispatch for Dispatcher {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<v1::Frame, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<v1::Frame>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut from_worker = request.into_inner();
        let first = from_worker.message().await?.expect("a hello");
        let (hello, protocol) = (first.read()?, first.protocol);
        let (to_worker, messages) = mpsc::channel(16);
        self.0.send(Connection { protocol, hello, from_worker, to_worker }).await.unwrap();
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }

    async fn deliver(&self, request: Request<Streaming<v1::Delivery>>) -> Result<Response<v1::Delivered>, Status> {
        let mut chunks = request.into_inner();
        let first = chunks.message().await?.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend_from_slice(&chunk.data);
        }
        self.1.send((first.errand, (!first.missing).then(|| bytes.into()))).await.unwrap();
        Ok(Response::new(v1::Delivered {}))
    }
}

/// What the device is to do next with the item it has.
pub(super) enum Play {
    /// Report a step.
    Step(u32),
    /// Wait for the request to stop, then end with the state after this step.
    Stopped(u32),
    /// Wait until nobody wants the item.
    Abandoned,
    End(Result<Output, Failure>),
    Panic,
}

/// The device of a worker, in the hands of the test.
pub(super) struct Hands {
    pub(super) begun: mpsc::Receiver<PreparedItem>,
    play: blocking::SyncSender<Play>,
}

impl Hands {
    pub(super) async fn begun(&mut self) -> PreparedItem {
        soon("an item to begin", self.begun.recv()).await.unwrap()
    }

    pub(super) fn play(&self, play: Play) {
        self.play.try_send(play).unwrap();
    }
}

struct Puppet {
    begun: mpsc::Sender<PreparedItem>,
    play: Arc<Mutex<blocking::Receiver<Play>>>,
}

impl RoleRunner for Puppet {
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure> {
        self.begun.try_send(item.clone()).unwrap();
        let wait_for = |condition: &dyn Fn() -> bool| {
            while !condition() {
                std::thread::yield_now();
            }
        };
        loop {
            let Ok(play) = self.play.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).recv() else {
                return Err(abandoned());
            };
            match play {
                Play::Step(steps_done) => control.step_done(&fixtures::state(steps_done), 2),
                Play::Stopped(steps_done) => {
                    wait_for(&|| control.should_stop_after_step());
                    return Ok(fixtures::state(steps_done).into_output());
                }
                Play::Abandoned => {
                    wait_for(&|| control.abandoned());
                    return Err(abandoned());
                }
                Play::End(result) => return result,
                Play::Panic => panic!("the device caught fire"),
            }
        }
    }
}

/// A worker.
pub(super) struct Worker {
    pub(super) hands: Hands,
    pub(super) shutdown: oneshot::Sender<()>,
    pub(super) ended: JoinHandle<Result<(), WorkerError>>,
    pub(super) log: Log,
    pub(super) data: tempfile::TempDir,
    /// With a folder of LoRA files in it.
    pub(super) models: tempfile::TempDir,
}

impl Worker {
    pub(super) async fn start(coordinator: &str) -> Self {
        let (begun_sender, begun) = mpsc::channel(4);
        let (play, played) = blocking::sync_channel(16);
        let played = Arc::new(Mutex::new(played));
        let make =
            move || Ok(Box::new(Puppet { begun: begun_sender.clone(), play: played.clone() }) as Box<dyn RoleRunner>);
        let (device, ready) = Device::start(make, Resident::default()).unwrap();
        ready.await.unwrap().unwrap();
        let (shutdown, told) = oneshot::channel::<()>();
        let log = Log::default();
        let target = Target::new(coordinator, Way::plain());
        let dial = Dial { target, farm: None, log: log.clone() };
        let (data, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(models.path().join("loras")).unwrap();
        let loras = Arc::new(Loras::new(&[models.path().to_owned()], data.path()));
        let files = LocalFiles { loras, ahead: Ahead::default(), models: Arc::new(ModelFiles::of([])) };
        let identity = Identity::claim(data.path()).unwrap();
        let hello = Hello {
            worker: identity.worker,
            incarnation: identity.incarnation,
            name: "puppet".to_owned(),
            host: String::new(),
            device: "none".to_owned(),
            memory_bytes: 1,
            budget_bytes: None,
            loaded: Vec::new(),
            tensor_address: String::new(),
            models: vec![fixtures::served()],
            running: Vec::new(),
            holding: Vec::new(),
        };
        let ended = tokio::spawn(run::serve(dial, None, identity, hello, device, files, async move {
            let _ = told.await;
        }));
        Self { hands: Hands { begun, play }, log, shutdown, ended, data, models }
    }

    /// Tells it to leave, and sees it do so once the coordinator has heard its goodbye.
    pub(super) async fn leave(self, connection: impl Into<Option<Connection>>) {
        self.shutdown.send(()).unwrap();
        drop(self.hands);
        if let Some(mut connection) = connection.into() {
            connection.goodbye().await;
        }
        soon("the worker to leave", self.ended).await.unwrap().unwrap();
    }
}
