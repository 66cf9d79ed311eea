//! A convolution as one operation, where a device has one.

use candle_core::Tensor;

use crate::error::ModelError;

/// How a kernel lies in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// 1×1.
    Point,
    /// 3×3, stride 1, one zero pixel around the frame.
    Same,
    /// The same over a frame of twice the size, in which each pixel is four.
    Doubling,
    /// 3×3, stride 2, one zero pixel on the right and at the bottom only.
    Halving,
}

impl Window {
    /// Size of the output for a frame of `(height, width)`.
    pub(crate) fn size(self, (height, width): (usize, usize)) -> Result<(usize, usize), ModelError> {
        match self {
            Window::Point | Window::Same => Ok((height, width)),
            Window::Doubling => Ok((2 * height, 2 * width)),
            Window::Halving if height % 2 == 0 && width % 2 == 0 => Ok((height / 2, width / 2)),
            Window::Halving => {
                let why = format!("a frame of {width}x{height} cannot be halved; both must be even");
                Err(ModelError::input("convolution", why))
            }
        }
    }
}

/// The convolution of the last of `frames` with those before it; `None` where it has to be put together from products.
///
/// # Shapes
/// Frames f32 `(height, width, in)`, oldest first, `weight` f32 `(frames, side, side · in, out)`, `bias` `(out)` → f32
/// `(height', width', out)`.
pub(crate) fn whole(
    frames: &[&Tensor],
    weight: &Tensor,
    bias: &Tensor,
    window: Window,
) -> Result<Option<Tensor>, ModelError> {
    #[cfg(any(target_os = "macos", feature = "metal"))]
    if let Some(sum) = super::metal::conv(frames, weight, bias, window)? {
        return Ok(Some(sum));
    }
    let _ = (frames, weight, bias, window);
    Ok(None)
}
