//! Self-attention over the video's tokens, and cross-attention to the text.

use candle_core::{DType, Device, Tensor};

use crate::error::ModelError;
use crate::layers::Linear;
use crate::ops::attention::{Scaled, attend, scaled};
use crate::ops::chunks::Chunks;
use crate::ops::heads::{Way, merge, split};
use crate::ops::nag::guide_away;
use crate::ops::product::Product;
use crate::ops::rope::RopeTable;
use crate::weights::Weights;
use wanfarm_types::{Nag, Transformer};

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

    /// The type that the projections read without converting.
    fn reads(&self) -> DType {
        self.q.reads()
    }

    /// Queries `(heads, n, head_dim)` of `(n, dim)`, and the scale that attention still has to apply.
    fn queries(&self, x: &Tensor, rope: Option<(&RopeTable, usize)>) -> Result<(Tensor, f64), ModelError> {
        let (norm, product) = (Some((&self.norm_q, self.eps)), self.q.product(x)?);
        let scale = 1. / ((product.rows.dim(1)? / self.num_heads) as f64).sqrt();
        let Scaled { factor, scale, dtype } = scaled(scale, &product.rows, self.v.dtype());
        Ok((split(&product, self.num_heads, Way { norm, rope, factor }, dtype)?, scale))
    }

    fn keys(&self, x: &Tensor, rope: Option<(&RopeTable, usize)>) -> Result<Tensor, ModelError> {
        let norm = Some((&self.norm_k, self.eps));
        split(&self.k.product(x)?, self.num_heads, Way { norm, rope, factor: None }, self.v.dtype())
    }

    fn values(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        split(&self.v.product(x)?, self.num_heads, Way::default(), self.v.dtype())
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
    /// `input(first, count)` gives `(count, dim)`, the normalised and modulated tokens → `(heads, L, head_dim)`.
    pub(super) fn forward(
        &self,
        tokens: Chunks,
        input: impl Fn(usize, usize) -> Result<Tensor, ModelError>,
        rope: &RopeTable,
    ) -> Result<Tensor, ModelError> {
        let Self(p) = self;
        let [mut q, mut k, mut v] = [0; 3].map(|_| tokens.gather(1));
        let mut scale = 1.;
        for (first, count) in tokens.iter() {
            let x = input(first, count)?;
            let queries;
            (queries, scale) = p.queries(&x, Some((rope, first)))?;
            q.put(first, &queries)?;
            k.put(first, &p.keys(&x, Some((rope, first)))?)?;
            v.put(first, &p.values(&x)?)?;
        }
        attend(&q.finish()?, &k.finish()?, &v.finish()?, None, scale)
    }

    pub(super) fn reads(&self) -> DType {
        self.0.reads()
    }

    /// The output projection of some tokens: `(heads, L, head_dim)` → `(count, dim)`.
    pub(super) fn output(&self, x: &Tensor, first: usize, count: usize) -> Result<Product, ModelError> {
        self.0.o.product(&merge(&x.narrow(1, first, count)?)?)
    }
}

/// Keys and values of the text for one block.
#[derive(Debug, Clone)]
pub(super) struct TextKeys {
    k: Tensor,
    v: Tensor,
    /// Those of a text to move away from.
    avoided: Option<(Tensor, Tensor, Nag)>,
}

impl TextKeys {
    /// These, moved away from those of another text.
    pub(super) fn avoiding(&self, other: &Self, nag: Nag) -> Self {
        Self { avoided: Some((other.k.clone(), other.v.clone(), nag)), ..self.clone() }
    }
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
        Ok(TextKeys { k: p.keys(text, None)?, v: p.values(text)?, avoided: None })
    }

    /// # Shapes
    /// `(n, dim)` → `(n, dim)`.
    pub(super) fn forward(&self, x: &Tensor, text: &TextKeys) -> Result<Product, ModelError> {
        let Self(p) = self;
        let (q, scale) = p.queries(x, None)?;
        let rows = merge(&attend(&q, &text.k, &text.v, None, scale)?)?;
        match &text.avoided {
            None => p.o.product(&rows),
            Some((k, v, nag)) => p.o.product(&guide_away(&rows, &merge(&attend(&q, k, v, None, scale)?)?, *nag)?),
        }
    }

    pub(super) fn reads(&self) -> DType {
        self.0.reads()
    }
}
