//! The last layer: tokens → patches of velocity.

use candle_core::{DType, Device, Tensor};

use super::embedding::PerTime;
use crate::error::ModelError;
use crate::layers::Linear;
use crate::ops::chunks::Chunks;
use crate::ops::norm::modulated_norm;
use crate::weights::Weights;
use wanfarm_types::Transformer;

/// Computed in f32 whatever the type of the other weights.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L262` `Head`.
#[derive(Debug)]
pub(super) struct Head {
    eps: f64,
    modulation: Tensor,
    head: Linear,
}

impl Head {
    pub(super) fn load(cfg: &Transformer, weights: &Weights, device: &Device) -> Result<Self, ModelError> {
        Ok(Self {
            eps: cfg.eps,
            modulation: weights.tensor("head.modulation", Some(DType::F32), device)?,
            head: Linear::load(weights, "head.head", true, DType::F32, device)?,
        })
    }

    pub(super) fn adapt(&mut self, weights: &Weights, device: &Device) -> Result<(), ModelError> {
        self.modulation = weights.tensor("head.modulation", Some(DType::F32), device)?;
        self.head.adapt(weights, "head.head", device)
    }

    /// # Shapes
    /// `x` f32 `(L, dim)`, `e` rows f32 `(times, 1, dim)` → f32 `(L, 4·out_dim)`.
    pub(super) fn forward(&self, x: &Tensor, tokens: Chunks, e: &PerTime) -> Result<Tensor, ModelError> {
        let e = e.map(|rows| Ok(rows.broadcast_add(&self.modulation)?))?;
        let mut out = tokens.gather(0);
        for (first, count) in tokens.iter() {
            let (shift, scale) = (e.part(0, first, count)?, e.part(1, first, count)?);
            let x = modulated_norm(&x.narrow(0, first, count)?, &scale, &shift, self.eps, self.head.reads())?;
            out.put(first, &self.head.forward(&x)?)?;
        }
        out.finish()
    }
}
