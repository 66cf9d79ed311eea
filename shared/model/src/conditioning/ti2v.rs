//! How TI2V-5B is told of a first frame: the image covers the video's frame, and what lies beyond is cut off.

use candle_core::Tensor;

use super::{lanczos, rgb};
use crate::error::ModelError;
use wanfarm_image::RgbImage;

/// How an image covers a frame: the size it is resized to, and where the frame's corner lies in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// Pixels: width, height.
    pub size: [usize; 2],
    /// Pixels: x, y.
    pub corner: [usize; 2],
}

impl Cover {
    /// The smallest size that keeps the image's aspect and leaves nothing of the frame open; the frame is its middle.
    ///
    /// Source: Wan2.2@42bf4cf `wan/textimage2video.py#L464` `WanTI2V.i2v`.
    pub fn of(image: &RgbImage, width: usize, height: usize) -> Self {
        let sides = [(image.width(), width), (image.height(), height)];
        let scale = sides.map(|(of_image, of_frame)| of_frame as f64 / of_image as f64);
        let scale = scale[0].max(scale[1]);
        let size = sides.map(|(of_image, _)| (of_image as f64 * scale).round_ties_even() as usize);
        Self { size, corner: [size[0].saturating_sub(width) / 2, size[1].saturating_sub(height) / 2] }
    }
}

/// The image resized and cut to the video's size.
///
/// # Errors
/// A size of zero.
pub fn cut(image: &RgbImage, width: usize, height: usize) -> Result<RgbImage, ModelError> {
    let Cover { size, corner: [x, y] } = Cover::of(image, width, height);
    lanczos::resize(image, size, x..x + width, y..y + height)
}

/// The image as the first frame of the video.
///
/// # Shapes
/// f32 `(height, width, 3)`, on the CPU.
///
/// # Units
/// [−1, 1].
///
/// # Errors
/// A size of zero.
pub fn frame(image: &RgbImage, width: usize, height: usize) -> Result<Tensor, ModelError> {
    rgb::frame(&cut(image, width, height)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_cut_in_the_middle() {
        let cover = |from: (usize, usize), to: (usize, usize)| {
            let data = vec![0; from.0 * from.1 * 3];
            Cover::of(&RgbImage::new(from.0, from.1, data).unwrap(), to.0, to.1)
        };
        assert_eq!(cover((90, 61), (96, 64)), Cover { size: [96, 65], corner: [0, 0] });
        assert_eq!(cover((77, 131), (64, 96)), Cover { size: [64, 109], corner: [0, 6] });
        assert_eq!(cover((200, 50), (32, 32)), Cover { size: [128, 32], corner: [48, 0] });
        assert_eq!(cover((4, 10), (2, 3)), Cover { size: [2, 5], corner: [0, 1] });
        assert_eq!(cover((8, 4), (5, 1)).size, [5, 2], "half to even");
    }

    #[test]
    fn a_picture_larger_than_the_frame_is_its_middle() {
        // Three squares side by side; the frame is one of them.
        let data: Vec<u8> = (0..8).flat_map(|_| [[10; 24], [90; 24], [200; 24]].concat()).collect();
        let cut = cut(&RgbImage::new(24, 8, data).unwrap(), 8, 8).unwrap();
        assert_eq!(cut.data(), [90; 8 * 8 * 3]);
    }
}
