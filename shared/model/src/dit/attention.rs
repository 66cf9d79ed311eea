//! Self-attention over the video's tokens, and cross-attention to the text.

use candle_core::{DType, Device, Tensor};

use crate::error::ModelError;
use crate::layers::Linear;
use crate::ops::attention::attend;
use crate::ops::chunks::Chunks;
use crate::ops::norm::rms_norm;
use crate::ops::rope::RopeTable;
use crate::weights::Weights;
use wanfarm_types::Transformer;

/// The four projections and two norms that both kinds of attention have. Queries and keys are normalised over all
/// channels, before the heads are split.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L101` `WanSelfAttention`.
#[derive(Debug)]
struct Projections {
    num_heads: usize,
    eps: f64,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norm_q: Tensor,
    norm_k: Tensor,
}

impl Projections {
    fn load(
        cfg: &Transformer,
        weights: &Weights,
        prefix: &str,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let linear = |name: &str| Linear::load(weights, &format!("{prefix}.{name}"), true, dtype, device);
        let norm = |name: &str| weights.tensor(&format!("{prefix}.{name}.weight"), Some(DType::F32), device);
        Ok(Self {
            num_heads: cfg.num_heads,
            eps: cfg.eps,
            q: linear("q")?,
            k: linear("k")?,
            v: linear("v")?,
            o: linear("o")?,
            norm_q: norm("norm_q")?,
            norm_k: norm("norm_k")?,
        })
    }

    fn adapt(&mut self, weights: &Weights, prefix: &str, device: &Device) -> Result<(), ModelError> {
        for (name, linear) in [("q", &mut self.q), ("k", &mut self.k), ("v", &mut self.v), ("o", &mut self.o)] {
            linear.adapt(weights, &format!("{prefix}.{name}"), device)?;
        }
        let norm = |name: &str| weights.tensor(&format!("{prefix}.{name}.weight"), Some(DType::F32), device);
        (self.norm_q, self.norm_k) = (norm("norm_q")?, norm("norm_k")?);
        Ok(())
    }

    /// `(n, dim)` → `(heads, n, head_dim)`.
    fn heads(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let (n, dim) = x.dims2()?;
        Ok(x.reshape((n, self.num_heads, dim / self.num_heads))?.transpose(0, 1)?.contiguous()?)
    }

    fn queries(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.heads(&rms_norm(&self.q.forward(x)?, &self.norm_q, self.eps)?)
    }

    fn keys(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.heads(&rms_norm(&self.k.forward(x)?, &self.norm_k, self.eps)?)
    }

    fn values(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.heads(&self.v.forward(x)?)?.to_dtype(self.v.dtype())?)
    }

    /// Heads `(heads, n, head_dim)` put together and projected: `(n, dim)`.
    fn output(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.o.forward(&x.transpose(0, 1)?.contiguous()?.flatten_from(1)?)
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor, ModelError> {
        let scale = 1. / (q.dim(2)? as f64).sqrt();
        attend(q, k, v, None, scale)
    }
}

/// Attention of all tokens to all tokens, with rotary positions.
#[derive(Debug)]
pub(super) struct WanSelfAttention(Projections);

impl WanSelfAttention {
    pub(super) fn load(
        cfg: &Transformer,
        weights: &Weights,
        prefix: &str,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Projections::load(cfg, weights, prefix, dtype, device).map(Self)
    }

    pub(super) fn adapt(&mut self, weights: &Weights, prefix: &str, device: &Device) -> Result<(), ModelError> {
        self.0.adapt(weights, prefix, device)
    }

    /// Attention before its output projection, which [`Self::output`] applies chunk by chunk.
    ///
    /// # Shapes
    /// `input(first, count)` gives f32 `(count, dim)`, the normalised and modulated tokens → f32 `(heads, L, head_dim)`.
    pub(super) fn forward(
        &self,
        tokens: Chunks,
        input: impl Fn(usize, usize) -> Result<Tensor, ModelError>,
        rope: &RopeTable,
    ) -> Result<Tensor, ModelError> {
        let Self(p) = self;
        let [mut q, mut k, mut v] = [0; 3].map(|_| tokens.gather(1));
        for (first, count) in tokens.iter() {
            let x = input(first, count)?;
            q.put(first, &rope.apply(&p.queries(&x)?, first)?)?;
            k.put(first, &rope.apply(&p.keys(&x)?, first)?.to_dtype(p.v.dtype())?)?;
            v.put(first, &p.values(&x)?)?;
        }
        p.attend(&q.finish()?, &k.finish()?, &v.finish()?)
    }

    /// The output projection of some tokens: f32 `(heads, L, head_dim)` → `(count, dim)`.
    pub(super) fn output(&self, x: &Tensor, first: usize, count: usize) -> Result<Tensor, ModelError> {
        self.0.output(&x.narrow(1, first, count)?)
    }
}

/// Keys and values of the text for one block.
#[derive(Debug, Clone)]
pub(super) struct TextKeys {
    k: Tensor,
    v: Tensor,
}

/// Attention of the tokens to the text.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L158` `WanCrossAttention`.
#[derive(Debug)]
pub(super) struct WanCrossAttention(Projections);

impl WanCrossAttention {
    pub(super) fn load(
        cfg: &Transformer,
        weights: &Weights,
        prefix: &str,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Projections::load(cfg, weights, prefix, dtype, device).map(Self)
    }

    pub(super) fn adapt(&mut self, weights: &Weights, prefix: &str, device: &Device) -> Result<(), ModelError> {
        self.0.adapt(weights, prefix, device)
    }

    /// Keys and values of embedded text rows `(n, dim)`.
    pub(super) fn keys(&self, text: &Tensor) -> Result<TextKeys, ModelError> {
        let Self(p) = self;
        let k = p.keys(text)?.to_dtype(p.v.dtype())?;
        Ok(TextKeys { k, v: p.values(text)? })
    }

    /// # Shapes
    /// f32 `(n, dim)` → f32 `(n, dim)`.
    pub(super) fn forward(&self, x: &Tensor, text: &TextKeys) -> Result<Tensor, ModelError> {
        let Self(p) = self;
        p.output(&p.attend(&p.queries(x)?, &text.k, &text.v)?)
    }
}
