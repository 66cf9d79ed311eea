//! The text as the blocks see it, computed once per video and transformer: embeddings, keys and values are the
//! transformer's own, never shared between experts.

use candle_core::{DType, Device, Tensor};

use super::attention::TextKeys;
use crate::error::ModelError;
use crate::layers::Linear;
use crate::weights::Weights;
use wanfarm_types::{Nag, Transformer};

/// Keys and values of one text, for every block of one transformer.
#[derive(Debug, Clone)]
pub struct TextContext {
    pub(super) blocks: Vec<TextKeys>,
}

impl TextContext {
    /// This text, moved away from another of the same transformer in every block's cross-attention.
    pub fn avoiding(&self, other: &Self, nag: Nag) -> Self {
        Self { blocks: self.blocks.iter().zip(&other.blocks).map(|(keys, other)| keys.avoiding(other, nag)).collect() }
    }
}

/// `text_embedding`.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L380`.
#[derive(Debug)]
pub(super) struct TextEmbedding {
    pub(super) text_len: usize,
    text_dim: usize,
    layers: [Linear; 2],
}

impl TextEmbedding {
    pub(super) fn load(
        cfg: &Transformer,
        weights: &Weights,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let linear = |name| Linear::load(weights, name, true, dtype, device);
        Ok(Self {
            text_len: cfg.text_len,
            text_dim: cfg.text_dim,
            layers: [linear("text_embedding.0")?, linear("text_embedding.2")?],
        })
    }

    pub(super) fn adapt(&mut self, weights: &Weights, device: &Device) -> Result<(), ModelError> {
        self.layers[0].adapt(weights, "text_embedding.0", device)?;
        self.layers[1].adapt(weights, "text_embedding.2", device)
    }

    /// The embedded rows. The network attends to `text_len` of them, those behind the text being zero before they are
    /// embedded. They are all alike and one of them could stand for all; but the official sums over them are rounded
    /// hundreds of times, which is more than the rest of the block is off by. Kept, they are rounded alike, and cost
    /// less than a hundredth of a step.
    ///
    /// # Shapes
    /// f32 `(n, text_dim)` → f32 `(text_len, dim)`.
    pub(super) fn forward(&self, text: &Tensor) -> Result<Tensor, ModelError> {
        let (rows, channels) = text.dims2()?;
        if channels != self.text_dim || rows > self.text_len {
            let limit = format!("at most ({}, {})", self.text_len, self.text_dim);
            return Err(ModelError::input("text context", format!("has the shape ({rows}, {channels}), not {limit}")));
        }
        let text = text.to_dtype(DType::F32)?.pad_with_zeros(0, 0, self.text_len - rows)?;
        self.layers[1].forward(&self.layers[0].forward(&text)?.gelu()?)
    }
}
