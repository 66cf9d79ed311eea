//! A video as numbers: one list of values per frame.

use candle_core::Tensor;

use crate::doctor::numbers::host;
use wanfarm_model::ModelError;
use wanfarm_model::vae::Decoder;

/// Frames `(height, width, 3)`, row-major, pixels in [−1, 1].
#[derive(Debug, Clone)]
pub(super) struct Frames(pub(super) Vec<Vec<f64>>);

impl Frames {
    /// Those of a video `(3, frames, height, width)`.
    pub(super) fn of(video: &Tensor) -> Result<Self, ModelError> {
        let video = video.permute((1, 2, 3, 0))?.contiguous()?;
        Ok(Self((0..video.dim(0)?).map(|t| host(&video.get(t)?)).collect::<Result<_, _>>()?))
    }

    /// Those that latents `(z, frames, height, width)` are decoded to, clamped as they are shown.
    pub(super) fn decoded(mut decoder: Decoder<'_>, latents: &Tensor) -> Result<Self, ModelError> {
        let mut frames = Vec::new();
        for t in 0..latents.dim(1)? {
            for frame in decoder.push(&latents.narrow(1, t, 1)?.squeeze(1)?)? {
                frames.push(host(&frame.clamp(-1., 1.)?)?);
            }
        }
        Ok(Self(frames))
    }

    /// All values.
    pub(super) fn values(&self) -> Vec<f64> {
        self.0.concat()
    }
}

/// Mean squared difference of two frames; not a number if they differ in size.
pub(super) fn squared_difference(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}
