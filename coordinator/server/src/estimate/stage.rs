//! The estimate of one stage of a workload.

use wanfarm_types::Stage;

use super::workforce::Basis;

/// The estimate of one stage of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct StageEstimate {
    /// The stage.
    pub stage: Stage,
    /// Steps, or items of stages without steps.
    pub units: u64,
    /// How many of them step caches leave to be computed, as far as that is known beforehand.
    pub work: f64,
    /// Workers that serve it.
    pub workers: usize,
    /// Of one that computes everything; mean over its workers.
    pub seconds_per_unit: Option<f64>,
    /// The source of the speed.
    pub basis: Option<Basis>,
    /// Seconds if its workers did nothing else.
    pub seconds: Option<f64>,
}
