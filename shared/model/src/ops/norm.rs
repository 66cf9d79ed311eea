//! RMS and layer normalisation over the last dimension: f32 in, f32 out. On the CPU sums are taken in f64 and the
//! result is rounded once; elsewhere everything is f32.
//!
//! Not here: the VAE's norm, which divides by the L2 norm.

use candle_core::{D, DType, Tensor};

use super::bands::by_bands;
use super::rows::map_rows;
use crate::error::ModelError;

/// `x / √(mean(x²) + eps) · weight`.
///
/// # Shapes
/// `x` `(…, n)`, `weight` `(n)` → f32 `(…, n)`.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py` `WanRMSNorm`, `wan/modules/t5.py` `T5LayerNorm`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, ModelError> {
    let x = x.to_dtype(DType::F32)?.contiguous()?;
    let weight = weight.to_dtype(DType::F32)?.contiguous()?;
    if x.device().is_cpu() {
        return Ok(normalised(&x, false, eps)?.broadcast_mul(&weight)?);
    }
    Ok(candle_nn::ops::rms_norm(&x, &weight, eps as f32)?)
}

/// [`rms_norm`] and SiLU of the pixels of a frame.
///
/// # Shapes
/// f32 `x` `(height, width, n)`, `weight` `(n)` → f32 `(height, width, n)`.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/modules/vae2_1.py` `ResidualBlock`.
pub fn rms_norm_silu(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if let Some(y) = super::metal::silu(x, weight, eps)? {
        return Ok(y);
    }
    by_bands(x.dims3()?, x.device(), |top, rows| Ok(rms_norm(&x.narrow(0, top, rows)?, weight, eps)?.silu()?))
}

/// `(x − mean) / √(variance + eps)`, then `· weight + bias` if given.
///
/// Mean first, then the variance of the difference: the one-pass form E\[x²\] − E\[x\]² that some backends use loses
/// all digits when the mean is large, and backends would not agree.
///
/// # Shapes
/// `x` `(…, n)`, `weight` and `bias` `(n)` → f32 `(…, n)`.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
///
/// Source: Wan2.2@42bf4cf `wan/modules/model.py` `WanLayerNorm`.
pub fn layer_norm(x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f64) -> Result<Tensor, ModelError> {
    let x = x.to_dtype(DType::F32)?;
    let x = if x.device().is_cpu() {
        normalised(&x, true, eps)?
    } else {
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
        x.broadcast_div(&deviation)?
    };
    Ok(match affine {
        Some((weight, bias)) => x.broadcast_mul(weight)?.broadcast_add(bias)?,
        None => x,
    })
}

/// Layer norm and `· (1 + scale) + shift`.
///
/// # Shapes
/// `x` f32 `(n, dim)`, `scale` and `shift` f32 `(n or 1, dim)` → `(n, dim)`: f32, or `dtype` where that costs nothing.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
pub fn modulated_norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    eps: f64,
    dtype: DType,
) -> Result<Tensor, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if let Some(y) = super::metal::norm(x, scale, shift, (1., eps), dtype)? {
        return Ok(y);
    }
    let _ = dtype;
    Ok(layer_norm(x, None, eps)?.broadcast_mul(&(scale + 1.)?)?.broadcast_add(shift)?)
}

/// Layer norm, weight and bias.
///
/// # Shapes
/// As of [`modulated_norm`].
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
pub fn affine_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64, dtype: DType) -> Result<Tensor, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if let Some(y) = super::metal::norm(x, weight, bias, (0., eps), dtype)? {
        return Ok(y);
    }
    let _ = dtype;
    layer_norm(x, Some((weight, bias)), eps)
}

/// Rows on the CPU, less their mean if `centred`, divided by their deviation.
fn normalised(x: &Tensor, centred: bool, eps: f64) -> Result<Tensor, ModelError> {
    map_rows(x, |x, y| {
        let mean_of = |f: &dyn Fn(f64) -> f64| x.iter().map(|&x| f(f64::from(x))).sum::<f64>() / x.len() as f64;
        let mean = if centred { mean_of(&|x| x) } else { 0. };
        let scale = 1. / (mean_of(&|x| (x - mean) * (x - mean)) + eps).sqrt();
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = ((f64::from(x) - mean) * scale) as f32);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Worst absolute difference from the same norm in f64.
    fn worst(got: &Tensor, want: impl Fn(&[f64]) -> Vec<f64>, x: &[Vec<f32>]) -> f64 {
        let got = got.to_vec2::<f32>().unwrap();
        let mut worst = 0f64;
        for (got, x) in got.iter().zip(x) {
            let want = want(&x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
            worst = got.iter().zip(&want).fold(worst, |worst, (&g, w)| worst.max((f64::from(g) - w).abs()));
        }
        worst
    }

    /// Rows with a large mean and a small spread.
    fn rows() -> Vec<Vec<f32>> {
        (0..40).map(|r| (0..96).map(|c| 1000. + ((r * 31 + c * 17) % 23) as f32 / 8.).collect()).collect()
    }

    #[test]
    fn layer_norm_survives_a_large_mean() {
        let rows = rows();
        let x = Tensor::new(rows.clone(), &Device::Cpu).unwrap();
        let want = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
            x.iter().map(|v| (v - mean) / (variance + 1e-6).sqrt()).collect()
        };
        // The one-pass form is off by more than 0.1 here.
        assert!(worst(&layer_norm(&x, None, 1e-6).unwrap(), want, &rows) < 1e-4);
    }

    #[test]
    fn affine_comes_after() {
        let x = Tensor::new(&[[1f32, 3.]], &Device::Cpu).unwrap();
        let weight = Tensor::new(&[2f32, 3.], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[10f32, 20.], &Device::Cpu).unwrap();
        let y = layer_norm(&x, Some((&weight, &bias)), 0.).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[8., 23.]]);
    }

    #[test]
    fn rms_norm_divides_by_the_root_of_the_mean_square() {
        let rows = rows();
        let x = Tensor::new(rows.clone(), &Device::Cpu).unwrap();
        let weight = Tensor::new(vec![0.5f32; 96], &Device::Cpu).unwrap();
        let want = |x: &[f64]| {
            let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
            x.iter().map(|v| v / (mean + 1e-6).sqrt() * 0.5).collect()
        };
        assert!(worst(&rms_norm(&x, &weight, 1e-6).unwrap(), want, &rows) < 1e-6);
    }
}
