//! How the kernel of a convolution lies in a frame.

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
