//! How I2V-A14B is told of a first frame: as channels behind those of the latents.
//!
//! The video that starts with the image and goes on in grey is encoded; a mask tells which of its frames are known.

use candle_core::{DType, Device, Tensor};

use super::bicubic::stretch;
use crate::error::ModelError;
use wanfarm_image::RgbImage;

/// Channels of the mask: one for each frame of a latent frame.
pub(super) const MASK: usize = 4;

/// The image as the first frame of the video, stretched to its size.
///
/// # Shapes
/// f32 `(height, width, 3)`, on the CPU.
///
/// # Units
/// [−1, 1] and a little beyond, as the reference has it.
///
/// # Errors
/// None but those of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L313`.
pub fn frame(image: &RgbImage, width: usize, height: usize) -> Result<Tensor, ModelError> {
    stretch(image, width, height)
}

/// One in all channels of the first latent frame, zero in the others.
///
/// # Shapes
/// f32 `(4, frames, height, width)`, all in latent units, on the CPU.
///
/// # Errors
/// None but those of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L283`.
pub fn mask(frames: usize, height: usize, width: usize) -> Result<Tensor, ModelError> {
    let known = Tensor::ones((MASK, 1, height, width), DType::F32, &Device::Cpu)?;
    let unknown = Tensor::zeros((MASK, frames.saturating_sub(1), height, width), DType::F32, &Device::Cpu)?;
    Ok(if frames > 1 { Tensor::cat(&[&known, &unknown], 1)? } else { known })
}

/// What conditions the transformer, `y`: the mask, then the encoded video.
///
/// # Shapes
/// `latents` `(16, frames, height, width)` → f32 `(20, frames, height, width)`, on the CPU.
///
/// # Errors
/// Latents of another rank.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L322`.
pub fn channels(latents: &Tensor) -> Result<Tensor, ModelError> {
    let latents = latents.to_device(&Device::Cpu)?;
    let (_, frames, height, width) = latents.dims4()?;
    Ok(Tensor::cat(&[&mask(frames, height, width)?, &latents], 0)?)
}
