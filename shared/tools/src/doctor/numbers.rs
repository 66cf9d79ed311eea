//! Numbers for checks: reproducible tensors, tensors as f64, and how far one is from another.

use candle_core::{DType, Device, Tensor};
use wanfarm_sampling::randn;

use wanfarm_model::ModelError;

/// Standard normal values on the CPU; the same for the same seed.
pub(super) fn normal(shape: &[usize], seed: u64) -> Result<Tensor, ModelError> {
    Ok(Tensor::from_vec(randn(seed, shape.iter().product()), shape, &Device::Cpu)?)
}

/// A tensor as the device holds it in `dtype`, widened to f64 on the CPU, row-major.
pub(super) fn as_held(tensor: &Tensor, dtype: DType) -> Result<Vec<f64>, ModelError> {
    host(&tensor.to_dtype(dtype)?)
}

/// A tensor's values on the CPU, row-major.
pub(super) fn host(tensor: &Tensor) -> Result<Vec<f64>, ModelError> {
    Ok(host_f32(tensor)?.into_iter().map(f64::from).collect())
}

/// The same in f32.
pub(super) fn host_f32(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    tensor.device().synchronize()?;
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// ‖got − want‖ / ‖want‖; infinite if their lengths differ.
pub(super) fn distance(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let difference: f64 = got.iter().zip(want).map(|(got, want)| (got - want).powi(2)).sum();
    let size: f64 = want.iter().map(|want| want * want).sum();
    (difference / size).sqrt()
}

/// ‖a − b‖ / ‖b‖ of tensors.
pub(super) fn apart(a: &Tensor, b: &Tensor) -> Result<f64, ModelError> {
    Ok(distance(&host(a)?, &host(b)?))
}
