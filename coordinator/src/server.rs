//! A coordinator put together: data directory, driver, and the gRPC services on one port.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use wanfarm_proto::MAX_MESSAGE_BYTES;
use wanfarm_proto::tensors::{self, Puller};
use wanfarm_proto::v1::{dispatch_server::DispatchServer, farm_server::FarmServer};
use wanfarm_scheduler::{Config, Scheduler};

use crate::artifacts::{ArtifactError, Artifacts};
use crate::copies::Copies;
use crate::dispatch::DispatchService;
use crate::driver::{Driver, Event};
use crate::farm::FarmService;
use crate::outputs::Outputs;
use crate::sessions::{Pace, Sessions};

/// Events that may wait for the driver; senders beyond that wait themselves.
const EVENTS: usize = 1024;
/// How long open streams may take to end when the coordinator stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// How to run a coordinator.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Data directory, for this coordinator alone.
    pub data: PathBuf,
    /// Where finished files go.
    pub output: PathBuf,
    /// The scheduler's constants.
    pub scheduler: Config,
}

/// A coordinator could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another coordinator uses the data directory.
    #[error("another coordinator is using the data directory {}; stop it, or give this one its own with --data", .0.display())]
    InUse(PathBuf),
    /// The artifact directory cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A coordinator that runs in this process.
#[derive(Debug)]
pub struct Coordinator {
    /// The address it listens on.
    pub address: SocketAddr,
    events: mpsc::Sender<Event>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    driver: JoinHandle<()>,
    _lock: File,
}

/// Starts a coordinator.
///
/// # Errors
/// When its directories or its port cannot be had.
pub async fn start(config: ServerConfig) -> Result<Coordinator, ServerError> {
    let lock = lock(&config.data)?;
    let artifacts = Arc::new(Artifacts::open(&config.data.join("artifacts"))?);
    let listener = TcpListener::bind(config.listen)
        .await
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|source| ServerError::Listen { address: config.listen, source });
    let (address, listener) = listener?;

    let (events, inbox) = mpsc::channel(EVENTS);
    let puller = Puller::default();
    let copies = Copies::new(artifacts.clone(), puller.clone(), events.clone());
    let outputs = Outputs::new(config.output.clone(), puller, events.clone());
    let lease = u32::try_from(config.scheduler.lease.as_millis()).unwrap_or(u32::MAX);
    let sessions = Sessions::new(Pace { heartbeat: lease / 4, lease });
    let scheduler = Scheduler::new(config.scheduler, wanfarm_types::AttemptId(1));
    let driver = Driver::new(scheduler, copies, outputs, sessions, inbox);
    let driver = tokio::spawn(driver.run());

    let (stop, stopped) = oneshot::channel::<()>();
    let dispatch = DispatchServer::new(DispatchService::new(events.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let farm = FarmServer::new(FarmService::new(events.clone(), artifacts.clone(), config.output))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = Server::builder()
        .tcp_nodelay(true)
        // A peer that vanished without a word is noticed by the transport, not only by the lease.
        .http2_keepalive_interval(Some(Duration::from_secs(15)))
        .initial_stream_window_size(16 << 20)
        .initial_connection_window_size(32 << 20)
        .add_service(dispatch)
        .add_service(farm)
        .add_service(tensors::service(artifacts))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            // A dropped handle means stop as well.
            let _ = stopped.await;
        });
    let server = tokio::spawn(server);
    tracing::info!(%address, "coordinator listening");
    Ok(Coordinator { address, events, stop, server, driver, _lock: lock })
}

impl Coordinator {
    /// Stops taking work and ends. Nothing is waited for longer than a few seconds.
    pub async fn stop(self) {
        // The driver closes every worker's stream when it goes; the server can then end.
        let _ = self.events.send(Event::Stop).await;
        let _ = self.driver.await;
        let _ = self.stop.send(());
        let abort = self.server.abort_handle();
        if tokio::time::timeout(FAREWELL, self.server).await.is_err() {
            abort.abort();
        }
    }
}

fn lock(data: &Path) -> Result<File, ServerError> {
    let fail = |source| ServerError::Data { path: data.to_owned(), source };
    std::fs::create_dir_all(data).map_err(fail)?;
    let file = File::create(data.join("coordinator.lock")).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::InUse(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}
