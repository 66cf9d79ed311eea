//! A convolution as one operation, where a device has one.

use candle_core::Tensor;

use super::window::Window;
use crate::error::ModelError;

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
