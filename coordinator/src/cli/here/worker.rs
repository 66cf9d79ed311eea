//! `coordinator worker`.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use tokio::sync::oneshot;
use wanfarm_types::{Role, Size};
use wanfarm_workers::{Dtype, ErrorKind, Log, WorkerConfig, WorkerError};

use super::{ComputeArgs, data_directory, listen};
use crate::cli::args::CoordinatorArg;
use crate::cli::error::CliError;
use crate::cli::path;
use crate::cli::runtime::{asked_to_stop, block_on};
use crate::exit::Exit;
use crate::logging::{self, Listener};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WorkerArgs {
    #[command(flatten)]
    coordinator: CoordinatorArg,
    /// What to serve, and to hold in memory from the start: text-encoder, dit-high, dit-low, dit, vae; several with
    /// commas [default: all that is in the folders; the coordinator decides what is in memory when].
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<Role>,
    /// Memory for weights and what is computed with them, within which the coordinator decides what is loaded, of the
    /// roles if some are named: 48GiB, 48GB or bytes [default, without --role: 90 % of what Metal recommends or of
    /// what is free on the GPU; 75 % of main memory, or of the container's limit, on the processor].
    #[arg(long, value_name = "SIZE", env = "WANFARM_MEMORY")]
    memory: Option<Size>,
    /// Folder with one subfolder per model; may be repeated.
    #[arg(long, value_name = "DIR", env = "WANFARM_MODELS", required = true, value_parser = path::new())]
    models: Vec<PathBuf>,
    /// Serve this model alone; may be repeated [default: all that are there].
    #[arg(long, value_name = "MODEL")]
    only: Vec<String>,
    /// Working data of this worker alone: its identity, logs [default: the platform's data directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
    /// Compute threads [default: all cores].
    #[arg(long, value_name = "N", env = "WANFARM_THREADS")]
    threads: Option<std::num::NonZeroUsize>,
    /// Address of this worker's tensor service, which the other machines read its results from; [::]:7701 is a port to
    /// open in a firewall [default: a free port, on every interface].
    #[arg(long, value_name = "HOST:PORT", value_parser = listen::address)]
    listen: Option<SocketAddr>,
    /// Address under which others reach that service, if it is another: behind NAT, in a container
    /// [default: the one it listens on].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Name shown to people [default: host name, and roles if they are named].
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Leave when standard input is closed.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

impl WorkerArgs {
    /// The folders that it reads models from.
    #[cfg(unix)]
    pub(super) fn models(&self) -> Vec<PathBuf> {
        self.models.clone()
    }
}

pub(super) fn worker(args: WorkerArgs) -> Result<Exit, CliError> {
    super::limit_threads(args.threads.unwrap_or_else(super::cores))?;
    let label = args.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join("+");
    let own = if label.is_empty() { "worker".to_owned() } else { format!("worker-{label}") };
    let data = data_directory(args.data, &own)?;
    let told = Log::default();
    let listener = Some(Listener::new({
        let told = told.clone();
        move |level, text: &str| told.say(level, text)
    }));
    if args.exit_with_parent {
        let log = data.join("worker.log");
        wanfarm_durable::private_folder(&data)
            .and_then(|()| logging::to_file(&log, listener))
            .map_err(|error| CliError::new(Exit::SomeFailed, format!("cannot log to {}: {error}", log.display())))?;
    } else {
        logging::of_service(listener);
    }
    let device = args.compute.device()?;
    let (coordinator, farm) = args.coordinator.target_and_farm()?;
    let config = WorkerConfig {
        coordinator,
        farm,
        name: args.name.unwrap_or_else(|| default_name(&label)),
        // Without roles there is always a budget: nobody could say what is to stay in memory.
        budget: args.memory.or_else(|| args.roles.is_empty().then(|| wanfarm_workers::budget(device))),
        roles: if args.roles.is_empty() { Role::ALL.to_vec() } else { args.roles },
        models: args.models,
        only: args.only,
        data,
        listen: args.listen,
        advertise: args.advertise,
        log: told,
        device,
        dtype: args.compute.dtype.unwrap_or_else(|| Dtype::preferred(device)),
    };
    let with_parent = args.exit_with_parent;
    block_on(async {
        let stop = async move {
            tokio::select! {
                () = asked_to_stop() => {}
                () = parent_gone(), if with_parent => {}
            }
        };
        match wanfarm_workers::run(config, stop).await {
            Ok(()) => Ok(Exit::Ok),
            Err(error) => Err(CliError::new(exit(&error), error)),
        }
    })
}

fn exit(error: &WorkerError) -> Exit {
    match error.kind() {
        ErrorKind::Usage => Exit::Usage,
        ErrorKind::ModelFiles => Exit::BadModelFiles,
        ErrorKind::Refused => Exit::NoConnection,
        ErrorKind::System => Exit::SomeFailed,
    }
}

fn default_name(roles: &str) -> String {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    if roles.is_empty() { host } else { format!("{host}/{roles}") }
}

/// Resolves when standard input ends: the parent holds its other end for as long as it lives.
async fn parent_gone() {
    let (gone, wait) = oneshot::channel();
    // A thread of its own: a blocking read on the runtime would keep the process from ending.
    thread::spawn(move || {
        let mut byte = [0u8; 1];
        while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
        let _ = gone.send(());
    });
    let _ = wait.await;
}
