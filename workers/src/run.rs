//! A worker from start to end: claims its data folder, finds its models, loads their weights, serves its tensors, and
//! works until it is told to leave. Not the work itself (`agent`).

use std::future::Future;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::info;
use wanfarm_identity::{of_worker, worker_id};
use wanfarm_proto::dial::Way;
use wanfarm_proto::tensors::Puller;
use wanfarm_proto::{Location, listen};
use wanfarm_types::{Hello, ServedModel};

use crate::agent::{Agent, LocalFiles};
use crate::device::{Device, Resident};
use crate::holdings::Holdings;
use crate::identity::Identity;
use crate::link::{Dial, Link};
use crate::models::{Catalog, Wish};
use crate::roles::Roles;
use crate::tensors::TensorStore;
use crate::{WorkerConfig, WorkerError, machine};

/// A reader that vanished without a word is noticed after this long without a sign of it.
const SILENCE: Duration = Duration::from_secs(15);

/// Runs a worker until `shutdown` completes or the coordinator has drained it; it then says goodbye and returns within
/// five seconds, whatever is being computed. A coordinator that cannot be reached is dialled again for ever.
///
/// # Errors
/// Wrong settings, a data folder or device that cannot be used, model files that cannot be used, or a coordinator that
/// refuses this worker.
pub async fn run(config: WorkerConfig, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
    let (target, farm) = (config.coordinator.clone(), config.farm.clone());
    let dial = Dial { target, farm: farm.clone(), log: config.log.clone() };
    let advertised = config.advertise.as_deref().map(advertised).transpose()?;
    if config.roles.is_empty() {
        return Err(WorkerError::Settings("--role names no role".to_owned()));
    }
    wanfarm_types::check_label("--name", &config.name)
        .map_err(|error| WorkerError::Settings(format!("{error}; say another with --name")))?;
    let mut shutdown = std::pin::pin!(shutdown);
    let identity = Identity::claim(&config.data)?;
    let (listen, name, budget) = (config.listen, config.name.clone(), config.budget);
    let described = machine::describe(config.device);
    let ready = tokio::select! {
        ready = make_ready(config) => ready?,
        () = &mut shutdown => return Ok(()),
    };
    let (models, device, files) = ready;
    let hello = Hello {
        worker: identity.worker,
        incarnation: identity.incarnation,
        name,
        host: machine::host(),
        device: described,
        memory_bytes: machine::memory_bytes(),
        budget_bytes: budget.map(|budget| budget.0),
        loaded: Vec::new(),
        tensor_address: advertised.map(|location| location.to_string()).unwrap_or_default(),
        models,
        running: Vec::new(),
        holding: Vec::new(),
    };
    // As the coordinator and so people call it.
    let id = farm.map_or(hello.worker, |farm| worker_id(&farm.credentials.public().id(), hello.worker));
    info!(worker = %id, name = %hello.name, device = %hello.device, "ready");
    serve(dial, listen, identity, hello, device, files, shutdown).await
}

async fn make_ready(config: WorkerConfig) -> Result<(Vec<ServedModel>, Device, LocalFiles), WorkerError> {
    let (sender, found) = tokio::sync::oneshot::channel();
    let (folders, roles, data) = (config.models.clone(), config.roles.clone(), config.data.clone());
    let (only, device, dtype) = (config.only.clone(), config.device, config.dtype.of_tensors());
    let budget = config.budget;
    // A thread of its own and not the runtime's: reading every byte of a large model cannot be cut short, and must not
    // keep a process alive that is told to end.
    let search = move || {
        let wish = Wish { only: &only, roles: &roles, device, dtype };
        let found = Catalog::discover(&folders, wish, &data);
        let _ = sender.send(match budget {
            Some(budget) => found.and_then(|catalog| catalog.fit(budget)),
            None => found,
        });
    };
    std::thread::Builder::new()
        .name("models".to_owned())
        .spawn(search)
        .map_err(|source| WorkerError::System { what: "cannot start a thread", source })?;
    let broken = || WorkerError::DeviceThread("the search for models crashed".to_owned());
    let catalog = Arc::new(found.await.map_err(|_| broken())??);
    let models = catalog.served();
    let files = LocalFiles::of(&catalog, budget.is_some());
    let resident = Resident::default();
    let told = resident.clone();
    let make =
        move || Ok(Box::new(Roles::open(catalog.clone(), device, dtype, budget.is_some(), told.clone())?) as Box<_>);
    let failed = |source| WorkerError::System { what: "cannot start the device thread", source };
    let (device, ready) = Device::start(make, resident).map_err(failed)?;
    ready.await.map_err(|_| WorkerError::DeviceThread("it ended while loading".to_owned()))??;
    Ok((models, device, files))
}

/// Serves tensors and works, with a device that is ready.
pub(crate) async fn serve(
    dial: Dial,
    listen: Option<SocketAddr>,
    identity: Identity,
    hello: Hello,
    device: Device,
    files: LocalFiles,
    shutdown: impl Future<Output = ()>,
) -> Result<(), WorkerError> {
    let store = Arc::new(TensorStore::new(identity.incarnation));
    // Also where the coordinator is on this machine: others of its farm are not.
    let listen = listen.unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, 0).into());
    let failed = |source| WorkerError::Listen { address: listen, source };
    let listener = listen::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let farm = dial.farm.as_ref();
    let puller = Puller::new(farm.map(Way::to_tensors).transpose()?.unwrap_or_default());
    let tls = farm.map(of_worker).transpose()?.map(Arc::new);
    let served = CancellationToken::new();
    let server = Server::builder()
        .http2_keepalive_interval(Some(SILENCE))
        .add_service(wanfarm_proto::tensors::service(Holdings::new(store.clone(), files.models.clone())))
        .serve_with_incoming_shutdown(listen::incoming(listener, tls, || ()), served.clone().cancelled_owned());
    let _stop = served.drop_guard();
    tokio::spawn(server);
    Agent::new(identity, hello, Link::new(dial, address), device, store, files, puller)?.run(shutdown).await
}

/// Checks `--advertise`.
fn advertised(address: &str) -> Result<Location, WorkerError> {
    address
        .parse::<Location>()
        .map_err(|_| WorkerError::Settings(format!("--advertise {address}: not an address; write it as host:port")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_advertise_is_checked_at_once() {
        assert_eq!(advertised("mac-3.local:7701").unwrap().to_string(), "mac-3.local:7701");
        for bad in ["http://mac-3:1", "mac-3:many", "mac 3:1", ""] {
            let error = advertised(bad).unwrap_err().to_string();
            assert!(error.contains("--advertise") && error.contains("host:port"), "{bad}: {error}");
        }
    }
}
