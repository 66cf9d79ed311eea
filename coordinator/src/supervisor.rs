//! Worker processes on this machine: started, watched, restarted when they die, stopped without orphans.
//!
//! Each worker holds the read end of a pipe whose other end is this process. When this process ends, however
//! it ends, the pipe closes and the worker leaves. Deliberately not here: what workers do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wanfarm_types::{Backoff, Role};

use crate::defaults::{KEYS, PLACE};
use crate::exit::Exit;

/// A worker that ran for this long before it died was healthy: its next death counts from one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// Deaths in a row, each within [`HEALTHY_AFTER`], before the role is given up.
const MAX_DEATHS: u32 = 5;
/// Between two starts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// How long a worker may take to say goodbye: a little longer than it gives itself. The whole command ends within 5 s.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(2500);

/// How to start the workers of one machine.
#[derive(Debug, Clone)]
pub struct Workers {
    /// The coordinator's address, `http://host:port`.
    pub coordinator: String,
    /// Folders with one subfolder per model.
    pub models: Vec<PathBuf>,
    /// Each worker gets its own directory below this one: see [`place`].
    pub data: PathBuf,
    /// The roles of each process: one process per entry.
    pub processes: Vec<Vec<Role>>,
    /// Compute threads of each process.
    pub threads: usize,
    /// Further arguments for every worker, passed on as they are.
    pub arguments: Vec<String>,
}

/// A worker that cannot be kept running.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The program could not be started at all.
    #[error("cannot start the {roles} worker: {source}")]
    Start {
        /// The worker's roles.
        roles: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The worker cannot work here, and said why: its model files are unusable, or the device is not there.
    #[error("the {roles} worker cannot work: its message stands above")]
    Unable {
        /// The worker's roles.
        roles: String,
        /// How it ended.
        exit: Exit,
    },
    /// It keeps dying.
    #[error("the {roles} worker died {MAX_DEATHS} times in a row, last with {status}; its log is {}", log.display())]
    KeepsDying {
        /// The worker's roles.
        roles: String,
        /// How it ended last.
        status: ExitStatus,
        /// The log file.
        log: PathBuf,
    },
}

/// Runs the workers until `stop` turns true, then ends them and returns.
///
/// # Errors
/// When a worker cannot be kept running; the others are ended first.
pub async fn supervise(workers: Workers, stop: watch::Receiver<bool>) -> Result<(), SupervisorError> {
    let mut running = JoinSet::new();
    for (index, roles) in workers.processes.iter().enumerate() {
        running.spawn(keep_running(workers.clone(), index, roles.clone(), stop.clone()));
    }
    // Dropping the set after the first failure ends the other workers: their pipes close, and
    // `kill_on_drop` takes those that do not notice.
    while let Some(ended) = running.join_next().await {
        if let Ok(result) = ended {
            result?;
        }
    }
    Ok(())
}

/// The data folder of a worker, by its place among the processes and its roles.
pub fn place(data: &Path, index: usize, roles: &[Role]) -> PathBuf {
    let roles = roles.iter().map(|role| role.name()).collect::<Vec<_>>().join("+");
    data.join(format!("{index}-{roles}"))
}

async fn keep_running(
    workers: Workers,
    index: usize,
    roles: Vec<Role>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), SupervisorError> {
    let label = roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",");
    let data = place(&workers.data, index, &roles);
    let log = data.join("worker.log");
    let mut deaths = 0;
    loop {
        if *stop.borrow() {
            return Ok(());
        }
        let started = Instant::now();
        let mut child =
            start(&workers, &label, &data).map_err(|source| SupervisorError::Start { roles: label.clone(), source })?;
        // Held here, because waiting for a child closes its standard input first.
        let pipe = child.stdin.take();
        let status = tokio::select! {
            status = child.wait() => status.map_err(|source| SupervisorError::Start { roles: label.clone(), source })?,
            () = stopped(&mut stop) => {
                // Closing the pipe is the request; the worker says goodbye and leaves.
                drop(pipe);
                end(child).await;
                return Ok(());
            }
        };
        // Starting it again would change nothing.
        let unable =
            [Exit::Usage, Exit::BadModelFiles].into_iter().find(|exit| status.code() == Some(exit.code().into()));
        if let Some(exit) = unable {
            return Err(SupervisorError::Unable { roles: label, exit });
        }
        deaths = if started.elapsed() > HEALTHY_AFTER { 1 } else { deaths + 1 };
        if deaths >= MAX_DEATHS {
            return Err(SupervisorError::KeepsDying { roles: label, status, log });
        }
        tracing::warn!(worker = %label, %status, "worker died; starting it again");
        tokio::select! {
            () = tokio::time::sleep(BACKOFF.pause(deaths)) => {}
            () = stopped(&mut stop) => {}
        }
    }
}

/// Resolves when `stop` turns true or its sender is dropped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

fn start(workers: &Workers, roles: &str, data: &Path) -> std::io::Result<Child> {
    wanfarm_durable::private_folder(data)?;
    let threads = workers.threads.to_string();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["worker", "--exit-with-parent", "--coordinator", &workers.coordinator, "--role", roles])
        // Nobody else is to read from them: no port is opened to the network.
        .args(["--listen", "127.0.0.1:0"])
        .args(workers.models.iter().flat_map(|folder| [OsStr::new("--models"), folder.as_os_str()]))
        .arg("--data")
        .arg(data)
        .args(["--threads", &threads])
        .args(&workers.arguments)
        // The libraries below read these once, when their pools start.
        .env("RAYON_NUM_THREADS", &threads)
        .env("CANDLE_NUM_THREADS", &threads)
        // All that they are to know they are told; what is there for commands that people type is not for them.
        .env(PLACE, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    for (_, variable) in KEYS {
        command.env_remove(variable);
    }
    // Ctrl-C in a terminal reaches the whole foreground group; workers must hear of it from us alone,
    // or they would die before the run can say what happens.
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

async fn end(mut child: Child) {
    if tokio::time::timeout(SHUTDOWN_GRACE, child.wait()).await.is_err() {
        // Nothing is lost by force: results are durable or recomputed.
        let _ = child.kill().await;
    }
}
