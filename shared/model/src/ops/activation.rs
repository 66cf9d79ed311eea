//! Nonlinearities, in f32.

use std::f64::consts::FRAC_2_SQRT_PI;

use candle_core::{DType, Tensor};

use super::product::Product;
use super::rows::map_rows;
use crate::error::ModelError;

/// GELU of a product.
///
/// # Shapes
/// `(n, m)` → `(n, m)`: f32, or `dtype` where that costs nothing.
///
/// # Errors
/// A device out of memory.
pub fn gelu_of(x: &Product, dtype: DType) -> Result<Tensor, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if let Some(y) = super::metal::gelu(&x.rows, x.bias.as_ref(), dtype)? {
        return Ok(y);
    }
    let _ = dtype;
    gelu(&x.finish()?)
}

/// GELU by its tanh formula. On the CPU it is rounded once.
///
/// # Shapes
/// f32 `(…)` → f32 `(…)`.
///
/// # Errors
/// A device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py#L201` `nn.GELU(approximate='tanh')`.
pub fn gelu(x: &Tensor) -> Result<Tensor, ModelError> {
    if !x.device().is_cpu() {
        return Ok(x.gelu()?);
    }
    map_rows(x, |x, y| y.iter_mut().zip(x).for_each(|(y, &x)| *y = exact(f64::from(x)) as f32))
}

fn exact(x: f64) -> f64 {
    let inner = FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 * (x + 0.044715 * x * x * x);
    0.5 * x * (1. + inner.tanh())
}

/// What is below zero becomes zero. Unlike candle's own it keeps what is no number, so that a broken network is seen.
///
/// # Shapes
/// f32 `(…)` → f32 `(…)`.
///
/// # Errors
/// A device out of memory.
pub fn relu(x: &Tensor) -> Result<Tensor, ModelError> {
    // Twice a number and half of that are exact.
    Ok(((x + x.abs()?)? * 0.5)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn relu_keeps_what_is_no_number() {
        let x = Tensor::new(&[-3f32, -0., 1e-40, 0.1, f32::NAN], &Device::Cpu).unwrap();
        let y = relu(&x).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(y[..4], [0., 0., 1e-40, 0.1]);
        assert!(y[4].is_nan());
    }

    #[test]
    fn is_the_tanh_formula() {
        let x = Tensor::new(&[-3f32, -1., 0., 0.5, 2.], &Device::Cpu).unwrap();
        // torch.nn.functional.gelu(x, approximate="tanh") in f64.
        let want = [-0.003637392081773013, -0.15880800939172324, 0., 0.34571400982514394, 1.954597694087775];
        for (got, want) in gelu(&x).unwrap().to_vec1::<f32>().unwrap().iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 6e-8 * want.abs(), "{got} is not {want}");
        }
    }
}
