//! RMS norm and SiLU of pixels.

use candle_core::{DType, Tensor};

use super::{Grid, Kernel, THREADS, dense, fits, number};
use crate::error::ModelError;

/// Pixels of a threadgroup, each of which has a simdgroup.
const PIXELS: usize = THREADS / 32;

#[repr(C)]
struct Parameters {
    channels: u32,
    pixels: u32,
    eps: f32,
}

/// SiLU of `x / √(mean(x²) + eps) · weight`; `None` for operands it does not take.
///
/// # Shapes
/// f32 `x` `(…, channels)`, `weight` `(channels)` → f32 `(…, channels)`.
pub(in crate::ops) fn silu(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Option<Tensor>, ModelError> {
    let [.., channels] = *x.dims() else { return Ok(None) };
    let countable = (1..1 << 31).contains(&x.elem_count());
    if !x.device().is_metal() || !countable || x.dtype() != DType::F32 || !fits(weight, x, &[channels]) {
        return Ok(None);
    }
    let (x, weight, pixels) = (dense(x)?, dense(weight)?, x.elem_count() / channels);
    let parameters = Parameters { channels: number(channels)?, pixels: number(pixels)?, eps: eps as f32 };
    let kernel = Kernel::new(include_str!("silu.metal"), "silu", &[]);
    let grid = Grid::Rows { rows: pixels.div_ceil(PIXELS), threads: THREADS };
    kernel.run(&[Some(&x), Some(&weight)], (x.shape(), DType::F32), &parameters, grid).map(Some)
}
