//! A branch added to the tokens.

use candle_core::{DType, Tensor};

use super::{GROUP, Grid, Kernel, number, stride, takes};
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
/// `x` f32 and `y` `(rows, n)`, `bias` `(n)`, `gate` f32 of one row or of as many → f32 `(rows, n)`.
pub(in crate::ops) fn residual(
    x: &Tensor,
    y: &Tensor,
    bias: Option<&Tensor>,
    gate: Option<&Tensor>,
) -> Result<Option<Tensor>, ModelError> {
    let (rows, width) = x.dims2()?;
    if !takes(x) || !takes(y) || x.dtype() != DType::F32 || y.dims() != x.dims() {
        return Ok(None);
    }
    let (x, y, groups) = (x.contiguous()?, y.contiguous()?, width / GROUP);
    let gate = gate.map(Tensor::contiguous).transpose()?;
    let parameters = Parameters {
        groups: number(groups),
        rows: number(rows),
        biased: u32::from(bias.is_some()),
        gated: u32::from(gate.is_some()),
        gate_stride: gate.as_ref().map_or(0, |gate| stride(gate, groups)),
    };
    let inputs = [Some(&x), Some(&y), bias, gate.as_ref()];
    let kernel =
        Kernel::new(concat!(include_str!("four.metal"), include_str!("residual.metal")), "residual", &[y.dtype()]);
    kernel.run(&inputs, ((rows, width), DType::F32), &parameters, Grid::Groups { groups, rows }).map(Some)
}
