//! A clip through the autoencoder: what a video is made from that does not begin as noise alone.

use candle_core::{Device, Tensor};
use wanfarm_image::RgbImage;

use super::ti2v;
use crate::error::ModelError;
use crate::vae::WanVae;

/// Encodes the frames of a video of `[width, height]`: each covers the video's frame, and what lies beyond is cut off. `None`
/// if `stop` said so, which is asked before each frame. However long the clip is, a few frames of it are in memory.
///
/// # Shapes
/// f32 `(z, 1 + (frames − 1) / stride, height / stride, width / stride)`, on the CPU.
///
/// # Errors
/// Those of the frames, no frame, a size off the autoencoder's grid, or a device out of memory.
///
/// Source: diffusers 0.42.1 `WanVideoToVideoPipeline.prepare_latents`, which stretches where this cuts.
pub fn encode_clip<E: From<ModelError>>(
    vae: &WanVae,
    frames: impl Iterator<Item = Result<RgbImage, E>>,
    [width, height]: [usize; 2],
    stop: impl Fn() -> bool,
) -> Result<Option<Tensor>, E> {
    let mut encoder = vae.encoder();
    let mut latents = Vec::new();
    for frame in frames {
        if stop() {
            return Ok(None);
        }
        latents.extend(encoder.push(&ti2v::frame(&frame?, width, height)?)?);
    }
    let stacked = Tensor::stack(&latents, 1).and_then(|latents| latents.to_device(&Device::Cpu));
    Ok(Some(stacked.map_err(ModelError::from)?))
}
