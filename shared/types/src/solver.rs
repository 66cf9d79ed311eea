//! How a video is solved: the method, and the guidance of its predictions.

use serde::{Deserialize, Serialize};

use crate::Expert;

/// The ODE or multistep method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SolverKind {
    /// UniPC, B(h) variant 2, order 2, corrector on.
    #[serde(rename = "unipc")]
    UniPc,
    /// DPM-Solver++ 2M, midpoint.
    #[serde(rename = "dpm++")]
    DpmPlusPlus,
    /// Euler on UniPC's grid.
    #[serde(rename = "euler")]
    Euler,
    /// Euler on the few noise levels that step-distilled models were trained for; half of the steps are the high-noise
    /// expert's.
    #[serde(rename = "lightning")]
    Lightning,
}

impl SolverKind {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            SolverKind::UniPc => "unipc",
            SolverKind::DpmPlusPlus => "dpm++",
            SolverKind::Euler => "euler",
            SolverKind::Lightning => "lightning",
        }
    }
}

/// Classifier-free guidance per expert; a single-expert model uses `low`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Guidance {
    /// Scale in the noisy part of the schedule.
    pub high: f64,
    /// Scale in the rest of it.
    pub low: f64,
}

impl Guidance {
    /// The scale of an expert.
    pub fn of(self, expert: Expert) -> f64 {
        match expert {
            Expert::High => self.high,
            Expert::Low | Expert::Single => self.low,
        }
    }

    /// Forward passes per step of an expert, without a step cache: at scale 1 the one without the prompt changes nothing.
    pub fn passes(self, expert: Expert) -> u32 {
        if self.of(expert) == 1.0 { 1 } else { 2 }
    }
}
