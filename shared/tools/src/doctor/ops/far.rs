//! Rows that lie further from the start of their buffer than 32 bits count.

use candle_core::{DType, Device, Tensor};

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{distance, host, normal};
use wanfarm_model::ModelError;

const ROWS: usize = 37;
const WIDTH: usize = 4096;
/// Rows before them: 2³¹ numbers in bf16.
const BEFORE: usize = (1 << 31) / WIDTH;
/// Memory that the buffer takes, which is made a power of two of bytes.
pub(super) const BYTES: u64 = 8 << 30;

/// `op(rows)`, GELU of a part of a tensor.
pub(super) fn check(device: &Device, op: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Checked {
    check_behind(BEFORE, device, op)
}

fn check_behind(before: usize, device: &Device, op: impl Fn(&Tensor) -> Result<Tensor, ModelError>) -> Checked {
    let x = normal(&[ROWS, WIDTH], 1)?.to_dtype(DType::BF16)?;
    let whole = Tensor::zeros((before + ROWS, WIDTH), DType::BF16, device)?;
    whole.slice_set(&x.to_device(device)?, 0, before)?;
    let got = host(&op(&whole.narrow(0, before, ROWS)?)?)?;
    let gelu = |x: f64| x / 2. * (1. + (std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    let want: Vec<f64> = host(&x)?.into_iter().map(gelu).collect();
    Ok(Measure {
        figure: distance(&got, &want),
        limit: Limit::AtMost(1e-5),
        otherwise: "parts of large tensors are read or written at wrong places: render smaller or shorter videos here",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_model::ops::activation::gelu;

    #[test]
    fn what_is_read_elsewhere_is_caught() {
        let right = |x: &Tensor| gelu(&x.to_dtype(DType::F32)?);
        assert!(check_behind(3, &Device::Cpu, right).unwrap().holds());
        assert!(!check_behind(3, &Device::Cpu, |x| right(&x.zeros_like()?)).unwrap().holds());
    }
}
