//! A picture in memory.

use crate::ImageError;

/// An 8-bit RGB picture, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl RgbImage {
    /// `data` is row by row, three bytes a pixel.
    ///
    /// # Errors
    /// No pixels, or another number of bytes than those of the size.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if data.is_empty() || bytes != Some(data.len()) {
            let why = format!("{} bytes are not a picture of {width}x{height} RGB pixels", data.len());
            return Err(ImageError { name: "of these bytes".to_owned(), why });
        }
        Ok(Self { width, height, data })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Three bytes a pixel.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The three bytes of a pixel.
    pub fn pixel(&self, x: usize, y: usize) -> &[u8] {
        let at = (y * self.width + x) * 3;
        &self.data[at..at + 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_be_those_of_the_size() {
        let fault = |width, height, bytes| RgbImage::new(width, height, vec![0; bytes]).unwrap_err().to_string();
        assert!(fault(2, 2, 11).contains("11 bytes are not a picture of 2x2"));
        assert!(RgbImage::new(0, 2, vec![]).is_err());
        assert!(RgbImage::new(usize::MAX, 2, vec![0; 6]).is_err());
    }
}
