//! Convolutions of frames.

use candle_core::{DType, Tensor};

use super::{Grid, Kernel, dense, fits, number};
use crate::error::ModelError;
use crate::ops::window::Window;

const SOURCE: &str = include_str!("conv.metal");
/// Frames that the kernel reads.
const FRAMES: usize = 3;
/// Pixels of a threadgroup's results, and its threads.
const PIXELS: usize = 64;
const THREADS: usize = 128;

#[repr(C)]
struct Parameters {
    height: u32,
    width: u32,
    inner: u32,
    out_width: u32,
    pixels: u32,
    outer: u32,
    frames: u32,
    first: u32,
    side: u32,
    stride: u32,
    margin: u32,
    scale: u32,
}

/// The convolution of the last of `frames`, of which as many are there as the kernel reaches back, or fewer; `None` for
/// operands it does not take.
///
/// # Shapes
/// Frames f32 `(height, width, in)`, `weight` f32 `(frames, side, side · in, out)`, `bias` `(out)` → f32
/// `(height', width', out)`.
pub(in crate::ops) fn conv(
    frames: &[&Tensor],
    weight: &Tensor,
    bias: &Tensor,
    window: Window,
) -> Result<Option<Tensor>, ModelError> {
    let Some(&now) = frames.last().filter(|now| now.device().is_metal()) else { return Ok(None) };
    let (&[height, width, inner], &[reach, side, _, outer]) = (now.dims(), weight.dims()) else { return Ok(None) };
    let (stride, margin, scale, wanted) = match window {
        Window::Point => (1, 0, 1, 1),
        Window::Same => (1, 1, 1, 3),
        Window::Doubling => (1, 1, 2, 3),
        Window::Halving => (2, 0, 1, 3),
    };
    let all_alike = frames.iter().all(|frame| fits(*frame, now, now.dims()));
    let fit = fits(weight, now, &[reach, wanted, wanted * inner, outer]) && fits(bias, now, &[outer]);
    if !all_alike || !fit || frames.len() > reach.min(FRAMES) {
        return Ok(None);
    }
    let (out_height, out_width) = window.size((height, width))?;
    let pixels = out_height * out_width;
    let countable = 1..1 << 31;
    if ![now.elem_count(), weight.elem_count(), pixels * outer].iter().all(|count| countable.contains(count)) {
        return Ok(None);
    }
    let parameters = Parameters {
        height: number(height)?,
        width: number(width)?,
        inner: number(inner)?,
        out_width: number(out_width)?,
        pixels: number(pixels)?,
        outer: number(outer)?,
        frames: number(frames.len())?,
        first: number(reach - frames.len())?,
        side: number(side)?,
        stride,
        margin,
        scale,
    };
    let (name, outs) = if outer <= 16 { ("conv_narrow", 16) } else { ("conv_wide", 64) };
    let frames = frames.iter().map(|frame| dense(frame)).collect::<Result<Vec<_>, _>>()?;
    let (weight, bias) = (dense(weight)?, dense(bias)?);
    let inputs = [frames.first(), frames.get(1), frames.get(2), Some(&weight), Some(&bias)];
    let grid = Grid::Tiles { across: outer.div_ceil(outs), down: pixels.div_ceil(PIXELS), threads: THREADS };
    let kernel = Kernel::new(SOURCE, name, &[]);
    kernel.run(&inputs, ((out_height, out_width, outer), DType::F32), &parameters, grid).map(Some)
}
