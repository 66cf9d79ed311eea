//! A finished attempt, as the sidecars tell it.

use serde::Serialize;
use wanfarm_types::Stage;

/// One finished attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptRecord {
    pub stage: Stage,
    /// The worker's name.
    pub worker: String,
    pub device: String,
    /// First denoising step; absent for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_step: Option<u32>,
    /// Last denoising step, itself run; absent for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_step: Option<u32>,
    /// When its computation began, in seconds since 1970; absent when it never did.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::times::serialize_rfc3339")]
    pub begun: Option<f64>,
    /// Seconds of computing.
    pub seconds: f64,
    /// Seconds of each denoising step.
    pub step_seconds: Vec<f64>,
    /// How often each of these steps ran the transformer's blocks; empty where it is not known, as of lost attempts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forward_passes: Vec<u32>,
    /// Tokens of the text that was encoded, also of what is beyond those that are read; absent for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_tokens: Option<u32>,
    /// Seconds the item was queued: from when it could have run to when its computation began; 0 when it never
    /// began, or when the coordinator was restarted in between.
    pub queue_seconds: f64,
    /// Seconds the free device waited for this item's inputs.
    pub input_wait_seconds: f64,
    /// `done`, or how it ended otherwise.
    pub result: String,
}

impl AttemptRecord {
    /// Computed and skipped forward passes, given the passes of a step without a step cache. What was computed again after
    /// an interruption counts each time.
    pub fn passes(&self, of_step: u32) -> (u64, u64) {
        let computed = self.forward_passes.iter().map(|&passes| u64::from(passes)).sum();
        let skipped = self.forward_passes.iter().map(|&passes| u64::from(of_step.saturating_sub(passes))).sum();
        (computed, skipped)
    }
}
