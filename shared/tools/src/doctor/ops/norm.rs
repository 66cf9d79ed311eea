//! Norms over a token of a 14B transformer, whose mean may be far larger than its spread, and over the pixels of a frame.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{distance, host, normal};
use wanfarm_model::ModelError;

const ROWS: usize = 33;
const DIM: usize = 5120;
/// Height, width and channels within an autoencoder.
const FRAME: [usize; 3] = [28, 44, 96];
const EPS: f64 = 1e-6;

/// `op(x, weight, eps)`.
pub(super) fn check_rms(op: impl Fn(&Tensor, &Tensor, f64) -> Result<Tensor, ModelError>) -> Checked {
    check(&[ROWS, DIM], |x| x, op)
}

/// `op(x, weight, eps)`, the RMS norm of the pixels of a frame and SiLU.
pub(super) fn check_pixels(op: impl Fn(&Tensor, &Tensor, f64) -> Result<Tensor, ModelError>) -> Checked {
    check(&FRAME, |x| x / (1. + (-x).exp()), op)
}

fn check(
    shape: &[usize],
    f: impl Fn(f64) -> f64,
    op: impl Fn(&Tensor, &Tensor, f64) -> Result<Tensor, ModelError>,
) -> Checked {
    let width = shape.last().copied().unwrap_or_default();
    let (x, weight) = (normal(shape, 1)?, normal(&[width], 2)?);
    let got = host(&op(&x, &weight, EPS)?)?;
    let (x, weight) = (host(&x)?, host(&weight)?);
    let norm = |row: &[f64]| {
        let root = (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + EPS).sqrt();
        row.iter().zip(&weight).map(|(x, weight)| f(x / root * weight)).collect::<Vec<_>>()
    };
    let want: Vec<f64> = x.chunks_exact(width).flat_map(norm).collect();
    let limit = Limit::AtMost(1e-5);
    Ok(Measure { figure: distance(&got, &want), limit, otherwise: "the RMS norm is wrong on this device" })
}

/// `op(x, weight, bias, eps)`.
pub(super) fn check_layer(op: impl Fn(&Tensor, &Tensor, &Tensor, f64) -> Result<Tensor, ModelError>) -> Checked {
    let x = (normal(&[ROWS, DIM], 1)? + 300.)?;
    let (weight, bias) = (normal(&[DIM], 2)?, normal(&[DIM], 3)?);
    let got = host(&op(&x, &weight, &bias, EPS)?)?;
    let (x, weight, bias) = (host(&x)?, host(&weight)?, host(&bias)?);
    let norm = |row: &[f64]| {
        let mean = row.iter().sum::<f64>() / DIM as f64;
        let root = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / DIM as f64 + EPS).sqrt();
        row.iter().zip(&weight).zip(&bias).map(|((x, w), b)| (x - mean) / root * w + b).collect::<Vec<_>>()
    };
    let want: Vec<f64> = x.chunks_exact(DIM).flat_map(norm).collect();
    Ok(Measure {
        figure: distance(&got, &want),
        limit: Limit::AtMost(1e-4),
        otherwise: "the layer norm is wrong on this device, perhaps only for a mean that is large beside the spread",
    })
}

#[cfg(test)]
mod tests {
    use candle_core::D;

    use super::*;
    use wanfarm_model::ops::norm::{layer_norm, rms_norm, rms_norm_silu};

    #[test]
    fn right_and_wrong_norms() {
        let measure = check_rms(rms_norm).unwrap();
        assert!(measure.holds(), "{measure:?}");
        assert!(!check_rms(|x, weight, eps| Ok((rms_norm(x, weight, eps)? * 1.0001)?)).unwrap().holds());
        let measure = check_pixels(rms_norm_silu).unwrap();
        assert!(measure.holds(), "{measure:?}");
        assert!(!check_pixels(rms_norm).unwrap().holds());
        let measure = check_layer(|x, weight, bias, eps| layer_norm(x, Some((weight, bias)), eps)).unwrap();
        assert!(measure.holds(), "{measure:?}");
        // E[x²] − E[x]² has few digits left.
        let one_pass = |x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64| {
            let mean = x.mean_keepdim(D::Minus1)?;
            let variance = (x.sqr()?.mean_keepdim(D::Minus1)? - mean.sqr()?)?;
            let x = x.broadcast_sub(&mean)?.broadcast_div(&(variance + eps)?.sqrt()?)?;
            Ok(x.broadcast_mul(weight)?.broadcast_add(bias)?)
        };
        assert!(!check_layer(one_pass).unwrap().holds());
    }
}
