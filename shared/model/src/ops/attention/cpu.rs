//! Softmax and the sum over keys on the CPU, rounded as the official code is there: exponentials are summed with the
//! values before they are divided by their total, and keys are taken 256 at a time.
//!
//! Both are more accurate than to divide first and to sum in one chain. But they matter because they are the
//! reference's: every rounding of hundreds of equal padding keys goes the same way, and adds up.
//!
//! Source: PyTorch `aten/src/ATen/native/cpu/FlashAttentionKernel.cpp`. The 256 are of the matrix product behind it,
//! found by comparing its sums.

use candle_core::{D, DType, Tensor};

use crate::error::ModelError;
use crate::ops::rows::map_rows;

/// Keys summed in one chain of additions.
const KEYS: usize = 256;
/// Of more keys than this, the matrix product makes blocks of its own.
const MAX_KEYS: usize = 512;

/// `softmax(scores) v`.
///
/// # Shapes
/// f32 `(heads, L, M)`, `(heads, M, d)` → f32 `(heads, L, d)`.
pub(super) fn weighted_mean(scores: &Tensor, v: &Tensor) -> Result<Tensor, ModelError> {
    let weights = map_rows(scores, exponentials)?;
    let total = weights.sum_keepdim(D::Minus1)?;
    let weights = weights.to_dtype(v.dtype())?;
    let keys = v.dim(1)?;
    if keys > MAX_KEYS {
        return Ok(weights.matmul(v)?.to_dtype(DType::F32)?.broadcast_div(&total)?);
    }
    let part = |first: usize| -> Result<Tensor, ModelError> {
        let count = KEYS.min(keys - first);
        Ok(weights.narrow(2, first, count)?.matmul(&v.narrow(1, first, count)?)?.to_dtype(DType::F32)?)
    };
    let mut sum = part(0)?;
    for first in (KEYS..keys).step_by(KEYS) {
        sum = (sum + part(first)?)?;
    }
    Ok(sum.broadcast_div(&total)?)
}

/// `exp(x − max)`.
fn exponentials(scores: &[f32], weights: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    weights.iter_mut().zip(scores).for_each(|(w, &x)| *w = (x - max).exp());
}
