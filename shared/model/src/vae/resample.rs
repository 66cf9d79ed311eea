//! `Resample`: half or double the size of a frame, and half or double the number of frames.
//!
//! Time starts with a frame of its own: the first frame passes without the convolution in time, so that 1 + 4n frames
//! and 1 + n latent frames belong together.
//!
//! Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` `Resample`. Its cache is `None`, then `'Rep'`, then frames: here the
//! number of frames seen.

use candle_core::{Device, Tensor};

use super::blueprint::Mode;
use super::cache::{FeatureCache, Slot, SlotId, Slots};
use crate::error::ModelError;
use crate::layers::conv::{CausalConv3d, Conv2d};
use crate::weights::Weights;

#[derive(Debug)]
pub(crate) enum Resample {
    Upsample2d(Conv2d),
    Upsample3d { time_conv: CausalConv3d, spatial: Conv2d, slot: SlotId },
    Downsample2d(Conv2d),
    Downsample3d { spatial: Conv2d, time_conv: CausalConv3d, slot: SlotId },
}

impl Resample {
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        mode: Mode,
        slots: &mut Slots,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let doubling = || Conv2d::load_doubling(weights, &format!("{name}.resample.1"), device);
        let halving = || Conv2d::load_halving(weights, &format!("{name}.resample.1"), device);
        let time_conv = || CausalConv3d::load(weights, &format!("{name}.time_conv"), device);
        Ok(match mode {
            Mode::Upsample2d => Self::Upsample2d(doubling()?),
            Mode::Upsample3d => Self::Upsample3d { time_conv: time_conv()?, spatial: doubling()?, slot: slots.next() },
            Mode::Downsample2d => Self::Downsample2d(halving()?),
            Mode::Downsample3d => {
                Self::Downsample3d { spatial: halving()?, time_conv: time_conv()?, slot: slots.next() }
            }
        })
    }

    /// The frames that this one completes.
    pub(crate) fn push(&self, frame: Tensor, cache: &mut FeatureCache) -> Result<Vec<Tensor>, ModelError> {
        match self {
            Self::Upsample2d(conv) => Ok(vec![conv.forward(&frame)?]),
            Self::Upsample3d { time_conv, spatial, slot } => {
                let frames = double_time(time_conv, frame, cache.slot(*slot))?;
                frames.iter().map(|frame| spatial.forward(frame)).collect()
            }
            Self::Downsample2d(conv) => Ok(vec![conv.forward(&frame)?]),
            Self::Downsample3d { spatial, time_conv, slot } => {
                let frame = spatial.forward(&frame)?;
                Ok(halve_time(time_conv, frame, cache.slot(*slot))?.into_iter().collect())
            }
        }
    }
}

/// The first frame stays one and is not remembered: the convolution starts behind it, on zeros. Each later frame
/// becomes two, the channels' first half and their second half.
fn double_time(time_conv: &CausalConv3d, frame: Tensor, slot: &mut Slot) -> Result<Vec<Tensor>, ModelError> {
    if slot.is_first() {
        return Ok(vec![frame]);
    }
    let both = time_conv.forward(&frame, &mut slot.history)?;
    let channels = both.dim(2)? / 2;
    let half = |index| -> Result<Tensor, ModelError> { Ok(both.narrow(2, index * channels, channels)?.contiguous()?) };
    Ok(vec![half(0)?, half(1)?])
}

/// The first frame stays as it is and is remembered. Of the later ones each second becomes one, over itself and the
/// two before it.
fn halve_time(time_conv: &CausalConv3d, frame: Tensor, slot: &mut Slot) -> Result<Option<Tensor>, ModelError> {
    let first = slot.is_first();
    if !first && slot.seen % 2 == 1 {
        return Ok(Some(time_conv.forward(&frame, &mut slot.history)?));
    }
    time_conv.skip(&frame, &mut slot.history)?;
    Ok(first.then_some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A convolution in time of one channel whose weights are the `digits`, from the oldest frame to the newest.
    fn time_conv(digits: &[[f32; 3]]) -> CausalConv3d {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("time_conv.safetensors");
        let weight = Tensor::new(digits.concat(), &Device::Cpu).unwrap().reshape((digits.len(), 1, 3, 1, 1)).unwrap();
        let bias = Tensor::zeros(digits.len(), candle_core::DType::F32, &Device::Cpu).unwrap();
        candle_core::safetensors::save(&[("t.weight", weight), ("t.bias", bias)].into(), &path).unwrap();
        CausalConv3d::load(&Weights::open(&[path]).unwrap(), "t", &Device::Cpu).unwrap()
    }

    fn frame(value: f32) -> Tensor {
        Tensor::full(value, (1, 2, 1), &Device::Cpu).unwrap()
    }

    fn value(frame: &Tensor) -> f32 {
        let pixels = frame.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(pixels, [pixels[0]; 2]);
        pixels[0]
    }

    #[test]
    fn halving_time_keeps_the_first_frame_and_then_every_second() {
        let conv = time_conv(&[[100., 10., 1.]]);
        let mut slot = Slot::default();
        let mut push = |x| halve_time(&conv, frame(x), &mut slot).unwrap().as_ref().map(value);
        let got: Vec<_> = [1., 2., 3., 4., 5., 6., 7.].into_iter().map(&mut push).collect();
        assert_eq!(got, [Some(1.), None, Some(123.), None, Some(345.), None, Some(567.)]);
    }

    #[test]
    fn doubling_time_starts_on_zeros_behind_the_first_frame() {
        let conv = time_conv(&[[100., 10., 1.], [-100., -10., -1.]]);
        let mut slot = Slot::default();
        let mut push = |x| double_time(&conv, frame(x), &mut slot).unwrap().iter().map(value).collect::<Vec<_>>();
        assert_eq!(push(1.), [1.]);
        assert_eq!(push(2.), [2., -2.], "the first frame is not part of the history");
        assert_eq!(push(3.), [23., -23.]);
        assert_eq!(push(4.), [234., -234.]);
        assert_eq!(push(5.), [345., -345.]);
    }
}
