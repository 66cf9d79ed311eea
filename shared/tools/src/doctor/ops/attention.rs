//! Attention with as many queries as a short clip at 720p has, with as many keys as a long one has, and with weighed keys, as
//! cross-attention has.
//!
//! Some GPUs have returned garbage, and no error, for more than some 15,000 rows in one call. The reference is the
//! definition, for single queries: it knows no tiles.

use candle_core::{DType, Device, Tensor};

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{as_held, distance, host, normal};
use wanfarm_model::ModelError;

const HEAD_DIM: usize = 128;
const HEADS: usize = 2;
/// Beyond every tile, and a multiple of none.
const QUERIES: usize = 16_421;
/// Queries looked at: the ends, and both sides of the borders that tiles may have.
const ROWS: [usize; 16] =
    [0, 1, 511, 512, 2047, 2048, 4095, 4096, 4106, 8191, 8192, 12_287, 12_316, 15_999, 16_384, QUERIES - 1];

/// Of a video of 81 frames at 720p: sums of so many have lost digits, and tiles that are counted in 16 bits have come to an end.
pub(super) const LONG: usize = 75_600;
/// Queries of so many keys, of which the ends and the borders of a tile are looked at.
const FEW: usize = 33;
const FEW_ROWS: [usize; 4] = [0, 15, 16, FEW - 1];

const OTHERWISE: &str = "attention is wrong on this device, perhaps only for many rows: compare with fewer (the tiles are \
                         in ops::attention)";

/// Keys per query: as many as queries, but for the CPU, which would take a minute for them and has no kernels of
/// its own.
pub(super) fn keys(device: &Device) -> usize {
    if device.is_cpu() { 1031 } else { QUERIES }
}

/// `op(q, k, v, scale)`, with products taken in `dtype`.
pub(super) fn check(
    dtype: DType,
    keys: usize,
    op: impl Fn(&Tensor, &Tensor, &Tensor, f64) -> Result<Tensor, ModelError>,
) -> Checked {
    check_rows(dtype, (QUERIES, &ROWS), keys, op)
}

/// The same with few queries.
pub(super) fn check_keys(
    dtype: DType,
    keys: usize,
    op: impl Fn(&Tensor, &Tensor, &Tensor, f64) -> Result<Tensor, ModelError>,
) -> Checked {
    check_rows(dtype, (FEW, &FEW_ROWS), keys, op)
}

fn check_rows(
    dtype: DType,
    (queries, rows): (usize, &[usize]),
    keys: usize,
    op: impl Fn(&Tensor, &Tensor, &Tensor, f64) -> Result<Tensor, ModelError>,
) -> Checked {
    let q = normal(&[HEADS, queries, HEAD_DIM], 1)?;
    let (k, v) = (normal(&[HEADS, keys, HEAD_DIM], 2)?, normal(&[HEADS, keys, HEAD_DIM], 3)?);
    let scale = (HEAD_DIM as f64).powf(-0.5);
    let out = op(&q, &k, &v, scale)?;
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for head in 0..HEADS {
        let (k, v) = (as_held(&k.get(head)?, dtype)?, as_held(&v.get(head)?, dtype)?);
        let (q, out) = (host(&q.get(head)?)?, host(&out.get(head)?)?);
        for row in rows {
            let row = row * HEAD_DIM..(row + 1) * HEAD_DIM;
            got.extend_from_slice(&out[row.clone()]);
            want.extend(exact(&q[row], &k, &v, |_| 0., scale));
        }
    }
    let most = if dtype == DType::F32 { 1e-4 } else { 1e-2 };
    Ok(Measure { figure: distance(&got, &want), limit: Limit::AtMost(most), otherwise: OTHERWISE })
}

/// `op(q, k, v, bias, scale)` with a bias per key, of which the last stands for many.
pub(super) fn check_bias(
    op: impl Fn(&Tensor, &Tensor, &Tensor, &Tensor, f64) -> Result<Tensor, ModelError>,
) -> Checked {
    let (queries, keys) = (700, 23);
    let q = normal(&[HEADS, queries, HEAD_DIM], 1)?;
    let (k, v) = (normal(&[HEADS, keys, HEAD_DIM], 2)?, normal(&[HEADS, keys, HEAD_DIM], 3)?);
    let (scale, many) = ((HEAD_DIM as f64).powf(-0.5), f64::from(490f32.ln()));
    let weigh = |key| if key + 1 == keys { many } else { 0. };
    let bias: Vec<f32> = (0..keys).map(|key| weigh(key) as f32).collect();
    let got = host(&op(&q, &k, &v, &Tensor::from_vec(bias, (1, 1, keys), &Device::Cpu)?, scale)?)?;
    let mut want = Vec::new();
    for head in 0..HEADS {
        let (q, k, v) = (host(&q.get(head)?)?, host(&k.get(head)?)?, host(&v.get(head)?)?);
        want.extend(q.chunks_exact(HEAD_DIM).flat_map(|q| exact(q, &k, &v, weigh, scale)));
    }
    let limit = Limit::AtMost(1e-4);
    Ok(Measure {
        figure: distance(&got, &want),
        limit,
        otherwise: "attention with weighed keys is wrong on this device",
    })
}

/// The definition, for one query.
fn exact(q: &[f64], k: &[f64], v: &[f64], bias: impl Fn(usize) -> f64, scale: f64) -> Vec<f64> {
    let dot = |k: &[f64]| q.iter().zip(k).map(|(a, b)| a * b).sum::<f64>();
    let scores = k.chunks_exact(HEAD_DIM).enumerate().map(|(key, k)| dot(k) * scale + bias(key));
    let weights: Vec<f64> = scores.map(f64::exp).collect();
    let sum: f64 = weights.iter().sum();
    let mut out = vec![0.; HEAD_DIM];
    for (weight, v) in weights.iter().zip(v.chunks_exact(HEAD_DIM)) {
        out.iter_mut().zip(v).for_each(|(out, v)| *out += weight / sum * v);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_model::ops::attention::attend;

    #[test]
    fn tiles_are_right_and_garbage_behind_them_is_seen() {
        let right = |q: &Tensor, k: &Tensor, v: &Tensor, scale| attend(q, k, v, None, scale);
        let measure = check(DType::F32, 53, right).unwrap();
        assert!(measure.holds(), "{measure:?}");
        let measure = check(DType::BF16, 53, |q, k, v, s| right(q, k, &v.to_dtype(DType::BF16)?, s)).unwrap();
        assert!(measure.holds(), "{measure:?}");
        // A kernel that writes nothing beyond row 15,360.
        let cut = |q: &Tensor, k: &Tensor, v: &Tensor, scale| {
            let (start, rest) = (15_360, QUERIES - 15_360);
            let out = right(q, k, v, scale)?.narrow(1, 0, start)?;
            Ok(Tensor::cat(&[out, Tensor::zeros((HEADS, rest, HEAD_DIM), DType::F32, &Device::Cpu)?], 1)?)
        };
        assert!(!check(DType::F32, 53, cut).unwrap().holds());
        assert!(!check(DType::F32, 53, |q, k, v, _| right(q, k, v, 1.)).unwrap().holds(), "the scale is lost");
    }

    #[test]
    fn keys_left_out_are_seen() {
        let right = |q: &Tensor, k: &Tensor, v: &Tensor, scale| attend(q, k, v, None, scale);
        let measure = check_keys(DType::F32, 1031, right).unwrap();
        assert!(measure.holds(), "{measure:?}");
        let first = |t: &Tensor| t.narrow(1, 0, 1024);
        assert!(!check_keys(DType::BF16, 1031, |q, k, v, s| right(q, &first(k)?, &first(v)?, s)).unwrap().holds());
    }

    #[test]
    fn a_lost_bias_is_seen() {
        let measure = check_bias(|q, k, v, bias, scale| attend(q, k, v, Some(bias), scale)).unwrap();
        assert!(measure.holds(), "{measure:?}");
        assert!(!check_bias(|q, k, v, _, scale| attend(q, k, v, None, scale)).unwrap().holds());
    }
}
