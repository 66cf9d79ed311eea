//! An 8-bit RGB picture as the networks take it. Not how it was read.

use candle_core::{Device, Tensor};

use crate::error::ModelError;

/// A picture in memory.
#[derive(Debug, Clone, Copy)]
pub struct Rgb8<'a> {
    width: usize,
    height: usize,
    data: &'a [u8],
}

impl<'a> Rgb8<'a> {
    /// `data` is row by row, three bytes a pixel.
    ///
    /// # Errors
    /// No pixels, or another number of bytes than those of the size.
    pub fn new(width: usize, height: usize, data: &'a [u8]) -> Result<Self, ModelError> {
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if data.is_empty() || bytes != Some(data.len()) {
            let why = format!("{} bytes are not a picture of {width}x{height} RGB pixels", data.len());
            return Err(ModelError::input("image", why));
        }
        Ok(Self { width, height, data })
    }

    /// Pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The three bytes of a pixel.
    pub(super) fn pixel(&self, x: usize, y: usize) -> &'a [u8] {
        let at = (y * self.width + x) * 3;
        &self.data[at..at + 3]
    }

    /// The picture as a frame.
    ///
    /// # Shapes
    /// f32 `(height, width, 3)`, on the CPU.
    ///
    /// # Units
    /// [−1, 1].
    ///
    /// # Errors
    /// None but those of memory.
    pub fn frame(&self) -> Result<Tensor, ModelError> {
        let values: Vec<f32> = self.data.iter().map(|&byte| scaled(byte)).collect();
        Ok(Tensor::from_vec(values, (self.height, self.width, 3), &Device::Cpu)?)
    }
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
        let frame = Rgb8::new(2, 1, &[0, 51, 102, 153, 204, 255]).unwrap().frame().unwrap();
        assert_eq!(frame.dims(), [1, 2, 3]);
        let values = frame.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (value, want) in values.iter().zip([-1., -0.6, -0.2, 0.2, 0.6, 1.]) {
            assert!((value - want).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn bytes_must_be_those_of_the_size() {
        assert!(Rgb8::new(2, 2, &[0; 11]).unwrap_err().to_string().contains("11 bytes are not a picture of 2x2"));
        assert!(Rgb8::new(0, 2, &[]).is_err());
        assert!(Rgb8::new(usize::MAX, 2, &[0; 6]).is_err());
    }
}
