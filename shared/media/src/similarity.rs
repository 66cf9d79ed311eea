//! Similarity of two clips, frame by frame: structural similarity of the luma, and peak signal-to-noise ratio of
//! the RGB samples.

use serde::{Deserialize, Serialize};

use crate::compare::{decibels, squared_error};
use crate::ssim::{WINDOW, ssim};
use crate::{Clip, MediaError};

/// Similarity of two frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrameSimilarity {
    /// Mean structural similarity; 1 where they are equal.
    pub ssim: f64,
    /// In dB; `None` where they are equal.
    pub psnr: Option<f64>,
}

/// Similarity of two clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// Mean over the frames.
    pub ssim: f64,
    /// That of the worst frame.
    pub ssim_min: f64,
    /// In dB, over all samples of the clip; `None` where the clips are equal.
    pub psnr: Option<f64>,
    /// In dB, of the worst frame.
    pub psnr_min: Option<f64>,
    /// Each frame's.
    pub frames: Vec<FrameSimilarity>,
}

impl Similarity {
    /// Compares two clips.
    ///
    /// # Errors
    /// [`MediaError::Unequal`] if their sizes or lengths differ, [`MediaError::Clip`] if their frames are too small or one
    /// cannot be read.
    pub fn between(left: &mut Clip, right: &mut Clip) -> Result<Self, MediaError> {
        let lengths = [left.left(), right.left()];
        let (mut frames, mut errors, mut samples) = (Vec::new(), 0, 0);
        let mut unequal = None;
        while let (Some(a), Some(b)) = (left.next_frame()?, right.next_frame()?) {
            let shapes = [lengths[0], a.height(), a.width(), lengths[1], b.height(), b.width()];
            if shapes[..3] != shapes[3..] {
                let [frames, height, width, others @ ..] = shapes;
                unequal = Some(MediaError::Unequal { left: [frames, height, width], right: others });
                break;
            }
            if a.width().min(a.height()) < WINDOW {
                let why = format!("frames of {}x{} are smaller than {WINDOW} pixels a side", a.width(), a.height());
                return Err(MediaError::clip(left.path(), why));
            }
            let error = squared_error(a.data(), b.data());
            (errors, samples) = (errors + error, samples + a.data().len());
            let ssim = ssim(a.data(), b.data(), a.width(), a.height());
            frames.push(FrameSimilarity { ssim, psnr: decibels(error, a.data().len()) });
        }
        if let Some(unequal) = unequal {
            return Err(unequal);
        }
        if frames.is_empty() || frames.len() != lengths[0] {
            return Err(MediaError::clip(left.path(), format!("only {} of its frames can be read", frames.len())));
        }
        let least = |value: fn(&FrameSimilarity) -> f64| frames.iter().map(value).fold(f64::INFINITY, f64::min);
        let psnr_min = least(|frame| frame.psnr.unwrap_or(f64::INFINITY));
        Ok(Self {
            ssim: frames.iter().map(|frame| frame.ssim).sum::<f64>() / frames.len() as f64,
            ssim_min: least(|frame| frame.ssim),
            psnr: decibels(errors, samples),
            psnr_min: psnr_min.is_finite().then_some(psnr_min),
            frames,
        })
    }
}
