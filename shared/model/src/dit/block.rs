//! One block: self-attention, cross-attention and feed-forward, each added to the tokens.

use candle_core::{DType, Device, Tensor};

use super::attention::{TextKeys, WanCrossAttention, WanSelfAttention};
use super::embedding::PerTime;
use crate::error::ModelError;
use crate::layers::Linear;
use crate::ops::activation::gelu_of;
use crate::ops::chunks::Chunks;
use crate::ops::norm::{affine_norm, modulated_norm};
use crate::ops::residual::residual;
use crate::ops::rope::RopeTable;
use crate::weights::Weights;
use wanfarm_types::Transformer;

/// The tokens stay f32; products are taken in the weights' type.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L183` `WanAttentionBlock`.
#[derive(Debug)]
pub(super) struct WanAttentionBlock {
    eps: f64,
    modulation: Tensor,
    self_attn: WanSelfAttention,
    norm3: Option<(Tensor, Tensor)>,
    cross_attn: WanCrossAttention,
    ffn: [Linear; 2],
}

impl WanAttentionBlock {
    pub(super) fn load(
        cfg: &Transformer,
        weights: &Weights,
        prefix: &str,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let f32 = |name: &str| weights.tensor(&format!("{prefix}.{name}"), Some(DType::F32), device);
        let linear = |name: &str| Linear::load(weights, &format!("{prefix}.{name}"), true, dtype, device);
        let norm3 = || Ok::<_, ModelError>((f32("norm3.weight")?, f32("norm3.bias")?));
        Ok(Self {
            eps: cfg.eps,
            modulation: f32("modulation")?,
            self_attn: WanSelfAttention::load(cfg, weights, &format!("{prefix}.self_attn"), dtype, device)?,
            norm3: cfg.cross_attn_norm.then(norm3).transpose()?,
            cross_attn: WanCrossAttention::load(cfg, weights, &format!("{prefix}.cross_attn"), dtype, device)?,
            ffn: [linear("ffn.0")?, linear("ffn.2")?],
        })
    }

    /// Reads again what is small, and puts adapters beside what is not.
    pub(super) fn adapt(&mut self, weights: &Weights, prefix: &str, device: &Device) -> Result<(), ModelError> {
        let f32 = |name: &str| weights.tensor(&format!("{prefix}.{name}"), Some(DType::F32), device);
        self.modulation = f32("modulation")?;
        self.self_attn.adapt(weights, &format!("{prefix}.self_attn"), device)?;
        if let Some(norm3) = &mut self.norm3 {
            *norm3 = (f32("norm3.weight")?, f32("norm3.bias")?);
        }
        self.cross_attn.adapt(weights, &format!("{prefix}.cross_attn"), device)?;
        self.ffn[0].adapt(weights, &format!("{prefix}.ffn.0"), device)?;
        self.ffn[1].adapt(weights, &format!("{prefix}.ffn.2"), device)
    }

    /// Keys and values of the embedded text.
    pub(super) fn text_keys(&self, text: &Tensor) -> Result<TextKeys, ModelError> {
        self.cross_attn.keys(text)
    }

    /// # Shapes
    /// `x` f32 `(L, dim)`, `e0` rows f32 `(times, 6, dim)` → f32 `(L, dim)`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        tokens: Chunks,
        e0: &PerTime,
        rope: &RopeTable,
        text: &TextKeys,
    ) -> Result<Tensor, ModelError> {
        let e = e0.map(|rows| Ok(rows.broadcast_add(&self.modulation)?))?;
        let input = |first, count| {
            let (shift, scale) = (e.part(0, first, count)?, e.part(1, first, count)?);
            modulated_norm(&x.narrow(0, first, count)?, &scale, &shift, self.eps, self.self_attn.reads())
        };
        let attention = self.self_attn.forward(tokens, input, rope)?;
        let mut out = tokens.gather(0);
        for (first, count) in tokens.iter() {
            let y = self.self_attn.output(&attention, first, count)?;
            let x = residual(&x.narrow(0, first, count)?, &y, Some(&e.part(2, first, count)?))?;
            let x = residual(&x, &self.cross_attn.forward(&self.norm3(&x)?, text)?, None)?;
            let (shift, scale) = (e.part(3, first, count)?, e.part(4, first, count)?);
            let y = self.ffn[0].product(&modulated_norm(&x, &scale, &shift, self.eps, self.ffn[0].reads())?)?;
            let y = self.ffn[1].product(&gelu_of(&y, self.ffn[1].reads())?)?;
            out.put(first, &residual(&x, &y, Some(&e.part(5, first, count)?))?)?;
        }
        out.finish()
    }

    fn norm3(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        match &self.norm3 {
            Some((weight, bias)) => affine_norm(x, weight, bias, self.eps, self.cross_attn.reads()),
            None => Ok(x.clone()),
        }
    }
}
