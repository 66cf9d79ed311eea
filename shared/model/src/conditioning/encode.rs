//! An image through the autoencoder: what the transformer is given of it.

use std::iter::{once, repeat_n};

use candle_core::{Device, Tensor};
use wanfarm_types::VaeKind;

use super::{i2v, ti2v};
use crate::error::ModelError;
use crate::vae::WanVae;
use wanfarm_image::RgbImage;

/// Encodes the first frame of a video of `[width, height]` and `frames` for the model that uses this autoencoder.
/// `None` if `stop` said so, which is asked before each frame.
///
/// # Shapes
/// f32, on the CPU. Wan2.1: the channels `y` of I2V-A14B, `(4 + z, T, height / stride, width / stride)`. Wan2.2: the
/// latent frame of TI2V-5B, `(z, 1, height / stride, width / stride)`.
///
/// # Errors
/// A size off the autoencoder's grid, or a device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L313`, `wan/textimage2video.py#L520`.
pub fn encode(
    vae: &WanVae,
    image: &RgbImage,
    [width, height]: [usize; 2],
    frames: usize,
    stop: impl Fn() -> bool,
) -> Result<Option<Tensor>, ModelError> {
    let kind = vae.config().kind;
    let (first, grey) = match kind {
        VaeKind::Wan21 => (i2v::frame(image, width, height)?, frames.saturating_sub(1)),
        VaeKind::Wan22 => (ti2v::frame(image, width, height)?, 0),
    };
    // One and the same frame again and again: memory does not depend on how many there are.
    let rest = repeat_n(first.zeros_like()?, grey);
    let mut encoder = vae.encoder();
    let mut latents = Vec::new();
    for frame in once(first).chain(rest) {
        if stop() {
            return Ok(None);
        }
        latents.extend(encoder.push(&frame)?);
    }
    let latents = Tensor::stack(&latents, 1)?.to_device(&Device::Cpu)?;
    Ok(Some(match kind {
        VaeKind::Wan21 => i2v::channels(&latents)?,
        VaeKind::Wan22 => latents,
    }))
}
