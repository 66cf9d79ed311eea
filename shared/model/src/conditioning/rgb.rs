//! A picture as the networks take it.

use candle_core::{Device, Tensor};
use wanfarm_image::RgbImage;

use crate::error::ModelError;

/// A picture as a frame.
///
/// # Shapes
/// f32 `(height, width, 3)`, on the CPU.
///
/// # Units
/// [−1, 1].
///
/// # Errors
/// None but those of memory.
pub(super) fn frame(image: &RgbImage) -> Result<Tensor, ModelError> {
    let values: Vec<f32> = image.data().iter().map(|&byte| scaled(byte)).collect();
    Ok(Tensor::from_vec(values, (image.height(), image.width(), 3), &Device::Cpu)?)
}

/// A byte in [−1, 1], through the roundings of the reference.
///
/// Source: Wan2.2@42bf4cf `wan/image2video.py` `TF.to_tensor(img).sub_(0.5).div_(0.5)`.
pub(super) fn scaled(byte: u8) -> f32 {
    (f32::from(byte) / 255. - 0.5) / 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_span_the_range_of_a_frame() {
        let frame = frame(&RgbImage::new(2, 1, vec![0, 51, 102, 153, 204, 255]).unwrap()).unwrap();
        assert_eq!(frame.dims(), [1, 2, 3]);
        let values = frame.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (value, want) in values.iter().zip([-1., -0.6, -0.2, 0.2, 0.6, 1.]) {
            assert!((value - want).abs() < 1e-6, "{values:?}");
        }
    }
}
