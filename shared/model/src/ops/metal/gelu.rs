//! GELU of a product.

use candle_core::{DType, Tensor};

use super::{GROUP, Grid, Kernel, number, takes};
use crate::error::ModelError;

#[repr(C)]
struct Parameters {
    groups: u32,
    rows: u32,
    biased: u32,
}

/// GELU of `y + bias` by its tanh formula, in `dtype`; `None` for operands it does not take.
///
/// # Shapes
/// `y` `(rows, n)`, `bias` `(n)` → `(rows, n)`.
pub(in crate::ops) fn gelu(y: &Tensor, bias: Option<&Tensor>, dtype: DType) -> Result<Option<Tensor>, ModelError> {
    let (rows, width) = y.dims2()?;
    if !takes(y) {
        return Ok(None);
    }
    let (y, groups) = (y.contiguous()?, width / GROUP);
    let parameters = Parameters { groups: number(groups), rows: number(rows), biased: u32::from(bias.is_some()) };
    let kernel =
        Kernel::new(concat!(include_str!("four.metal"), include_str!("gelu.metal")), "gelu", &[y.dtype(), dtype]);
    let grid = Grid::Groups { groups, rows };
    kernel.run(&[Some(&y), bias], ((rows, width), dtype), &parameters, grid).map(Some)
}
