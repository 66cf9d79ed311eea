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
    /// For models distilled by DMD: three steps, each of which predicts the video and draws noise anew.
    #[serde(rename = "dmd")]
    Dmd,
    /// For models distilled by rCM: one to four steps, each of which predicts the video and draws noise anew.
    #[serde(rename = "rcm")]
    Rcm,
}

/// What a distilled model is rendered with where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FewSteps {
    /// Denoising steps.
    pub steps: u32,
    /// Shift of the schedule.
    pub shift: f64,
}

impl SolverKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::UniPc, Self::DpmPlusPlus, Self::Euler, Self::Lightning, Self::Dmd, Self::Rcm];

    /// Of a solver for distilled weights, its usual settings.
    pub const fn few_steps(self) -> Option<FewSteps> {
        match self {
            Self::UniPc | Self::DpmPlusPlus | Self::Euler => None,
            Self::Lightning => Some(FewSteps { steps: 4, shift: 5.0 }),
            Self::Dmd => Some(FewSteps { steps: 3, shift: 8.0 }),
            // Its levels are fixed.
            Self::Rcm => Some(FewSteps { steps: 4, shift: 1.0 }),
        }
    }

    /// Whether its steps, but for the last, draw noise anew.
    pub const fn draws_noise(self) -> bool {
        matches!(self, Self::Dmd | Self::Rcm)
    }

    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            SolverKind::UniPc => "unipc",
            SolverKind::DpmPlusPlus => "dpm++",
            SolverKind::Euler => "euler",
            SolverKind::Lightning => "lightning",
            SolverKind::Dmd => "dmd",
            SolverKind::Rcm => "rcm",
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
