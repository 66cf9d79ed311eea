//! The bicubic stretch of torch, on the CPU: four taps a side, whatever the scale.
//!
//! Not antialiased: shrinking skips pixels, as the reference does. Not clamped: values may leave [−1, 1].

use candle_core::{Device, Tensor};

use wanfarm_image::RgbImage;

use super::rgb::scaled;
use crate::error::ModelError;

/// Of the cubic kernel.
const A: f32 = -0.75;

/// What one output pixel reads along one axis.
struct CubicTaps {
    at: [usize; 4],
    weights: [f32; 4],
}

/// Stretches a picture to another size, aspect and all.
///
/// # Shapes
/// f32 `(height, width, 3)`, on the CPU.
///
/// # Units
/// [−1, 1] and a little beyond.
///
/// # Errors
/// None but those of memory.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py#L313` `torch.nn.functional.interpolate(…, mode='bicubic')`, which is
/// PyTorch's `aten/src/ATen/native/UpSample.h` `area_pixel_compute_source_index`, `get_cubic_upsample_coefficients`.
pub(super) fn stretch(image: &RgbImage, width: usize, height: usize) -> Result<Tensor, ModelError> {
    let columns: Vec<CubicTaps> = taps(image.width(), width).collect();
    let mut values = Vec::with_capacity(width * height * 3);
    for row in taps(image.height(), height) {
        for column in &columns {
            for channel in 0..3 {
                let pixel = |x: usize, y: usize| scaled(image.pixel(x, y)[channel]);
                let along_x = |y: usize| dot(column.weights, column.at.map(|x| pixel(x, y)));
                values.push(dot(row.weights, row.at.map(along_x)));
            }
        }
    }
    Ok(Tensor::from_vec(values, (height, width, 3), &Device::Cpu)?)
}

fn dot(weights: [f32; 4], values: [f32; 4]) -> f32 {
    weights.into_iter().zip(values).fold(0., |sum, (weight, value)| sum + weight * value)
}

/// Positions are computed in f32, as the reference does: in f64 they would be better, and the pixels others.
fn taps(input: usize, output: usize) -> impl Iterator<Item = CubicTaps> {
    let scale = input as f32 / output as f32;
    (0..output).map(move |index| {
        let position = scale * (index as f32 + 0.5) - 0.5;
        let first = position.floor();
        let t = (position - first).clamp(0., 1.);
        let last = input as isize - 1;
        let at = [-1, 0, 1, 2].map(|offset| (first as isize + offset).clamp(0, last) as usize);
        CubicTaps { at, weights: [outer(t + 1.), inner(t), inner(1. - t), outer(2. - t)] }
    })
}

/// The kernel within one pixel of its centre.
fn inner(x: f32) -> f32 {
    ((A + 2.) * x - (A + 3.)) * x * x + 1.
}

/// The kernel between one pixel and two.
fn outer(x: f32) -> f32 {
    ((A * x - 5. * A) * x + 8. * A) * x - 4. * A
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretched(data: &[u8], size: (usize, usize), to: (usize, usize)) -> Vec<f32> {
        let image = RgbImage::new(size.0, size.1, data.to_vec()).unwrap();
        let frame = stretch(&image, to.0, to.1).unwrap();
        assert_eq!(frame.dims(), [to.1, to.0, 3]);
        frame.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let data: Vec<u8> = (0..60).map(|i| (i * 37 % 256) as u8).collect();
        let want: Vec<f32> = data.iter().map(|&byte| scaled(byte)).collect();
        assert_eq!(stretched(&data, (5, 4), (5, 4)), want);
    }

    #[test]
    fn edges_overshoot_and_are_not_clamped() {
        let data = [[0; 3], [0; 3], [255; 3], [255; 3]].concat();
        let wide = stretched(&data, (4, 1), (16, 2));
        assert!(wide.iter().any(|&value| value > 1.01) && wide.iter().any(|&value| value < -1.01), "{wide:?}");
    }

    #[test]
    fn shrinking_skips_pixels() {
        // Every eighth column is bright; of eight, the four in the middle are read.
        let data: Vec<u8> = (0..64).flat_map(|x| [if x % 8 == 0 { 255 } else { 0 }; 3]).collect();
        assert!(stretched(&data, (64, 1), (8, 1)).iter().all(|&value| value == -1.));
    }
}
