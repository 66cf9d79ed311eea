//! Channels split into the heads of an attention, and heads put together again.

use candle_core::{DType, Tensor};

use super::norm::rms_norm;
use super::product::Product;
use super::rope::RopeTable;
use crate::error::ModelError;

/// What happens to channels on their way to their heads: in this order, each if it is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way<'t> {
    /// RMS norm over all channels: weight f32 `(dim)`, epsilon.
    pub norm: Option<(&'t Tensor, f64)>,
    /// Rotation of each head; the first row is this token of the table's grid.
    pub rope: Option<(&'t RopeTable, usize)>,
    /// Factor of the result.
    pub factor: Option<f64>,
}

/// Heads of a projection.
///
/// # Shapes
/// `(n, dim)` → `(heads, n, dim / heads)` in `dtype`.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
pub fn split(x: &Product, heads: usize, way: Way<'_>, dtype: DType) -> Result<Tensor, ModelError> {
    let (n, dim) = x.rows.dims2()?;
    #[cfg(any(target_os = "macos", feature = "metal"))]
    {
        let turn = way.rope.map(|(rope, first)| rope.rows(first, n)).transpose()?;
        let turn = turn.as_ref().map(|(cos, sin)| (cos, sin));
        let last = (heads, way.factor.unwrap_or(1.));
        if let Some(split) = super::metal::heads(&x.rows, x.bias.as_ref(), way.norm, turn, last, dtype)? {
            return Ok(split);
        }
    }
    let mut x = x.finish()?;
    if let Some((weight, eps)) = way.norm {
        x = rms_norm(&x, weight, eps)?;
    }
    x = x.reshape((n, heads, dim / heads.max(1)))?.transpose(0, 1)?.contiguous()?;
    if let Some((rope, first)) = way.rope {
        x = rope.apply(&x, first)?;
    }
    if let Some(factor) = way.factor {
        x = (x * factor)?;
    }
    Ok(x.to_dtype(dtype)?)
}

/// The heads of each row beside one another; free for what a fused attention gives, which lies so.
///
/// # Shapes
/// `(heads, n, d)` → `(n, heads · d)`.
///
/// # Errors
/// A device out of memory.
pub fn merge(x: &Tensor) -> Result<Tensor, ModelError> {
    Ok(x.transpose(0, 1)?.contiguous()?.flatten_from(1)?)
}
