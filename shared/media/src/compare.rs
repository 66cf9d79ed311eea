//! How far one clip is from another: peak signal-to-noise ratio. Structural similarity is not here (`ssim`).

use serde::{Deserialize, Serialize};

use crate::{Frames, MediaError};

/// PSNR in dB over 8-bit samples; `None` where the clips are identical (infinitely good).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Psnr {
    /// Over all samples of the clip.
    pub clip: Option<f64>,
    /// Of each frame.
    pub frames: Vec<Option<f64>>,
}

/// Compares two clips sample by sample.
///
/// # Errors
/// [`MediaError::Unequal`] if their shapes differ.
pub fn psnr(left: &Frames<'_>, right: &Frames<'_>) -> Result<Psnr, MediaError> {
    if left.shape() != right.shape() {
        return Err(MediaError::Unequal { left: left.shape(), right: right.shape() });
    }
    let errors: Vec<u64> = left.iter().zip(right.iter()).map(|(a, b)| squared_error(a, b)).collect();
    let samples = left.frame(0).len();
    Ok(Psnr {
        clip: decibels(errors.iter().sum(), left.data().len()),
        frames: errors.into_iter().map(|error| decibels(error, samples)).collect(),
    })
}

pub(crate) fn squared_error(left: &[u8], right: &[u8]) -> u64 {
    left.iter().zip(right).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum()
}

pub(crate) fn decibels(squared_error: u64, samples: usize) -> Option<f64> {
    (squared_error > 0).then(|| 10.0 * (255.0 * 255.0 * samples as f64 / squared_error as f64).log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances() {
        let black = vec![0u8; 2 * 4 * 4 * 3];
        let mut other = black.clone();
        other[48..].fill(255);
        let black = Frames::new(&black, 2, 4, 4).unwrap();
        let other = Frames::new(&other, 2, 4, 4).unwrap();
        assert_eq!(psnr(&black, &black).unwrap(), Psnr { clip: None, frames: vec![None; 2] });
        let result = psnr(&black, &other).unwrap();
        assert_eq!(result.frames, [None, Some(0.0)]);
        assert!((result.clip.unwrap() - 3.0103).abs() < 1e-4);
        assert!(psnr(&black, &Frames::new(other.data(), 1, 8, 4).unwrap()).is_err());
    }

    #[test]
    fn one_level_off_is_48_db() {
        let (a, b) = ([7u8; 12], [8u8; 12]);
        let result = psnr(&Frames::new(&a, 1, 2, 2).unwrap(), &Frames::new(&b, 1, 2, 2).unwrap()).unwrap();
        assert!((result.clip.unwrap() - 48.1308).abs() < 1e-4);
    }
}
