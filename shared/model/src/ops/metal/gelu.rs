//! GELU of a product.

use candle_core::{DType, Tensor};

use super::{GROUP, Grid, Kernel, dense, dense_if, fits, number, takes};
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
/// `y` `(rows, n)`, `bias` f32 `(n)` → `(rows, n)`.
pub(in crate::ops) fn gelu(y: &Tensor, bias: Option<&Tensor>, dtype: DType) -> Result<Option<Tensor>, ModelError> {
    let &[rows, width] = y.dims() else { return Ok(None) };
    if !takes(y, dtype) || !fits(bias, y, &[width]) {
        return Ok(None);
    }
    let (y, bias, groups) = (dense(y)?, dense_if(bias)?, width / GROUP);
    let parameters = Parameters { groups: number(groups)?, rows: number(rows)?, biased: u32::from(bias.is_some()) };
    let kernel =
        Kernel::new(concat!(include_str!("four.metal"), include_str!("gelu.metal")), "gelu", &[y.dtype(), dtype]);
    let grid = Grid::Groups { groups, rows };
    kernel.run(&[Some(&y), bias.as_ref()], ((rows, width), dtype), &parameters, grid).map(Some)
}
