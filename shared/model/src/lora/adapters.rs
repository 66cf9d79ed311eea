//! Several LoRA files, each at its strength, over one network.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::file::{Delta, Lora};
use crate::error::ModelError;

/// LoRA files with their strengths, in order.
#[derive(Debug, Clone, Default)]
pub struct Adapters(Vec<(Arc<Lora>, f64)>);

impl Adapters {
    /// These files at these strengths. What they add is added in this order.
    pub fn new(loras: Vec<(Arc<Lora>, f64)>) -> Self {
        Self(loras)
    }

    /// These, and then the others.
    pub(crate) fn and(&self, others: &Adapters) -> Self {
        Self(self.0.iter().chain(&others.0).cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of their files is not applied.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let remark = |(lora, _): &(Arc<Lora>, f64)| Some(format!("{}: {}", lora.name(), lora.remark()?));
        self.0.iter().filter_map(remark).collect()
    }

    /// What is added to a tensor, with its factor.
    fn deltas(&self, name: &str) -> impl Iterator<Item = (&Delta, f64)> {
        self.0.iter().flat_map(move |(lora, strength)| lora.deltas(name).iter().map(|delta| (delta, *strength)))
    }

    /// Whether they change this tensor.
    pub(crate) fn touch(&self, name: &str) -> bool {
        self.deltas(name).next().is_some()
    }

    /// A tensor with everything added to it, in f32.
    ///
    /// # Shapes
    /// f32 on the CPU → the same.
    pub(crate) fn merged(&self, name: &str, base: Tensor) -> Result<Tensor, ModelError> {
        let mut sum = base;
        for (delta, strength) in self.deltas(name) {
            let difference = match delta {
                Delta::LowRank { down, up, scale } => (up.matmul(down)? * (strength * scale))?.reshape(sum.shape())?,
                Delta::Full(difference) => (difference * strength)?,
            };
            sum = (sum + difference)?;
        }
        Ok(sum)
    }

    /// What stands beside the matrix of a linear layer, to multiply in `dtype`; `None` if nothing does.
    pub(crate) fn side(&self, name: &str, dtype: DType, device: &Device) -> Result<Option<Side>, ModelError> {
        let (mut downs, mut ups, mut full): (Vec<Tensor>, Vec<Tensor>, Option<Tensor>) = Default::default();
        for (delta, strength) in self.deltas(name) {
            match delta {
                Delta::LowRank { down, up, scale } => {
                    downs.push(down.clone());
                    ups.push((up * (strength * scale))?);
                }
                Delta::Full(difference) => {
                    let difference = (difference.flatten_from(1)? * strength)?;
                    full = Some(match full {
                        Some(sum) => (sum + difference)?,
                        None => difference,
                    });
                }
            }
        }
        let there = |tensor: Tensor| Ok::<_, ModelError>(tensor.to_dtype(dtype)?.contiguous()?.to_device(device)?);
        let low_rank = match downs.is_empty() {
            true => None,
            // Side by side they are one adapter of the sum of their ranks.
            false => Some((there(Tensor::cat(&downs, 0)?)?, there(Tensor::cat(&ups, 1)?)?)),
        };
        let full = full.map(there).transpose()?;
        Ok((low_rank.is_some() || full.is_some()).then_some(Side { low_rank, full }))
    }
}

/// What is added to a linear layer's product without touching its matrix.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// `(r, in)` and `(out, r)`, strengths and scales in the second.
    low_rank: Option<(Tensor, Tensor)>,
    /// `(out, in)`.
    full: Option<Tensor>,
}

impl Side {
    /// # Shapes
    /// `x` `(n, in)`, dense; `y` f32 `(n, out)` → f32 `(n, out)`.
    pub(crate) fn added_to(&self, y: Tensor, x: &Tensor) -> Result<Tensor, ModelError> {
        let mut sum = y;
        let product = |x: &Tensor, matrix: &Tensor| x.to_dtype(matrix.dtype())?.matmul(&matrix.t()?);
        if let Some((down, up)) = &self.low_rank {
            sum = (sum + product(&product(x, down)?, up)?.to_dtype(DType::F32)?)?;
        }
        if let Some(full) = &self.full {
            sum = (sum + product(x, full)?.to_dtype(DType::F32)?)?;
        }
        Ok(sum)
    }
}
