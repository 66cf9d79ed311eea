//! A branch added to the tokens.

use candle_core::{DType, Tensor};

use super::{GROUP, Grid, Kernel, dense, dense_if, fits, number, stride, takes};
use crate::error::ModelError;

#[repr(C)]
struct Parameters {
    groups: u32,
    rows: u32,
    biased: u32,
    gated: u32,
    gate_stride: u32,
}

/// `x + (y + bias) · gate`; `None` for operands it does not take.
///
/// # Shapes
/// `x` f32 and `y` `(rows, n)`, `bias` f32 `(n)`, `gate` f32 of one row or of as many → f32 `(rows, n)`.
pub(in crate::ops) fn residual(
    x: &Tensor,
    y: &Tensor,
    bias: Option<&Tensor>,
    gate: Option<&Tensor>,
) -> Result<Option<Tensor>, ModelError> {
    let &[rows, width] = x.dims() else { return Ok(None) };
    let known = takes(x, DType::F32) && x.dtype() == DType::F32 && takes(y, DType::F32);
    if !known || y.dims() != x.dims() || !y.device().same_device(x.device()) || !fits(bias, x, &[width]) {
        return Ok(None);
    }
    let Some(gate_stride) = gate.map_or(Ok(Some(0)), |gate| stride(gate, x))? else { return Ok(None) };
    let (x, y, bias, gate, groups) = (dense(x)?, dense(y)?, dense_if(bias)?, dense_if(gate)?, width / GROUP);
    let parameters = Parameters {
        groups: number(groups)?,
        rows: number(rows)?,
        biased: u32::from(bias.is_some()),
        gated: u32::from(gate.is_some()),
        gate_stride,
    };
    let inputs = [Some(&x), Some(&y), bias.as_ref(), gate.as_ref()];
    let kernel =
        Kernel::new(concat!(include_str!("four.metal"), include_str!("residual.metal")), "residual", &[y.dtype()]);
    kernel.run(&inputs, ((rows, width), DType::F32), &parameters, Grid::Groups { groups, rows }).map(Some)
}
