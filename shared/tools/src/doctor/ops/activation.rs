//! Softmax, GELU and SiLU far out, where kernels overflow.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{host, normal};
use wanfarm_model::ModelError;

const ROWS: usize = 64;
const DIM: usize = 5120;

/// `op(x)` over the last dimension.
pub(super) fn check_softmax(op: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Checked {
    // Scores up to some 200 apart, about another value in each row.
    let shift = (normal(&[ROWS, 1], 2)? * 500.)?;
    let x = (normal(&[ROWS, DIM], 1)? * 25.)?.broadcast_add(&shift)?;
    let got = host(&op(&x)?)?;
    let softmax = |row: &[f64]| {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - most).exp()).sum();
        row.iter().map(|x| (x - most).exp() / sum).collect::<Vec<_>>()
    };
    let want: Vec<f64> = host(&x)?.chunks_exact(DIM).flat_map(softmax).collect();
    Ok(judge(&got, &want))
}

/// `op(x)`, the tanh approximation.
pub(super) fn check_gelu(op: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Checked {
    let gelu = |x: f64| x / 2. * (1. + (std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    check(gelu, op)
}

/// `op(x)`.
pub(super) fn check_silu(op: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Checked {
    check(|x| x / (1. + (-x).exp()), op)
}

fn check(f: impl Fn(f64) -> f64, op: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Checked {
    let x = normal(&[ROWS, DIM], 1)?;
    let x = Tensor::cat(&[&x, &(&x * 30.)?], 0)?;
    let got = host(&op(&x)?)?;
    let want: Vec<f64> = host(&x)?.into_iter().map(f).collect();
    Ok(judge(&got, &want))
}

/// The worst difference, relative where values are large.
fn judge(got: &[f64], want: &[f64]) -> Measure {
    let worst = got.iter().zip(want).map(|(got, want)| (got - want).abs() / want.abs().max(1.));
    // Unlike `f64::max`, this keeps what is not a number.
    let worst = worst.fold(0f64, |worst, off| if off <= worst || worst.is_nan() { worst } else { off });
    Measure {
        figure: if got.len() == want.len() { worst } else { f64::INFINITY },
        limit: Limit::AtMost(1e-5),
        otherwise: "the function is inexact or overflows on this device; fast mathematics may be on, or it is another form",
    }
}

#[cfg(test)]
mod tests {
    use candle_core::D;
    use candle_nn::ops::{silu, softmax_last_dim};

    use super::*;

    #[test]
    fn right_and_wrong_functions() {
        for measure in [
            check_softmax(|x| Ok(softmax_last_dim(x)?)).unwrap(),
            check_gelu(|x| Ok(x.gelu()?)).unwrap(),
            check_silu(|x| Ok(silu(x)?)).unwrap(),
        ] {
            assert!(measure.holds(), "{measure:?}");
        }
        let naive = |x: &Tensor| Ok(x.exp()?.broadcast_div(&x.exp()?.sum_keepdim(D::Minus1)?)?);
        assert!(!check_softmax(naive).unwrap().holds(), "it overflows");
        assert!(!check_gelu(|x| Ok(x.gelu_erf()?)).unwrap().holds(), "the exact one is another network");
        assert!(!check_silu(|x| Ok(x.relu()?)).unwrap().holds());
    }
}
