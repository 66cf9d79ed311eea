//! A coordinator put together: data directory, driver, and the gRPC services on one port.

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use wanfarm_identity::of_coordinator;
use wanfarm_proto::MAX_MESSAGE_BYTES;
use wanfarm_proto::dial::Way;
use wanfarm_proto::v1::{access_server::AccessServer, dispatch_server::DispatchServer, farm_server::FarmServer};
use wanfarm_proto::{listen, tensors};
use wanfarm_scheduler::Config;
use wanfarm_types::KeyId;

use crate::access::{Gate, Requests, Security, SharedAccess, Trust, TrustError, guard};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::copies::Copies;
use crate::dialler::Dialler;
use crate::dispatch::DispatchService;
use crate::driver::{Driver, Parts, RestoreError};
use crate::event::Event;
use crate::farm::{self, AccessService, Aside, FarmService};
use crate::health::HealthService;
use crate::limits::{SHORT_MESSAGE, STREAMS};
use crate::meters::Meters;
use crate::models::ModelStore;
use crate::obstacle::Obstacle;
use crate::outputs::Volume;
use crate::preview::{Fits, Shows};
use crate::reflection;
use crate::remember::{Memory, Wanted, remember};
use crate::sessions::{Pace, Sessions};
use crate::source::{Reader, Shelf};
use crate::store::{DataDirectory, DirectoryError, SqliteStore, StoreError};
use crate::writer::{Lessons, OutputWriter};

/// Events that may wait for the driver; senders beyond that wait themselves.
const EVENT_QUEUE: usize = 1024;
/// Transactions that those who are told of events may be behind.
const EVENTS_AHEAD: usize = 256;
/// How long the output folder may take to answer before the start.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the driver, and then open streams, may take to end when the coordinator stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How to run a coordinator.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Data directory, for this coordinator alone.
    pub data: PathBuf,
    /// Where finished files go.
    pub output: PathBuf,
    /// What the one job of a coordinator is that lives as long as that; `None` for one that stays up.
    pub wanted: Option<Wanted>,
    /// How it shows who it is, and lets in those it knows; `None`: nothing is encrypted, and whoever reaches it may do everything.
    pub security: Option<Security>,
    /// How long jobs are kept after they have ended; `None`: for ever.
    pub retention: Option<Duration>,
    /// The scheduler's constants.
    pub scheduler: Config,
}

/// A coordinator could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DirectoryError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database cannot be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The artifact directory cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The farm's authority cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The output folder cannot be used.
    #[error("the coordinator needs {0}; mend that, or name another folder with --output")]
    Output(Obstacle),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// A coordinator cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator stops: {0}; nothing was done that is not recorded, start it again when this is mended")]
pub struct StoreFailed(String);

/// A coordinator that runs in this process.
#[derive(Debug)]
pub struct Coordinator {
    /// The address it listens on.
    pub address: SocketAddr,
    /// The earlier job of the same manifest, if any.
    pub memory: Option<Memory>,
    /// By which members know it; `None` where nothing is encrypted.
    pub authority: Option<(KeyId, String)>,
    /// What clients ask of it, for whoever runs it.
    pub farm: FarmService,
    events: mpsc::Sender<Event>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    driver: JoinHandle<Result<(), StoreError>>,
    _directory: DataDirectory,
}

/// Starts a coordinator. What its gRPC services do not serve goes to what `routes` makes, on the same port and by HTTP/1.1 as
/// well.
///
/// # Errors
/// When its directories or its port cannot be had, nothing can be written to the output folder, or what is wanted has
/// names that are taken.
pub async fn start(
    mut config: ServerConfig,
    routes: impl FnOnce(FarmService) -> Routes,
) -> Result<Coordinator, ServerError> {
    // One and the same, wherever the next command is typed.
    config.output = std::path::absolute(&config.output).unwrap_or(config.output);
    let directory = DataDirectory::open(&config.data)?;
    let store = SqliteStore::open(&directory)?;
    let id = store.id();
    let trust = match &config.security {
        Some(security) => Some(Trust::open(&directory.authority(), security, store.has_members()?)?),
        None => None,
    };
    let way = trust.as_ref().map(|trust| Way::to_tensors(&trust.farm())).transpose().map_err(TrustError::from)?;
    let tls =
        trust.as_ref().map(|trust| of_coordinator(trust.farm().credentials)).transpose().map_err(TrustError::from)?;
    if let Some(trust) = &trust {
        tokio::spawn(Trust::keep_valid(Arc::downgrade(trust)));
    }
    let access = SharedAccess::default();
    let (stays, again) = (config.wanted.is_none(), config.wanted.as_ref().is_some_and(|wanted| wanted.again));
    let (store, memory) = match config.wanted {
        Some(wanted) => go_on(store, wanted, config.output.clone()).await?,
        None => (store, None),
    };
    let artifacts = Artifacts::open(&directory.artifacts())?;
    let present = artifacts.list().await?;
    let listener = listen::bind(config.listen)
        .await
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|source| ServerError::Listen { address: config.listen, source });
    let (address, listener) = listener?;

    let (events, inbox) = mpsc::channel(EVENT_QUEUE);
    let (news, told) = watch::channel(0);
    let reader = Reader::new(way.unwrap_or_default());
    let happened = broadcast::Sender::new(EVENTS_AHEAD);
    let meters = Meters::default();
    let history = farm::History { kept: store.history(), told: happened.downgrade() };
    let sessions = Sessions::new(Pace::of_lease(config.scheduler.lease));
    let models = ModelStore::open(directory.models());
    let aside = Aside { history, meters: meters.clone(), logs: sessions.logs(), models: models.clone() };
    let lessons = Lessons { artifacts: artifacts.clone(), fits: Fits::default() };
    let outputs = OutputWriter::new(config.output.clone(), id, reader.clone(), events.clone(), lessons.clone());
    let stills = outputs.stills().clone();
    let parts = Parts {
        copies: Copies::new(artifacts.clone(), reader.clone(), events.clone()),
        outputs,
        sessions,
        events: inbox,
        news,
        told: happened,
        meters,
        access: access.clone(),
        retention: config.retention,
        dialler: Dialler::new(reader.puller.clone(), events.clone()),
    };
    let mut driver = Driver::restore(Box::new(store), config.scheduler, &present, parts)?;
    // Where nothing is gone on from, the folder is taken as it is.
    let expected = stays || (memory.is_some() && !again);
    driver.begin_with_outputs(stays, expected).await.map_err(ServerError::Output)?;
    let orphans: Vec<_> = present.into_keys().filter(|digest| !driver.holds(digest)).collect();
    artifacts.remove(&orphans).await?;
    let driver = tokio::spawn(driver.run());

    let (stop, stopped) = oneshot::channel::<()>();
    let dispatch = DispatchService::new(events.clone(), reader.relay.clone(), aside.logs.clone(), trust.clone());
    let dispatch = DispatchServer::new(dispatch)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let dispatch = InterceptedService::new(dispatch, from_no_page);
    let shows = Shows::new(lessons.fits, artifacts.clone());
    let farm = FarmService::new(events.clone(), told, (shows, stills), config.output, !stays, aside);
    tokio::spawn(farm::forecasts::note(farm.clone()));
    let routes = routes(farm.clone());
    let health = HealthService::new(farm.clone()).max_decoding_message_size(SHORT_MESSAGE);
    let health = InterceptedService::new(health, from_no_page);
    let described = reflection::service().map(|service| InterceptedService::new(service, from_no_page));
    let to_older = reflection::older().map(|service| InterceptedService::new(service, from_no_page));
    let (asked, authority) =
        (farm.clone(), trust.as_ref().map(|trust| (trust.farm().authority, trust.pem().to_owned())));
    let gate = if trust.is_some() { Gate::Kept(access) } else { Gate::Open };
    // Of it and of health, a stranger's messages are read.
    let granting = AccessServer::new(AccessService::new(farm.clone(), trust)).max_decoding_message_size(SHORT_MESSAGE);
    let granting = InterceptedService::new(granting, from_no_page);
    let farm =
        FarmServer::new(farm).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let farm = InterceptedService::new(farm, from_no_page);
    let tensors = tensors::service(Shelf::new(artifacts, models, reader.relay.clone(), events.clone()));
    let tensors = InterceptedService::new(tensors, from_no_page);
    let starved = {
        let events = events.clone();
        // Said again while it lasts, so one that finds no place in the queue is not missed.
        move || drop(events.try_send(Event::NoDescriptors))
    };
    let mut routes =
        routes.add_service(dispatch).add_service(farm).add_service(granting).add_service(tensors).add_service(health);
    if let Some(described) = described {
        routes = routes.add_service(described);
    }
    if let Some(to_older) = to_older {
        routes = routes.add_service(to_older);
    }
    // Before anything else looks at a request.
    let routes =
        routes.into_axum_router().layer(axum::middleware::from_fn_with_state((gate, Requests::default()), guard));
    let server = Server::builder()
        .tcp_nodelay(true)
        // Browsers and scripts; a head that does not come is waited for half a minute.
        .accept_http1(true)
        // A peer that vanished without a word is noticed by the transport, not only by the lease.
        .http2_keepalive_interval(Some(Duration::from_secs(15)))
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(16 << 20)
        .initial_connection_window_size(32 << 20)
        .add_routes(routes.into())
        .serve_with_incoming_shutdown(listen::incoming(listener, tls.map(Arc::new), starved), async {
            // A dropped handle means stop as well.
            let _ = stopped.await;
        });
    let server = tokio::spawn(server);
    tracing::info!(%address, "coordinator listening");
    Ok(Coordinator { address, memory, authority, farm: asked, events, stop, server, driver, _directory: directory })
}

/// Refuses calls that a page of another site can have a browser make. Without being asked, a browser sends no content type
/// but those of forms, and whatever it sends for a page names the page's origin.
fn from_no_page(call: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
    let fields = call.metadata();
    let is_grpc = fields.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match is_grpc && !fields.contains_key("origin") {
        true => Ok(call),
        false => Err(Status::permission_denied("gRPC is for programs; pages ask by HTTP, below /api/v1")),
    }
}

/// Makes the job in a store the one that is wanted, once its output folder answers.
async fn go_on(
    mut store: SqliteStore,
    wanted: Wanted,
    output: PathBuf,
) -> Result<(SqliteStore, Option<Memory>), ServerError> {
    let volume = Volume::new(output);
    let looked = {
        let volume = volume.clone();
        tokio::time::timeout(OUTPUT_TIMEOUT, tokio::task::spawn_blocking(move || volume.check())).await
    };
    if looked.is_err() {
        let folder = volume.folder().to_owned();
        return Err(ServerError::Output(Obstacle::Silent { folder, seconds: OUTPUT_TIMEOUT.as_secs() }));
    }
    let go_on = move || {
        let memory = remember(&mut store, &wanted, volume);
        (store, memory)
    };
    let gone_on = tokio::task::spawn_blocking(go_on).await;
    let (store, memory) = gone_on.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    match memory {
        Err(RestoreError::Output(obstacle)) => Err(ServerError::Output(obstacle)),
        memory => Ok((store, memory?)),
    }
}

impl Coordinator {
    /// Resolves when the coordinator cannot go on: its store has failed.
    pub async fn failed(&mut self) -> StoreFailed {
        let ended = (&mut self.driver).await;
        StoreFailed(match ended {
            Ok(Ok(())) => "it was stopped".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        })
    }

    /// Stops taking work and ends. Nothing is waited for longer than a few seconds.
    pub async fn stop(mut self) {
        // The driver closes every worker's stream when it goes; the server can then end.
        let farewell = async {
            let _ = self.events.send(Event::Stop).await;
            if !self.driver.is_finished() {
                let _ = (&mut self.driver).await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_GRACE, farewell).await.is_err() {
            // A disk that does not answer. What was not recorded has not been acted on.
            self.driver.abort();
        }
        let _ = self.stop.send(());
        let abort = self.server.abort_handle();
        if tokio::time::timeout(SHUTDOWN_GRACE, self.server).await.is_err() {
            abort.abort();
        }
    }
}
