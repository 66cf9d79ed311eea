//! Softmax attention: one function, whatever the device. Memory is bounded: scores exist for a chunk of queries only.
//!
//! Not here: projections, norms and rotary positions, which belong to the networks.

#[path = "attention/cpu.rs"]
mod cpu;

use candle_core::{DType, Tensor};

use crate::error::ModelError;

/// Queries per score matrix. More would gain no speed; fewer would starve the matrix product.
pub(crate) const QUERIES: usize = 512;
/// Elements of one score matrix over all heads taken together: small inputs need no loop over heads.
pub(crate) const SCORES: usize = 1 << 22;

/// `softmax(q kᵀ · scale + bias) v` for each head.
///
/// Products are taken in the type of `v` (accumulated in f32), the softmax in f32.
///
/// # Shapes
/// `q` `(heads, L, d)`, `k` and `v` `(heads, M, d)`, `bias` `(heads or 1, L or 1, M)` in f32 → `(heads, L, d)`: f32, or
/// the type of `v` where a kernel gives that.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>, scale: f64) -> Result<Tensor, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if bias.is_none()
        && let Some(out) = super::metal::attend(q, k, v, scale)?
    {
        return Ok(out);
    }
    chunked(q, k, v, bias, scale, (QUERIES, SCORES))
}

/// How queries are to be given to [`attend`].
#[derive(Debug, Clone, Copy)]
pub struct Scaled {
    /// What they are multiplied by before they lose digits, if they are.
    pub factor: Option<f64>,
    /// The scale that is left for [`attend`].
    pub scale: f64,
    /// Their type.
    pub dtype: DType,
}

/// Queries of the kind of `x`, for values of type `values`. Anything else is as right, and costs a pass over them.
pub fn scaled(scale: f64, x: &Tensor, values: DType) -> Scaled {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if x.device().is_metal() {
        let (before, scale) = super::metal::split_scale(scale);
        return Scaled { factor: Some(before), scale, dtype: values };
    }
    let _ = (x, values);
    Scaled { factor: None, scale, dtype: DType::F32 }
}

/// Attention from primitives, by groups of heads and chunks of queries.
fn chunked(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<&Tensor>,
    scale: f64,
    (queries, scores): (usize, usize),
) -> Result<Tensor, ModelError> {
    let (heads, length, _) = q.dims3()?;
    let rows = length.min(queries).max(1);
    let group = (scores / (rows * k.dim(1)?).max(1)).clamp(1, heads.max(1));
    let k = k.to_dtype(v.dtype())?;
    if (group, rows) == (heads, length) {
        return block(q, &k, v, bias, scale);
    }
    let out = Tensor::zeros((heads, length, v.dim(2)?), DType::F32, q.device())?;
    for head in (0..heads).step_by(group) {
        let group = group.min(heads - head);
        let (q, k, v) = (q.narrow(0, head, group)?, k.narrow(0, head, group)?, v.narrow(0, head, group)?);
        let bias = bias.map(|bias| part(bias, 0, head, group)).transpose()?;
        let out = out.narrow(0, head, group)?;
        for query in (0..length).step_by(rows) {
            let rows = rows.min(length - query);
            let bias = bias.as_ref().map(|bias| part(bias, 1, query, rows)).transpose()?;
            out.slice_set(&block(&q.narrow(1, query, rows)?, &k, &v, bias.as_ref(), scale)?, 1, query)?;
        }
    }
    Ok(out)
}

/// Attention with all scores at once. Queries are scaled in f32, before they lose digits.
fn block(q: &Tensor, k: &Tensor, v: &Tensor, bias: Option<&Tensor>, scale: f64) -> Result<Tensor, ModelError> {
    let q = (q.to_dtype(DType::F32)? * scale)?.to_dtype(v.dtype())?;
    let mut scores = q.contiguous()?.matmul(&k.contiguous()?.transpose(1, 2)?)?.to_dtype(DType::F32)?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(bias)?;
    }
    let v = v.contiguous()?;
    if scores.device().is_cpu() {
        return cpu::weighted_mean(&scores, &v);
    }
    let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
    Ok(weights.matmul(&v)?.to_dtype(DType::F32)?)
}

/// A range of a dimension, or all of it if it is broadcast.
fn part(bias: &Tensor, dim: usize, start: usize, len: usize) -> Result<Tensor, ModelError> {
    Ok(if bias.dim(dim)? == 1 { bias.clone() } else { bias.narrow(dim, start, len)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Deterministic values in ±2.
    fn values(shape: (usize, usize, usize), salt: f64) -> Tensor {
        let count = shape.0 * shape.1 * shape.2;
        let data: Vec<f32> = (0..count).map(|i| 2. * ((i as f64 * 12.9898 + salt).sin() as f32)).collect();
        Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    /// The definition, in f64, for one head and query.
    fn exact(q: &[f32], k: &[Vec<f32>], v: &[Vec<f32>], bias: &[f32], scale: f64) -> Vec<f64> {
        let dot = |k: &[f32]| q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
        let weights: Vec<f64> = k.iter().zip(bias).map(|(k, &bias)| (dot(k) * scale + f64::from(bias)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let column = |c: usize| v.iter().zip(&weights).map(|(v, w)| f64::from(v[c]) * w).sum::<f64>() / sum;
        (0..v[0].len()).map(column).collect()
    }

    #[test]
    fn is_the_definition() {
        let (q, k, v) = (values((2, 5, 8), 0.), values((2, 7, 8), 1.), values((2, 7, 6), 2.));
        let bias = values((2, 5, 7), 3.);
        let got = attend(&q, &k, &v, Some(&bias), 0.3).unwrap().to_vec3::<f32>().unwrap();
        let rows = |t: &Tensor| t.to_vec3::<f32>().unwrap();
        let (q, k, v, bias) = (rows(&q), rows(&k), rows(&v), rows(&bias));
        for head in 0..2 {
            for row in 0..5 {
                let want = exact(&q[head][row], &k[head], &v[head], &bias[head][row], 0.3);
                for (got, want) in got[head][row].iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn chunks_and_groups_change_nothing() {
        let (q, k, v) = (values((3, 11, 8), 0.), values((3, 7, 8), 1.), values((3, 7, 8), 2.));
        for bias in [None, Some(values((3, 11, 7), 3.)), Some(values((1, 1, 7), 4.)), Some(values((3, 1, 7), 5.))] {
            let whole = chunked(&q, &k, &v, bias.as_ref(), 0.3, (usize::MAX, usize::MAX)).unwrap();
            for limits in [(4, 1), (4, 2 * 4 * 7), (11, 11 * 7), (1, 1), (10, 1000)] {
                let parts = chunked(&q, &k, &v, bias.as_ref(), 0.3, limits).unwrap();
                assert!(apart(&whole, &parts) < 1e-6, "{limits:?}");
            }
        }
    }

    #[test]
    fn views_are_as_good_as_dense_tensors() {
        let (q, k, v) = (values((3, 5, 8), 0.), values((3, 7, 8), 1.), values((3, 7, 8), 2.));
        let dense = attend(&q, &k, &v, None, 0.3).unwrap();
        let strided = |t: &Tensor| t.transpose(0, 1).unwrap().contiguous().unwrap().transpose(0, 1).unwrap();
        let views = attend(&strided(&q), &strided(&k), &strided(&v), None, 0.3).unwrap();
        assert_eq!(apart(&dense, &views), 0.);
    }
}
