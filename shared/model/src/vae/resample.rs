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
use crate::ops::conv::{CausalConv3d, Conv2d, upsample_nearest};
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
        let same = || Conv2d::load(weights, &format!("{name}.resample.1"), device);
        let halving = || Conv2d::load_halving(weights, &format!("{name}.resample.1"), device);
        let time_conv = || CausalConv3d::load(weights, &format!("{name}.time_conv"), device);
        Ok(match mode {
            Mode::Upsample2d => Self::Upsample2d(same()?),
            Mode::Upsample3d => Self::Upsample3d { time_conv: time_conv()?, spatial: same()?, slot: slots.next() },
            Mode::Downsample2d => Self::Downsample2d(halving()?),
            Mode::Downsample3d => {
                Self::Downsample3d { spatial: halving()?, time_conv: time_conv()?, slot: slots.next() }
            }
        })
    }

    /// The frames that this one completes.
    pub(crate) fn push(&self, frame: Tensor, cache: &mut FeatureCache) -> Result<Vec<Tensor>, ModelError> {
        match self {
            Self::Upsample2d(conv) => Ok(vec![conv.forward(&upsample_nearest(&frame)?)?]),
            Self::Upsample3d { time_conv, spatial, slot } => {
                let frames = double_time(time_conv, frame, cache.slot(*slot))?;
                frames.iter().map(|frame| spatial.forward(&upsample_nearest(frame)?)).collect()
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
