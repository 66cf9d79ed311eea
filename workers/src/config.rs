//! Everything a worker is told on its command line. Not parsed here.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use candle_core::DType;
use wanfarm_identity::Farm;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_proto::dial::Target;
use wanfarm_types::{Role, Size};

use crate::Log;

/// Settings of one worker process.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The coordinator.
    pub coordinator: Target,
    /// The farm that this machine has joined; `None`: nothing is encrypted.
    pub farm: Option<Farm>,
    /// What to serve; not empty. A folder that lacks some of them serves the others.
    pub roles: Vec<Role>,
    /// Memory for the weights and what is computed with them, within which the coordinator decides what is loaded. Absent:
    /// all roles are loaded at once and stay, whatever they take.
    pub budget: Option<Size>,
    /// Folders with one subfolder per model. Of two models with one name the first is served.
    pub models: Vec<PathBuf>,
    /// Names of the models to serve; empty: all that lie there.
    pub only: Vec<String>,
    /// This worker's own folder: its id, its lock, known file digests.
    pub data: PathBuf,
    /// Where to compute.
    pub device: DeviceKind,
    /// Element type of the transformer's weights.
    pub dtype: Dtype,
    /// Display name.
    pub name: String,
    /// Where to serve tensors; `None`: any free port, on every interface.
    pub listen: Option<SocketAddr>,
    /// Where others reach its tensors, `host:port`; `None`: where it listens, as the coordinator sees it.
    pub advertise: Option<String>,
    /// What this process logs, for the coordinator.
    pub log: Log,
}

/// Element type of a transformer's weights in memory. Sums, norms and the residual stream are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Exact; twice the memory.
    F32,
    /// As the published weights.
    Bf16,
}

/// The text names no element type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no element type is called {0:?}; choose f32 or bf16")]
pub struct BadDtype(String);

impl Dtype {
    /// The right one for a device.
    pub fn preferred(device: DeviceKind) -> Self {
        if device.dtype() == DType::F32 { Dtype::F32 } else { Dtype::Bf16 }
    }

    /// As tensors have it.
    pub fn of_tensors(self) -> DType {
        match self {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
        }
    }
}

impl FromStr for Dtype {
    type Err = BadDtype;

    fn from_str(text: &str) -> Result<Self, BadDtype> {
        match text {
            "f32" => Ok(Dtype::F32),
            "bf16" => Ok(Dtype::Bf16),
            _ => Err(BadDtype(text.to_owned())),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
        })
    }
}
