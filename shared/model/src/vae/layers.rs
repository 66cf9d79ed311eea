//! The layers that leave a frame's place in time alone: norm, residual block, attention, head.
//!
//! All work on one channels-last frame `(height, width, channels)` in f32.
//!
//! Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` (the same classes are in `vae2_2.py`).

use candle_core::{DType, Device, Tensor};

use super::cache::{FeatureCache, SlotId, Slots};
use crate::error::ModelError;
use crate::layers::Linear;
use crate::layers::conv::CausalConv3d;
use crate::ops::attention::attend;
use crate::ops::bands::by_bands;
use crate::ops::norm::{rms_norm, rms_norm_silu};
use crate::weights::Weights;

/// `RMS_norm`: x / ‖x‖₂ · √channels · γ, which is x over its root mean square; then γ.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    gamma: Tensor,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn load(weights: &Weights, name: &str, device: &Device) -> Result<Self, ModelError> {
        let gamma = weights.tensor(&format!("{name}.gamma"), Some(DType::F32), device)?.flatten_all()?;
        // torch's `normalize` keeps ‖x‖ above 1e-12; this is that floor, under the root of a mean.
        let eps = 1e-24 / gamma.dim(0)? as f64;
        Ok(Self { gamma, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        rms_norm(x, &self.gamma, self.eps)
    }
}

/// A [`CausalConv3d`] behind its norm and SiLU, with its place in the cache.
#[derive(Debug)]
pub(crate) struct NormedConv {
    norm: RmsNorm,
    conv: CausalConv3d,
    slot: SlotId,
}

impl NormedConv {
    pub(crate) fn load(
        weights: &Weights,
        (norm, conv): (&str, &str),
        slots: &mut Slots,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let norm = RmsNorm::load(weights, norm, device)?;
        Ok(Self { norm, conv: CausalConv3d::load(weights, conv, device)?, slot: slots.next() })
    }

    pub(crate) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor, ModelError> {
        let x = rms_norm_silu(x, &self.norm.gamma, self.norm.eps)?;
        self.conv.forward(&x, &mut cache.slot(self.slot).history)
    }
}

/// Two normed convolutions and a shortcut.
#[derive(Debug)]
pub(crate) struct ResidualBlock {
    first: NormedConv,
    second: NormedConv,
    shortcut: Option<Linear>,
}

impl ResidualBlock {
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        widens: bool,
        slots: &mut Slots,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let part = |index| format!("{name}.residual.{index}");
        let shortcut = || Linear::load(weights, &format!("{name}.shortcut"), true, DType::F32, device);
        Ok(Self {
            first: NormedConv::load(weights, (&part(0), &part(2)), slots, device)?,
            second: NormedConv::load(weights, (&part(3), &part(6)), slots, device)?,
            shortcut: widens.then(shortcut).transpose()?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, cache: &mut FeatureCache) -> Result<Tensor, ModelError> {
        let y = self.second.forward(&self.first.forward(x, cache)?, cache)?;
        by_bands(y.dims3()?, y.device(), |top, rows| {
            let x = x.narrow(0, top, rows)?;
            let x = self.shortcut.as_ref().map_or(Ok(x.clone()), |shortcut| shortcut.forward(&x))?;
            Ok((y.narrow(0, top, rows)? + x)?)
        })
    }
}

/// Single-head attention of a frame's pixels to each other; never across frames.
#[derive(Debug)]
pub(crate) struct AttentionBlock {
    norm: RmsNorm,
    to_qkv: Linear,
    proj: Linear,
}

impl AttentionBlock {
    pub(crate) fn load(weights: &Weights, name: &str, device: &Device) -> Result<Self, ModelError> {
        let linear = |part: &str| Linear::load(weights, &format!("{name}.{part}"), true, DType::F32, device);
        Ok(Self {
            norm: RmsNorm::load(weights, &format!("{name}.norm"), device)?,
            to_qkv: linear("to_qkv")?,
            proj: linear("proj")?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let (height, width, dim) = x.dims3()?;
        let qkv = self.to_qkv.forward(&self.norm.forward(x)?.reshape((1, height * width, dim))?)?;
        let part = |index| -> Result<Tensor, ModelError> { Ok(qkv.narrow(2, index * dim, dim)?.contiguous()?) };
        let y = attend(&part(0)?, &part(1)?, &part(2)?, None, 1. / (dim as f64).sqrt())?;
        Ok((self.proj.forward(&y)?.reshape((height, width, dim))? + x)?)
    }
}
