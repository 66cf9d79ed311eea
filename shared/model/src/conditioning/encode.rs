//! Images through the autoencoder: what the transformer is given of them.

use std::iter::repeat_n;

use candle_core::{DType, Device, Tensor};
use wanfarm_types::VaeKind;

use super::{i2v, ti2v};
use crate::error::ModelError;
use crate::vae::WanVae;
use wanfarm_image::RgbImage;

/// The frames of a video that are known before it is rendered.
#[derive(Debug, Clone, Copy)]
pub struct Anchors<'a> {
    /// It begins with these, one or more.
    pub first: &'a [RgbImage],
    /// It ends with this one; only for I2V-A14B.
    pub last: Option<&'a RgbImage>,
}

/// Encodes the known frames of a video of `[width, height]` and `frames` for the model that uses this autoencoder.
/// `None` if `stop` said so, which is asked before each frame.
///
/// # Shapes
/// f32, on the CPU. Wan2.1: the channels `y` of I2V-A14B, `(4 + z, T, height / stride, width / stride)`. Wan2.2: the
/// latent frames of TI2V-5B, `(z, 1 + (first − 1) / stride, height / stride, width / stride)`.
///
/// # Errors
/// A size off the autoencoder's grid, a last frame for TI2V-5B, more known frames than there are, none, or a part of a latent
/// frame, or a device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L313`, `wan/textimage2video.py#L520`; of the last frame diffusers 0.42.1
/// `WanImageToVideoPipeline.prepare_latents`, which knows one first frame: with several, each is told of as that one is.
pub fn encode(
    vae: &WanVae,
    Anchors { first, last }: Anchors<'_>,
    [width, height]: [usize; 2],
    frames: usize,
    stop: impl Fn() -> bool,
) -> Result<Option<Tensor>, ModelError> {
    let kind = vae.config().kind;
    let stride = vae.config().stride_t();
    if first.is_empty() || (first.len() - 1) % stride != 0 || first.len() > frames {
        let why =
            format!("{} of {frames} frames are known, and must be one more than a multiple of {stride}", first.len());
        return Err(ModelError::input("first frames", why));
    }
    let known = first.len() + usize::from(last.is_some());
    if last.is_some() && (kind == VaeKind::Wan22 || frames < known) {
        let why = format!("this model takes none, or {frames} frames have no room for it; leave it out");
        return Err(ModelError::input("last frame", why));
    }
    let grey = if kind == VaeKind::Wan21 { frames.saturating_sub(known) } else { 0 };
    let frame = |image: &RgbImage| match kind {
        VaeKind::Wan21 => i2v::frame(image, width, height),
        VaeKind::Wan22 => ti2v::frame(image, width, height),
    };
    let ends = last.is_some();
    // One and the same frame again and again: memory does not depend on how many there are.
    let rest = Tensor::zeros((height, width, 3), DType::F32, &Device::Cpu)?;
    let frames = first.iter().map(frame).chain(repeat_n(rest, grey).map(Ok)).chain(last.map(frame));
    let mut encoder = vae.encoder();
    let mut latents = Vec::new();
    for frame in frames {
        if stop() {
            return Ok(None);
        }
        latents.extend(encoder.push(&frame?)?);
    }
    let latents = Tensor::stack(&latents, 1)?.to_device(&Device::Cpu)?;
    Ok(Some(match kind {
        VaeKind::Wan21 => i2v::channels(&latents, first.len(), ends)?,
        VaeKind::Wan22 => latents,
    }))
}
