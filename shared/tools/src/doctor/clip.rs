//! A clip to examine networks with: two shapes of plain colour that move over a plain ground, with soft edges. Nothing
//! is in two places or of two brightnesses at once, so that wrong order, wrong place and wrong level all show.

use candle_core::{Device, Tensor};
use wanfarm_types::ModelInfo;

use wanfarm_model::ModelError;

/// What the clip shows, in the words of a prompt.
pub(super) const PROMPT: &str = "a red circle moving right on a gray background";

/// Red, green, blue in 0…1.
const GROUND: [f64; 3] = [0.5, 0.5, 0.5];
const DISC: [f64; 3] = [0.9, 0.1, 0.1];
const BOX: [f64; 3] = [0.15, 0.2, 0.85];

/// Most frames examined: several latent frames, so that a stream can go wrong after its start.
const FRAMES: u32 = 17;
/// Most pixels a side, in steps of the model's grid: enough for a picture, and seconds even for a large model.
const STEPS: u32 = 8;

/// Frames, height, width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) frames: u32,
    pub(super) height: u32,
    pub(super) width: u32,
}

impl Size {
    /// Of the model's own clips, or smaller.
    pub(super) fn of(info: &ModelInfo) -> Self {
        let most = STEPS * info.geometry.alignment();
        let defaults = &info.defaults;
        Self { frames: defaults.frames.min(FRAMES), height: defaults.height.min(most), width: defaults.width.min(most) }
    }

    /// Of the clip's latents: `[channels, frames, height, width]`.
    pub(super) fn latent_shape(self, info: &ModelInfo) -> [usize; 4] {
        info.geometry.latent_shape(self.width, self.height, self.frames)
    }
}

/// The clip.
///
/// # Shapes
/// → f32 `(3, frames, height, width)` on the CPU.
///
/// # Units
/// Pixels in [−1, 1].
pub(super) fn clip(size: Size) -> Result<Tensor, ModelError> {
    let [frames, height, width] = [size.frames, size.height, size.width].map(|dim| dim as usize);
    let mut pixels = vec![0f32; 3 * frames * height * width];
    // Lengths are in parts of the shorter side.
    let unit = f64::from(size.height.min(size.width));
    for t in 0..frames {
        let time = t as f64 / (frames - 1).max(1) as f64;
        let disc = [f64::from(size.height) * 0.35, f64::from(size.width) * (0.22 + 0.56 * time)];
        let cube = [f64::from(size.height) * (0.3 + 0.5 * time), f64::from(size.width) * 0.2];
        for y in 0..height {
            for x in 0..width {
                let away = |[cy, cx]: [f64; 2]| [y as f64 + 0.5 - cy, x as f64 + 0.5 - cx];
                let [dy, dx] = away(disc);
                let in_disc = inside(0.17 * unit - dy.hypot(dx));
                let [dy, dx] = away(cube);
                let in_box = inside(0.1 * unit - dy.abs().max(dx.abs()));
                for channel in 0..3 {
                    let under = GROUND[channel] + (BOX[channel] - GROUND[channel]) * in_box;
                    let value = under + (DISC[channel] - under) * in_disc;
                    pixels[((channel * frames + t) * height + y) * width + x] = (2. * value - 1.) as f32;
                }
            }
        }
    }
    Ok(Tensor::from_vec(pixels, (3, frames, height, width), &Device::Cpu)?)
}

/// How much of a pixel lies within an edge that is so far away, in pixels.
fn inside(distance: f64) -> f64 {
    (distance + 0.5).clamp(0., 1.)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_another() {
        let clip = clip(Size { frames: 5, height: 32, width: 48 }).unwrap();
        assert_eq!(clip.dims(), [3, 5, 32, 48]);
        let values = clip.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|value| (-1. ..=1.).contains(value)));
        let frame = |t| clip.narrow(1, t, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for t in 0..4 {
            assert_ne!(frame(t), frame(t + 1));
        }
    }
}
