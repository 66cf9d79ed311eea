//! A first latent frame that is known from the start, and stays.

use candle_core::{DType, Tensor};

use crate::error::ModelError;
use wanfarm_weights::kernels::PATCH;

/// The encoded first frame of a video. The reference's mask, zero in the first latent frame and one in all others, is
/// not a tensor here: it says which values are taken from where.
///
/// Source: Wan2.2@42bf4cf `wan/textimage2video.py` `WanTI2V.i2v`, `wan/utils/utils.py#L172` `masks_like`.
#[derive(Debug, Clone)]
pub struct FirstFrame {
    /// Channels, rows, columns.
    values: Vec<f32>,
    channels: usize,
    tokens: usize,
    frames: usize,
}

impl FirstFrame {
    /// # Shapes
    /// `z` f32 `(C, 1, H, W)`, `latents` the video's `(C, T, H, W)`.
    ///
    /// # Errors
    /// Shapes that do not belong together.
    pub fn new(z: &Tensor, latents: [usize; 4]) -> Result<Self, ModelError> {
        let [channels, frames, height, width] = latents;
        if z.dims() != [channels, 1, height, width] {
            let why = format!("it is {:?} in a video of {latents:?}", z.dims());
            return Err(ModelError::input("first latent frame", why));
        }
        let [_, rows, columns] = PATCH;
        let values = z.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Self { values, channels, tokens: height / rows * (width / columns), frames })
    }

    /// Puts it into the latents, row-major `(C, T, H, W)`: before the first step and after every one. Doing so twice
    /// changes nothing.
    ///
    /// # Errors
    /// Latents of another size.
    pub fn hold(&self, latents: &mut [f32]) -> Result<(), ModelError> {
        let expected = self.values.len() * self.frames;
        if latents.len() != expected {
            let why = format!("have {} values, not {expected}", latents.len());
            return Err(ModelError::input("latents", why));
        }
        let frame = self.values.len() / self.channels;
        for (video, known) in latents.chunks_mut(frame * self.frames).zip(self.values.chunks(frame)) {
            video[..frame].copy_from_slice(known);
        }
        Ok(())
    }

    /// Per token: nothing is left to denoise in the first frame.
    pub fn timesteps(&self, timestep: f64) -> Vec<f64> {
        let mut times = vec![timestep; self.tokens * self.frames];
        times[..self.tokens].fill(0.);
        times
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn first_frame() -> FirstFrame {
        let z = Tensor::arange(1f32, 17., &Device::Cpu).unwrap().reshape((2, 1, 2, 4)).unwrap();
        FirstFrame::new(&z, [2, 3, 2, 4]).unwrap()
    }

    #[test]
    fn only_the_first_frame_of_each_channel_is_replaced() {
        let mut latents = vec![-1.; 2 * 3 * 8];
        first_frame().hold(&mut latents).unwrap();
        let want = |from: u8| (from..from + 8).map(f32::from).chain([-1.; 16]);
        assert_eq!(latents, want(1).chain(want(9)).collect::<Vec<_>>());
        let once = latents.clone();
        first_frame().hold(&mut latents).unwrap();
        assert_eq!(latents, once);
        assert!(first_frame().hold(&mut latents[1..]).is_err());
    }

    #[test]
    fn its_tokens_have_no_time() {
        assert_eq!(first_frame().timesteps(987.), [0., 0., 987., 987., 987., 987.]);
    }

    #[test]
    fn shapes_must_belong_together() {
        let z = Tensor::zeros((2, 1, 2, 4), DType::F32, &Device::Cpu).unwrap();
        for latents in [[3, 3, 2, 4], [2, 3, 4, 2], [2, 3, 2, 8]] {
            assert!(FirstFrame::new(&z, latents).is_err());
        }
    }
}
