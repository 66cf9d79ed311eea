//! An attempt, from its assignment to its end, as the sidecars tell it.

use serde::Serialize;
use wanfarm_scheduler::{AttemptEnd, TextKey};
use wanfarm_types::{Stage, StepRange, StepTiming, VideoId, WorkItem, WorkerId};

/// One attempt. Until it ends it has no steps, no times but its beginning, and no result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptRecord {
    #[serde(skip)]
    pub video: VideoId,
    /// The text that it encodes, for all videos that read it.
    #[serde(skip)]
    pub text: Option<TextKey>,
    #[serde(skip)]
    pub worker_id: WorkerId,
    /// Since when its item could run, by the farm's clock; unknown for those from before a restart, and once it is used.
    #[serde(skip)]
    pub ready_at: Option<f64>,
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
    /// As its worker measured it, or as its steps summed to.
    #[serde(flatten)]
    pub timing: StepTiming,
    /// Seconds the item was queued: from when it could have run to when its computation began; 0 when it never
    /// began, or when the coordinator was restarted in between.
    pub queue_seconds: f64,
    /// `done`, or how it ended otherwise.
    pub result: String,
}

impl AttemptRecord {
    /// One that was given out just now, for an item that could run since `ready_at`.
    pub(crate) fn new(item: &WorkItem, text: Option<TextKey>, worker_id: WorkerId, ready_at: f64) -> Self {
        Self {
            video: item.video,
            text,
            worker_id,
            ready_at: Some(ready_at),
            stage: item.stage,
            worker: String::new(),
            device: String::new(),
            first_step: None,
            last_step: None,
            begun: None,
            timing: StepTiming::default(),
            queue_seconds: 0.0,
            result: String::new(),
        }
    }

    /// It has ended, after these steps.
    pub(crate) fn end(&mut self, end: &AttemptEnd, steps: StepRange, timing: StepTiming) {
        self.first_step = (!steps.is_empty()).then_some(steps.first);
        self.last_step = (!steps.is_empty()).then(|| steps.end - 1);
        self.timing = timing;
        self.result = match end {
            AttemptEnd::Done => "done".to_owned(),
            AttemptEnd::Failed(failure) => format!("failed: {failure}"),
            AttemptEnd::Revoked => "given back".to_owned(),
            AttemptEnd::Lost => "worker lost".to_owned(),
        };
    }

    /// Computed and skipped forward passes, given the passes of a step without a step cache. What was computed again after
    /// an interruption counts each time.
    pub fn passes(&self, of_step: u32) -> (u64, u64) {
        let passes = &self.timing.forward_passes;
        let computed = passes.iter().map(|&passes| u64::from(passes)).sum();
        let skipped = passes.iter().map(|&passes| u64::from(of_step.saturating_sub(passes))).sum();
        (computed, skipped)
    }
}
