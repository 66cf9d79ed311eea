//! What known frames become, the first and the last, and clips: their size, their pixels, and how the transformer is told of
//! them.
//!
//! Two models take one, each in its own way: I2V-A14B reads it as further input channels ([`i2v`]), TI2V-5B finds it
//! already denoised in the latents ([`ti2v`]); [`Conditioning`] is what a sampling loop needs of either.
//!
//! Not here: reading image files, and deciding which area a video should have.

mod bicubic;
mod clip;
mod encode;
mod first_frames;
pub mod i2v;
mod input;
pub mod lanczos;
mod rgb;
pub mod ti2v;

pub use clip::encode_clip;
pub use encode::{Anchors, encode};
pub use first_frames::FirstFrames;
pub use input::Conditioning;
