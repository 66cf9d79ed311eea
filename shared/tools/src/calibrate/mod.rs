//! Measuring a model's MagCache curve: whole renders that skip nothing, and from step to step how large what the blocks
//! add is.
//!
//! Not here: which steps a curve lets skip (`wanfarm_sampling::cache`), its file (`files`) and showing it.

mod magnitude;
mod render;

pub use magnitude::{Measured, StepRatios};
pub use render::{Calibrator, Progress, Videos};
