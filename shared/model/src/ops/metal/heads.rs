//! Rows of channels to heads.

use candle_core::{DType, Tensor};

use super::{GROUP, Grid, Kernel, dense, dense_if, fits, number, takes, threads};
use crate::error::ModelError;

const SOURCE: &str = concat!(include_str!("four.metal"), include_str!("sum.metal"), include_str!("heads.metal"));

#[repr(C)]
struct Parameters {
    groups: u32,
    head: u32,
    tokens: u32,
    biased: u32,
    normed: u32,
    turned: u32,
    eps: f32,
    factor: f32,
}

/// `x + bias`, normalised by the RMS of all channels, turned, multiplied and split, in `dtype`; `None` for operands it does
/// not take.
///
/// # Shapes
/// `x` `(tokens, dim)`; in f32 `bias` `(dim)`, weight of the norm `(dim)`, cosines and sines `(tokens, dim / heads / 2)` →
/// `(heads, tokens, dim / heads)`.
pub(in crate::ops) fn heads(
    x: &Tensor,
    bias: Option<&Tensor>,
    norm: Option<(&Tensor, f64)>,
    turn: Option<(&Tensor, &Tensor)>,
    (heads, factor): (usize, f64),
    dtype: DType,
) -> Result<Option<Tensor>, ModelError> {
    let &[tokens, dim] = x.dims() else { return Ok(None) };
    let (groups, head) = (dim / GROUP, dim / heads.max(1));
    let (weight, (cos, sin)) = (norm.map(|(weight, _)| weight), turn.unzip());
    let whole = takes(x, dtype) && head * heads == dim && head.is_multiple_of(GROUP);
    let fit = fits(bias, x, &[dim]) && fits(weight, x, &[dim]);
    let turns = fits(cos, x, &[tokens, head / 2]) && fits(sin, x, &[tokens, head / 2]);
    let Some(threads) = threads(groups).filter(|_| whole && fit && turns) else { return Ok(None) };
    let parameters = Parameters {
        groups: number(groups)?,
        head: number(head / GROUP)?,
        tokens: number(tokens)?,
        biased: u32::from(bias.is_some()),
        normed: u32::from(norm.is_some()),
        turned: u32::from(turn.is_some()),
        eps: norm.map_or(0., |(_, eps)| eps as f32),
        factor: factor as f32,
    };
    let (x, bias, weight) = (dense(x)?, dense_if(bias)?, dense_if(weight)?);
    let (cos, sin) = (dense_if(cos)?, dense_if(sin)?);
    let inputs = [Some(&x), bias.as_ref(), weight.as_ref(), cos.as_ref(), sin.as_ref()];
    let kernel = Kernel::new(SOURCE, "heads", &[x.dtype(), dtype]);
    let grid = Grid::Rows { rows: tokens, threads };
    kernel.run(&inputs, ((heads, tokens, head), dtype), &parameters, grid).map(Some)
}
