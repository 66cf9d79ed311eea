//! Layer norm and modulation.

use candle_core::{DType, Tensor};

use super::{GROUP, Grid, Kernel, dense, number, stride, takes, threads};
use crate::error::ModelError;

const SOURCE: &str = concat!(include_str!("four.metal"), include_str!("sum.metal"), include_str!("norm.metal"));

#[repr(C)]
struct Parameters {
    groups: u32,
    scale_stride: u32,
    shift_stride: u32,
    one: f32,
    eps: f32,
}

/// `(x − mean) / √(variance + eps) · (one + scale) + shift` in `dtype`; `None` for operands it does not take.
///
/// # Shapes
/// `x` f32 `(rows, n)`, `scale` and `shift` f32 of one row or of as many → `(rows, n)`.
pub(in crate::ops) fn norm(
    x: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    (one, eps): (f64, f64),
    dtype: DType,
) -> Result<Option<Tensor>, ModelError> {
    let &[rows, width] = x.dims() else { return Ok(None) };
    let groups = width / GROUP;
    let known = takes(x, dtype) && x.dtype() == DType::F32;
    let Some(threads) = threads(groups).filter(|_| known) else { return Ok(None) };
    let (Some(scale_stride), Some(shift_stride)) = (stride(scale, x)?, stride(shift, x)?) else { return Ok(None) };
    let (x, scale, shift) = (dense(x)?, dense(scale)?, dense(shift)?);
    let parameters =
        Parameters { groups: number(groups)?, scale_stride, shift_stride, one: one as f32, eps: eps as f32 };
    let kernel = Kernel::new(SOURCE, "norm", &[dtype]);
    let grid = Grid::Rows { rows, threads };
    kernel.run(&[Some(&x), Some(&scale), Some(&shift)], ((rows, width), dtype), &parameters, grid).map(Some)
}
