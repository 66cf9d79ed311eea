//! Work over a frame in bands of rows, so that what is computed and used again right away stays in a core's cache, and
//! no intermediate is as large as the frame.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::ModelError;

/// Elements of a band of the result on the CPU, where each band is one core's. candle starts to share element-wise work
/// between cores at twice as many, by spinning threads, which several workers on one machine pay dearly for.
const CPU_BAND: usize = 1 << 15;
/// The same on a GPU: enough to keep it busy, few enough that no buffer meets a 32-bit index.
const GPU_BAND: usize = 1 << 25;

/// A frame put together from bands: `band(top, rows)` computes rows `top..top + rows` of it.
///
/// # Shapes
/// `shape` is `(height, width, channels)` of the result in f32; a band is `(rows, width, channels)`.
///
/// # Errors
/// Those of `band`, or a device out of memory.
pub fn by_bands(
    shape: (usize, usize, usize),
    device: &Device,
    band: impl Fn(usize, usize) -> Result<Tensor, ModelError> + Sync,
) -> Result<Tensor, ModelError> {
    by_bands_of(if device.is_cpu() { CPU_BAND } else { GPU_BAND }, shape, device, band)
}

fn by_bands_of(
    elements: usize,
    (height, width, channels): (usize, usize, usize),
    device: &Device,
    band: impl Fn(usize, usize) -> Result<Tensor, ModelError> + Sync,
) -> Result<Tensor, ModelError> {
    let rows = (elements / (width * channels).max(1)).max(1);
    if rows >= height {
        return band(0, height);
    }
    let whole = Tensor::zeros((height, width, channels), DType::F32, device)?;
    let put = |top| -> Result<(), ModelError> {
        let band = band(top, rows.min(height - top))?;
        Ok(whole.slice_set(&band.contiguous()?, 0, top)?)
    };
    // One thread feeds a GPU.
    if device.is_cpu() {
        (0..height).into_par_iter().step_by(rows).try_for_each(put)?;
    } else {
        (0..height).step_by(rows).try_for_each(put)?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_make_the_frame() {
        let frame = Tensor::arange(0f32, 42., &Device::Cpu).unwrap().reshape((7, 3, 2)).unwrap();
        for elements in [0, 6, 7, 12, 24, 41, 42, usize::MAX] {
            let band = |top, rows| Ok(frame.narrow(0, top, rows)?);
            let whole = by_bands_of(elements, (7, 3, 2), &Device::Cpu, band).unwrap();
            assert_eq!(whole.to_vec3::<f32>().unwrap(), frame.to_vec3::<f32>().unwrap(), "{elements}");
        }
        let refused = by_bands_of(6, (7, 3, 2), &Device::Cpu, |top, rows| {
            if top == 4 { Err(ModelError::input("frame", "no")) } else { Ok(frame.narrow(0, top, rows)?) }
        });
        assert!(refused.is_err());
    }
}
