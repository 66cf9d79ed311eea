//! Everything a worker is told on its command line. Not parsed here.

use std::net::SocketAddr;
use std::path::PathBuf;

use wanfarm_model::ops::device::DeviceKind;
use wanfarm_types::Role;

/// Settings of one worker process.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The coordinator's address, `http://host:port`.
    pub coordinator: String,
    /// What to serve; not empty.
    pub roles: Vec<Role>,
    /// Folders with one subfolder per model. Of two models with one name the first is served.
    pub models: Vec<PathBuf>,
    /// This worker's own folder: its id, its lock, known file digests.
    pub data: PathBuf,
    /// Where to compute.
    pub device: DeviceKind,
    /// Element type of the transformer's weights.
    pub dtype: Dtype,
    /// For people.
    pub name: String,
    /// Where to serve tensors; `None`: any free port, on the loopback interface if the coordinator is reached through
    /// it, else on all.
    pub listen: Option<SocketAddr>,
}

/// Element type of a transformer's weights in memory. Sums, norms and the residual stream are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Exact; twice the memory.
    F32,
    /// As the published weights.
    Bf16,
}
