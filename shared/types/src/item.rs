//! Work items: the dispatchable pieces of a video, and the resumable state between them.

use serde::{Deserialize, Serialize};

use crate::{Stage, TensorRef, VideoId};

/// Denoising steps `first..end`, counted over the whole schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepRange {
    /// First step to run.
    pub first: u32,
    /// One past the last step.
    pub end: u32,
}

impl StepRange {
    /// How many steps.
    pub fn len(&self) -> u32 {
        self.end.saturating_sub(self.first)
    }

    /// True when there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// (video, stage, step range). `steps` is empty (0..0) for stages that do not denoise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkItem {
    /// The video.
    pub video: VideoId,
    /// The stage to run.
    pub stage: Stage,
    /// The steps to run; empty for stages without steps.
    pub steps: StepRange,
}

/// The resumable state of a video after `steps_done` steps: latents, solver history and what a step cache needs.
/// `tensors` lists them in this order, the history in the solver's order. Any worker can go on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Steps that have run; the next one has this index.
    pub steps_done: u32,
    /// Latents, then solver history, then what a step cache needs: nothing, or a few tensors of the latents' size.
    pub tensors: Vec<TensorRef>,
}

/// What an item starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemInputs {
    /// Text contexts: prompt, then negative prompt. Empty for stages that read no text.
    pub text: Vec<TensorRef>,
    /// Image conditioning, if the video has a first frame.
    pub image: Vec<TensorRef>,
    /// State to go on from; absent at step 0, where the worker draws the noise from the seed.
    pub checkpoint: Option<Checkpoint>,
}

impl ItemInputs {
    /// All of them: texts, image, checkpoint.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        let of_checkpoint = self.checkpoint.iter().flat_map(|checkpoint| &checkpoint.tensors);
        self.text.iter().chain(&self.image).chain(of_checkpoint)
    }
}

/// How long a piece of work took on its worker, and how much there was of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepTiming {
    /// Seconds from the start of the computation to its end, inputs at hand.
    pub seconds: f64,
    /// Seconds of each denoising step.
    #[serde(deserialize_with = "crate::bounds::read_steps")]
    pub step_seconds: Vec<f64>,
    /// How often each of these steps ran the transformer's blocks: once per pass, unless a step cache stood in for it.
    #[serde(default, deserialize_with = "crate::bounds::read_steps", skip_serializing_if = "Vec::is_empty")]
    pub forward_passes: Vec<u32>,
    /// Seconds the device waited for this item's inputs after it was free.
    pub input_wait_seconds: f64,
    /// Tokens of the text that was encoded, also of what is beyond those that are read; 0 of other stages.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub text_tokens: u32,
    /// Seconds that weights were loaded for before this item could begin.
    #[serde(default, skip_serializing_if = "is_none")]
    pub load_seconds: f64,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_none(seconds: &f64) -> bool {
    *seconds == 0.0
}
