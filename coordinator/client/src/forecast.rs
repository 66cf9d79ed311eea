//! What a batch will take, in the shape that `submit --dry-run --json` prints: told by a coordinator, or as far as this
//! machine alone can tell. As in `wanfarm_types::status`, fields are only ever added.

use serde::Serialize;
use wanfarm_proto::v1;
use wanfarm_types::{Role, Stage};

use crate::DiskShortage;

/// The estimate of a batch.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// Videos in all.
    pub videos: u32,
    /// The model is known; otherwise only `videos` of the rest is filled.
    pub model_known: bool,
    /// The roles the model needs.
    pub roles: Vec<RoleForecast>,
    /// The stages.
    pub stages: Vec<StageForecast>,
    /// Until the last file; `null` without workers, or where nothing is known of them.
    pub seconds: Option<f64>,
    /// The stage that takes its workers the longest.
    pub bottleneck: Option<&'static str>,
    /// How to divide workers between two experts.
    pub balance: Option<BalanceForecast>,
    /// Videos that the model cannot render, the first few.
    pub faults: Vec<FaultForecast>,
    /// What the job would wait for; `None` if nothing.
    pub waiting_for: Option<String>,
    /// Step caches and LoRA files in words, with the number of videos that have them.
    #[serde(rename = "speedups")]
    pub accelerations: Vec<String>,
    /// Why the names of its videos would be refused.
    pub taken: Option<String>,
    /// Videos that would get a new name.
    pub renamed: u32,
    /// Videos that stand there whole and would be left out.
    pub left_out: u32,
    /// Disks of the coordinator with less room than the job needs.
    pub shortages: Vec<DiskShortage>,
}

/// A role and those who serve it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleForecast {
    /// The role.
    pub role: &'static str,
    /// How many workers can be given work.
    pub workers: u32,
    /// Memory of the smallest of their machines.
    pub least_memory_bytes: Option<u64>,
    /// How many of the workers have its weights in memory.
    pub holders: u32,
    /// Seconds until the first of the others has loaded them.
    pub load_seconds: Option<f64>,
    /// What weights and the largest of the videos take, as far as a worker, or the model's files here, tell.
    pub needs_bytes: Option<u64>,
}

/// The estimate of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageForecast {
    /// The stage.
    pub stage: &'static str,
    /// Steps, or items of stages without steps.
    pub units: u64,
    /// How many of them step caches leave to be computed, as far as that is known beforehand.
    pub work: f64,
    /// Workers that serve it.
    pub workers: u32,
    /// Mean over its workers.
    pub seconds_per_unit: Option<f64>,
    /// `measured`, `scaled` from another size, `expected` from the figures of the workers' chips, or `none`.
    pub basis: &'static str,
    /// If its workers did nothing else.
    pub seconds: Option<f64>,
}

/// How to divide workers between two experts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BalanceForecast {
    /// By measured seconds; otherwise by counting steps.
    pub measured: bool,
    /// The high-noise expert's share of the work.
    pub high_share: f64,
    /// The smallest team that is well divided: dit-high workers.
    pub high: u32,
    /// And dit-low workers.
    pub low: u32,
    /// The workers there are, divided best.
    pub high_workers: Option<u32>,
    /// The workers there are, divided best.
    pub low_workers: Option<u32>,
}

/// A video that cannot be rendered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FaultForecast {
    /// Its place in the manifest.
    pub index: u32,
    /// The reason.
    pub why: String,
}

impl From<v1::EstimateReply> for Forecast {
    fn from(wire: v1::EstimateReply) -> Self {
        let served = |served: v1::ServedBy| RoleForecast {
            role: role(served.role),
            workers: served.workers,
            least_memory_bytes: (served.least_memory_bytes > 0).then_some(served.least_memory_bytes),
            holders: served.holders,
            load_seconds: served.load_seconds,
            needs_bytes: served.needs_bytes,
        };
        let line = |line: v1::StageEstimate| StageForecast {
            stage: stage(line.stage).map_or("unknown", Stage::name),
            units: line.units,
            work: line.work,
            workers: line.workers,
            seconds_per_unit: line.seconds_per_unit,
            basis: match v1::Basis::try_from(line.basis) {
                Ok(v1::Basis::Measured) => "measured",
                Ok(v1::Basis::Scaled) => "scaled",
                Ok(v1::Basis::Expected) => "expected",
                Ok(v1::Basis::Unspecified) | Err(_) => "none",
            },
            seconds: line.seconds,
        };
        let balance = |wire: v1::Balance| BalanceForecast {
            measured: wire.measured,
            high_share: wire.high_share,
            high: wire.high,
            low: wire.low,
            high_workers: (wire.high_workers > 0).then_some(wire.high_workers),
            low_workers: (wire.low_workers > 0).then_some(wire.low_workers),
        };
        let fault = |fault: v1::VideoFault| FaultForecast { index: fault.index, why: fault.why };
        Self {
            taken: Some(wire.taken).filter(|why| !why.is_empty()),
            renamed: wire.renamed,
            left_out: wire.left_out,
            shortages: wire.shortages.into_iter().map(Into::into).collect(),
            videos: wire.videos,
            model_known: wire.model_known,
            roles: wire.roles.into_iter().map(served).collect(),
            stages: wire.stages.into_iter().map(line).collect(),
            seconds: wire.seconds,
            bottleneck: stage(wire.bottleneck).map(Stage::name),
            balance: wire.balance.map(balance),
            faults: wire.faults.into_iter().map(fault).collect(),
            waiting_for: (!wire.waiting_for.is_empty()).then_some(wire.waiting_for),
            accelerations: wire.accelerations,
        }
    }
}

/// A stage; one of a newer coordinator is none.
fn stage(number: i32) -> Option<Stage> {
    v1::Stage::try_from(number).ok()?.try_into().ok()
}

/// A role's name.
fn role(number: i32) -> &'static str {
    let role = v1::Role::try_from(number).ok().and_then(|role| Role::try_from(role).ok());
    role.map_or("unknown", Role::name)
}

impl From<v1::Shortage> for DiskShortage {
    fn from(wire: v1::Shortage) -> Self {
        let v1::Shortage { place, needs_bytes, free_bytes, certain } = wire;
        Self { place, needs_bytes, free_bytes, certain }
    }
}
