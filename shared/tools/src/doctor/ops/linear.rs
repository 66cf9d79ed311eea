//! Linear layers, as wide as those of a 14B transformer.

use candle_core::{DType, Tensor};

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{as_held, distance, host, normal};
use wanfarm_model::ModelError;

/// Not a multiple of any tile.
const ROWS: usize = 37;
const INNER: usize = 5120;
const OUT: usize = 1279;

/// `op(x, weight, bias)` with weight `(out, in)`, multiplied in `dtype`.
pub(super) fn check(dtype: DType, op: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor, ModelError>) -> Checked {
    // A view that is not dense, as slices of a chunk may be.
    let x = normal(&[INNER, ROWS], 1)?.t()?;
    let weight = (normal(&[OUT, INNER], 2)? * (INNER as f64).powf(-0.5))?;
    let bias = normal(&[OUT], 3)?;
    let got = host(&op(&x, &weight, &bias)?)?;
    let (x, weight, bias) = (as_held(&x, dtype)?, as_held(&weight, dtype)?, host(&bias)?);
    let dot = |row: &[f64], column: &[f64]| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
    let want: Vec<f64> = x
        .chunks_exact(INNER)
        .flat_map(|row| weight.chunks_exact(INNER).zip(&bias).map(move |(column, bias)| dot(row, column) + bias))
        .collect();
    let most = if dtype == DType::F32 { 1e-5 } else { 5e-3 };
    Ok(Measure {
        figure: distance(&got, &want),
        limit: Limit::AtMost(most),
        otherwise: "matrix products are wrong on this device: nothing computed here can be trusted",
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use wanfarm_model::layers::Linear;

    #[test]
    fn right_and_wrong_products() {
        for dtype in [DType::F32, DType::BF16] {
            let right = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
                Linear::new(weight.to_dtype(dtype)?, Some(bias.clone())).forward(x)
            };
            let measure = check(dtype, right).unwrap();
            assert!(measure.holds(), "{measure:?}");
            assert!(!check(dtype, |x, w, b| Ok((right(x, w, b)? * 1.01)?)).unwrap().holds());
            assert!(!check(dtype, |x, w, b| right(x, w, &b.zeros_like()?)).unwrap().holds());
            // A kernel that takes the transposed view for dense memory.
            let dense = |x: &Tensor| {
                Ok::<_, ModelError>(Tensor::from_vec(x.t()?.flatten_all()?.to_vec1::<f32>()?, x.shape(), &Device::Cpu)?)
            };
            assert!(!check(dtype, |x, w, b| right(&dense(x)?, w, b)).unwrap().holds());
        }
        // Half precision where full was asked for.
        let narrow =
            |x: &Tensor, w: &Tensor, b: &Tensor| Linear::new(w.to_dtype(DType::BF16)?, Some(b.clone())).forward(x);
        assert!(!check(DType::F32, narrow).unwrap().holds());
    }
}
