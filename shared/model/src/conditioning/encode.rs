//! Images through the autoencoder: what the transformer is given of them.

use std::iter::{once, repeat_n};

use candle_core::{Device, Tensor};
use wanfarm_types::VaeKind;

use super::{i2v, ti2v};
use crate::error::ModelError;
use crate::vae::WanVae;
use wanfarm_image::RgbImage;

/// The frames of a video that are known before it is rendered.
#[derive(Debug, Clone, Copy)]
pub struct Anchors<'a> {
    /// It begins with this one.
    pub first: &'a RgbImage,
    /// It ends with this one; only for I2V-A14B.
    pub last: Option<&'a RgbImage>,
}

/// Encodes the known frames of a video of `[width, height]` and `frames` for the model that uses this autoencoder.
/// `None` if `stop` said so, which is asked before each frame.
///
/// # Shapes
/// f32, on the CPU. Wan2.1: the channels `y` of I2V-A14B, `(4 + z, T, height / stride, width / stride)`. Wan2.2: the
/// latent frame of TI2V-5B, `(z, 1, height / stride, width / stride)`.
///
/// # Errors
/// A size off the autoencoder's grid, a last frame for TI2V-5B or of a single frame, or a device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L313`, `wan/textimage2video.py#L520`; of the last frame diffusers 0.42.1
/// `WanImageToVideoPipeline.prepare_latents`.
pub fn encode(
    vae: &WanVae,
    Anchors { first, last }: Anchors<'_>,
    [width, height]: [usize; 2],
    frames: usize,
    stop: impl Fn() -> bool,
) -> Result<Option<Tensor>, ModelError> {
    let kind = vae.config().kind;
    let known = 1 + usize::from(last.is_some());
    if last.is_some() && (kind == VaeKind::Wan22 || frames < known) {
        let why = format!("this model takes none, or {frames} frames have no room for it; leave it out");
        return Err(ModelError::input("last frame", why));
    }
    let (first, grey) = match kind {
        VaeKind::Wan21 => (i2v::frame(first, width, height)?, frames.saturating_sub(known)),
        VaeKind::Wan22 => (ti2v::frame(first, width, height)?, 0),
    };
    let last = last.map(|last| i2v::frame(last, width, height)).transpose()?;
    let ends = last.is_some();
    // One and the same frame again and again: memory does not depend on how many there are.
    let rest = repeat_n(first.zeros_like()?, grey);
    let mut encoder = vae.encoder();
    let mut latents = Vec::new();
    for frame in once(first).chain(rest).chain(last) {
        if stop() {
            return Ok(None);
        }
        latents.extend(encoder.push(&frame)?);
    }
    let latents = Tensor::stack(&latents, 1)?.to_device(&Device::Cpu)?;
    Ok(Some(match kind {
        VaeKind::Wan21 => i2v::channels(&latents, ends)?,
        VaeKind::Wan22 => latents,
    }))
}
