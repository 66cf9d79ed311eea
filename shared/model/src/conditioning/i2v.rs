//! How I2V-A14B is told of a first frame, and of a last one: as channels behind those of the latents.
//!
//! The video that starts with the image and goes on in grey, to the last frame if that is known, is encoded; a mask tells
//! which of its frames are known.

use candle_core::{Device, Tensor};

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

/// One where a frame is known: in all channels of the first latent frame, which stands for one frame, and in those of each
/// of the next ones that stand for one of the first `known` frames, four of them each; where the last frame is known as well
/// (`ends`), in the last channel of the last. Zero elsewhere.
///
/// # Shapes
/// f32 `(4, frames, height, width)`, all in latent units, on the CPU.
///
/// # Errors
/// None but those of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L283`; diffusers 0.42.1 `WanImageToVideoPipeline.prepare_latents`.
pub fn mask(frames: usize, height: usize, width: usize, known: usize, ends: bool) -> Result<Tensor, ModelError> {
    let is_known = |channel: usize, frame: usize| {
        frame == 0 || MASK * (frame - 1) + channel + 1 < known || ends && (channel, frame + 1) == (MASK - 1, frames)
    };
    let flags = (0..MASK).flat_map(|channel| (0..frames).map(move |frame| f32::from(is_known(channel, frame))));
    let flags = Tensor::from_iter(flags, &Device::Cpu)?.reshape((MASK, frames, 1, 1))?;
    Ok(flags.broadcast_as((MASK, frames, height, width))?.contiguous()?)
}

/// What conditions the transformer, `y`: the mask, then the encoded video, of which the first `known` frames are known, and
/// with `ends` the last.
///
/// # Shapes
/// `latents` `(16, frames, height, width)` → f32 `(20, frames, height, width)`, on the CPU.
///
/// # Errors
/// Latents of another rank.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L322`.
pub fn channels(latents: &Tensor, known: usize, ends: bool) -> Result<Tensor, ModelError> {
    let latents = latents.to_device(&Device::Cpu)?;
    let (_, frames, height, width) = latents.dims4()?;
    Ok(Tensor::cat(&[&mask(frames, height, width, known, ends)?, &latents], 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_a_frame_of_four() {
        // Of one pixel: a row for each channel, a column for each latent frame.
        let rows =
            |known, ends| mask(3, 1, 1, known, ends).unwrap().reshape((MASK, 3)).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows(1, false), [[1., 0., 0.]; 4]);
        assert_eq!(rows(1, true), [[1., 0., 0.], [1., 0., 0.], [1., 0., 0.], [1., 0., 1.]]);
        assert_eq!(rows(5, false), [[1., 1., 0.]; 4]);
        assert_eq!(rows(4, false)[2..], [[1., 1., 0.], [1., 0., 0.]], "frame 4 is not known");
    }
}
