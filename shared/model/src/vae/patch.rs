//! Wan2.2 folds squares of pixels into channels before its encoder, and back behind its decoder.
//!
//! Source: Wan2.2@42bf4cf `wan/modules/vae2_2.py` `patchify`, `unpatchify`: `(c r q)`, `r` along the width.

use candle_core::Tensor;

use crate::error::ModelError;

/// `(height, width, c)` → `(height / patch, width / patch, c · patch²)`.
pub(crate) fn patchify(frame: &Tensor, patch: usize) -> Result<Tensor, ModelError> {
    let (height, width, channels) = frame.dims3()?;
    let (height, width) = (height / patch, width / patch);
    let blocks = frame.reshape(vec![height, patch, width, patch, channels])?;
    Ok(blocks.permute(vec![0, 2, 4, 3, 1])?.contiguous()?.reshape((height, width, channels * patch * patch))?)
}

/// The inverse of [`patchify`].
pub(crate) fn unpatchify(frame: &Tensor, patch: usize) -> Result<Tensor, ModelError> {
    let (height, width, channels) = frame.dims3()?;
    let channels = channels / (patch * patch);
    let blocks = frame.reshape(vec![height, width, channels, patch, patch])?;
    Ok(blocks.permute(vec![0, 4, 1, 3, 2])?.contiguous()?.reshape((height * patch, width * patch, channels))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn columns_vary_slower_than_rows() {
        let frame = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((2, 2, 3)).unwrap();
        let folded = patchify(&frame, 2).unwrap();
        let want = [0., 6., 3., 9., 1., 7., 4., 10., 2., 8., 5., 11.];
        assert_eq!(folded.flatten_all().unwrap().to_vec1::<f32>().unwrap(), want);
        let back = unpatchify(&folded, 2).unwrap();
        assert_eq!(back.to_vec3::<f32>().unwrap(), frame.to_vec3::<f32>().unwrap());
    }
}
