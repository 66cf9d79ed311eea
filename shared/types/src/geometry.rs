//! Size and frame-count rules, and the shapes that follow from them.
//!
//! Source: Wan2.2@42bf4cf `wan/text2video.py` (target_shape, seq_len) and the configs' strides.

use serde::{Deserialize, Serialize};

use crate::ItemSize;

/// What a model's VAE and patch size demand of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Channels of a latent: 16 or 48.
    pub latent_channels: u32,
    /// Frames per latent frame after the first: 4.
    pub stride_t: u32,
    /// Pixels per latent pixel: 8 or 16.
    pub stride_hw: u32,
    /// Latent pixels per token side: 2.
    pub patch: u32,
}

/// A size or frame count the model cannot render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Width or height is off the grid.
    #[error("{axis} = {got} is not a multiple of {step}; the nearest sizes are {below} and {above}")]
    Misaligned {
        /// `width` or `height`.
        axis: &'static str,
        /// The value asked for.
        got: u32,
        /// Spacing of the allowed values.
        step: u32,
        /// Nearest allowed size not above (or the smallest).
        below: u32,
        /// Nearest allowed size above.
        above: u32,
    },
    /// The frame count is not `stride·n + 1`.
    #[error("frames = {got} is not {stride}n+1; the nearest counts are {below} and {above}")]
    Frames {
        /// The value asked for.
        got: u32,
        /// Frames per latent frame.
        stride: u32,
        /// Nearest allowed count not above (or the smallest).
        below: u32,
        /// Nearest allowed count above.
        above: u32,
    },
    /// More pixels than any supported device addresses.
    #[error("{width}x{height} with {frames} frames is larger than any model renders (at most 8192x8192, 4097 frames)")]
    TooLarge {
        /// Width asked for, in pixels.
        width: u32,
        /// Height asked for, in pixels.
        height: u32,
        /// Frames asked for.
        frames: u32,
    },
}

impl Geometry {
    /// Pixels that width and height must be multiples of.
    pub fn alignment(&self) -> u32 {
        self.stride_hw * self.patch
    }

    /// All faults of a size at once; empty when the model can render it.
    pub fn check(&self, width: u32, height: u32, frames: u32) -> Vec<GeometryError> {
        let mut faults = Vec::new();
        let step = self.alignment();
        for (axis, got) in [("width", width), ("height", height)] {
            if got == 0 || !got.is_multiple_of(step) {
                let below = (got / step * step).max(step);
                faults.push(GeometryError::Misaligned {
                    axis,
                    got,
                    step,
                    below,
                    above: (got / step).saturating_add(1).saturating_mul(step),
                });
            }
        }
        let stride = self.stride_t;
        if frames == 0 || !(frames - 1).is_multiple_of(stride) {
            let below = frames.saturating_sub(1) / stride * stride + 1;
            faults.push(GeometryError::Frames { got: frames, stride, below, above: below.saturating_add(stride) });
        }
        if width > 8192 || height > 8192 || frames > 4097 {
            faults.push(GeometryError::TooLarge { width, height, frames });
        }
        faults
    }

    /// Shape `[channels, frames, height, width]` of the latents of a checked size.
    pub fn latent_shape(&self, width: u32, height: u32, frames: u32) -> [usize; 4] {
        [self.latent_channels, (frames - 1) / self.stride_t + 1, height / self.stride_hw, width / self.stride_hw]
            .map(|dim| dim as usize)
    }

    /// Tokens the DiT attends over for a checked size.
    pub fn sequence_length(&self, width: u32, height: u32, frames: u32) -> usize {
        let [_, t, h, w] = self.latent_shape(width, height, frames);
        let patch = self.patch as usize;
        t * (h / patch) * (w / patch)
    }

    /// How large the items of a video of a checked size are, without a step cache.
    pub fn item_size(&self, width: u32, height: u32, frames: u32) -> ItemSize {
        let [tokens, frame] = [frames, 1].map(|frames| self.sequence_length(width, height, frames) as u64);
        ItemSize { tokens, frame, kept: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A14B: Geometry = Geometry { latent_channels: 16, stride_t: 4, stride_hw: 8, patch: 2 };

    #[test]
    fn shapes_of_720p() {
        assert_eq!(A14B.latent_shape(1280, 720, 81), [16, 21, 90, 160]);
        assert_eq!(A14B.sequence_length(1280, 720, 81), 75_600);
        assert_eq!(A14B.sequence_length(832, 480, 81), 32_760);
        assert_eq!(A14B.item_size(1280, 720, 81), ItemSize { tokens: 75_600, frame: 3_600, kept: 0 });
    }

    #[test]
    fn every_fault_is_named() {
        assert!(A14B.check(64, 64, 17).is_empty());
        assert_eq!(A14B.check(65, 8, 18).len(), 3);
        assert_eq!(A14B.check(0, 0, 0).len(), 3);
        assert!(!A14B.check(u32::MAX, u32::MAX, u32::MAX).is_empty());
    }
}
