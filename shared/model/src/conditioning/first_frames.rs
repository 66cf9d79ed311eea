//! First latent frames that are known from the start, and stay.

use candle_core::{DType, Tensor};

use crate::error::ModelError;
use wanfarm_weights::kernels::PATCH;

/// The encoded first frames of a video. The reference's mask, zero in the known latent frames and one in all others, is
/// not a tensor here: it says which values are taken from where.
///
/// Source: Wan2.2@42bf4cf `wan/textimage2video.py` `WanTI2V.i2v`, `wan/utils/utils.py#L172` `masks_like`, of one.
#[derive(Debug, Clone)]
pub struct FirstFrames {
    /// Channels, frames, rows, columns.
    values: Vec<f32>,
    channels: usize,
    /// Of a latent frame.
    tokens: usize,
    known: usize,
    frames: usize,
}

impl FirstFrames {
    /// # Shapes
    /// `z` f32 `(C, t, H, W)`, `latents` the video's `(C, T, H, W)`, of which the first `t` frames are known, one or more.
    ///
    /// # Errors
    /// Shapes that do not belong together.
    pub fn new(z: &Tensor, latents: [usize; 4]) -> Result<Self, ModelError> {
        let [channels, frames, height, width] = latents;
        let known = z.dims().get(1).copied().filter(|known| (1..=frames).contains(known));
        let Some(known) = known.filter(|known| z.dims() == [channels, *known, height, width]) else {
            let why = format!("they are {:?} in a video of {latents:?}", z.dims());
            return Err(ModelError::input("first latent frames", why));
        };
        let [_, rows, columns] = PATCH;
        let values = z.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Self { values, channels, tokens: height / rows * (width / columns), known, frames })
    }

    /// Puts them into the latents, row-major `(C, T, H, W)`: before the first step and after every one. Doing so twice
    /// changes nothing.
    ///
    /// # Errors
    /// Latents of another size.
    pub fn hold(&self, latents: &mut [f32]) -> Result<(), ModelError> {
        let known = self.values.len() / self.channels;
        let all = known / self.known * self.frames;
        if latents.len() != all * self.channels {
            let why = format!("have {} values, not {}", latents.len(), all * self.channels);
            return Err(ModelError::input("latents", why));
        }
        for (video, values) in latents.chunks_mut(all).zip(self.values.chunks(known)) {
            video[..known].copy_from_slice(values);
        }
        Ok(())
    }

    /// Per token: nothing is left to denoise in the known frames.
    pub fn timesteps(&self, timestep: f64) -> Vec<f64> {
        let mut times = vec![timestep; self.tokens * self.frames];
        times[..self.tokens * self.known].fill(0.);
        times
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn first_frames(known: usize) -> FirstFrames {
        let z = Tensor::arange(1f32, 1. + 16. * known as f32, &Device::Cpu).unwrap().reshape((2, known, 2, 4)).unwrap();
        FirstFrames::new(&z, [2, 3, 2, 4]).unwrap()
    }

    #[test]
    fn only_the_first_frames_of_each_channel_are_replaced() {
        for known in [1, 2, 3] {
            let mut latents = vec![-1.; 2 * 3 * 8];
            first_frames(known).hold(&mut latents).unwrap();
            let values = |channel| (1..).map(|value: u16| f32::from(value)).skip(channel * known * 8).take(known * 8);
            let want = |channel| values(channel).chain([-1.; 24]).take(24);
            assert_eq!(latents, want(0).chain(want(1)).collect::<Vec<_>>());
            let once = latents.clone();
            first_frames(known).hold(&mut latents).unwrap();
            assert_eq!(latents, once);
            assert!(first_frames(known).hold(&mut latents[1..]).is_err());
        }
    }

    #[test]
    fn their_tokens_have_no_time() {
        assert_eq!(first_frames(1).timesteps(987.), [0., 0., 987., 987., 987., 987.]);
        assert_eq!(first_frames(2).timesteps(987.), [0., 0., 0., 0., 987., 987.]);
    }

    #[test]
    fn shapes_must_belong_together() {
        let z = |known| Tensor::zeros((2, known, 2, 4), DType::F32, &Device::Cpu).unwrap();
        for (known, latents) in
            [(1, [3, 3, 2, 4]), (1, [2, 3, 4, 2]), (1, [2, 3, 2, 8]), (4, [2, 3, 2, 4]), (0, [2, 3, 2, 4])]
        {
            assert!(FirstFrames::new(&z(known), latents).is_err());
        }
    }
}
