//! The ways around a resampling group of Wan2.2, without parameters: averaging down, duplicating up.
//!
//! Source: Wan2.2@42bf4cf `wan/modules/vae2_2.py` `AvgDown3D`, `DupUp3D`. There a chunk that does not fill the factor
//! in time gets zero frames in front; only the first frame is such a chunk.

use candle_core::{D, Tensor};

use super::blueprint;
use super::cache::{FeatureCache, SlotId, Slots};
use crate::error::ModelError;

#[derive(Debug)]
pub(crate) struct Shortcut {
    spec: blueprint::ShortcutSpec,
    slot: SlotId,
}

impl Shortcut {
    /// # Errors
    /// Widths that cannot be averaged or duplicated into each other.
    pub(crate) fn new(spec: blueprint::ShortcutSpec, slots: &mut Slots) -> Result<Self, ModelError> {
        let blueprint::ShortcutSpec { up, input, output, factor_t, factor_s } = spec;
        let factor = factor_t * factor_s * factor_s;
        let (many, few) = if up { (output * factor, input) } else { (input * factor, output) };
        if few == 0 || many % few != 0 {
            let why = format!("{input} channels resampled by {factor} do not make {output}");
            return Err(ModelError::input("autoencoder", why));
        }
        Ok(Self { spec, slot: slots.next() })
    }

    /// The frames that this one completes.
    pub(crate) fn push(&self, frame: &Tensor, cache: &mut FeatureCache) -> Result<Vec<Tensor>, ModelError> {
        let slot = cache.slot(self.slot);
        let first = slot.is_first();
        if self.spec.up {
            // Nothing was before the first frame: only the last of its duplicates is there.
            let from = if first { self.spec.factor_t - 1 } else { 0 };
            return (from..self.spec.factor_t).map(|t| self.duplicate(frame, t)).collect();
        }
        if self.spec.factor_t == 1 {
            return Ok(vec![self.average(&[frame])?]);
        }
        let before = if first { Some(frame.zeros_like()?) } else { slot.held.take() };
        match before {
            Some(before) => Ok(vec![self.average(&[&before, frame])?]),
            None => {
                slot.held = Some(frame.clone());
                Ok(Vec::new())
            }
        }
    }

    /// `AvgDown3D`: the mean over groups of neighbouring channels, frames and pixels, in that order.
    fn average(&self, frames: &[&Tensor]) -> Result<Tensor, ModelError> {
        let blueprint::ShortcutSpec { input, output, factor_t, factor_s, .. } = self.spec;
        let (height, width, _) = frames[0].dims3()?;
        let (height, width) = (height / factor_s, width / factor_s);
        let group = input * factor_t * factor_s * factor_s / output;
        let by_pixel = |frame: &&Tensor| -> Result<Tensor, ModelError> {
            let blocks = frame.reshape(vec![height, factor_s, width, factor_s, input])?;
            let blocks = blocks.permute(vec![0, 2, 4, 1, 3])?.contiguous()?;
            Ok(blocks.reshape((height, width, input, factor_s * factor_s))?)
        };
        let frames = frames.iter().map(by_pixel).collect::<Result<Vec<_>, _>>()?;
        // (height, width, input, factor_t, factor_s²): channels vary slowest, so a group is contiguous.
        let blocks = Tensor::stack(&frames, 3)?.reshape((height, width, output, group))?;
        Ok(blocks.mean(D::Minus1)?)
    }

    /// `DupUp3D`: frame `t` of those that one frame becomes.
    fn duplicate(&self, frame: &Tensor, t: usize) -> Result<Tensor, ModelError> {
        let blueprint::ShortcutSpec { input, output, factor_t, factor_s, .. } = self.spec;
        let (height, width, _) = frame.dims3()?;
        let repeats = output * factor_t * factor_s * factor_s / input;
        let repeated = frame.unsqueeze(3)?.broadcast_as((height, width, input, repeats))?.contiguous()?;
        let blocks = repeated.reshape((height * width, output, factor_t, factor_s * factor_s))?.narrow(2, t, 1)?;
        let blocks = blocks.contiguous()?.reshape(vec![height, width, output, factor_s, factor_s])?;
        let blocks = blocks.permute(vec![0, 3, 1, 4, 2])?.contiguous()?;
        Ok(blocks.reshape((height * factor_s, width * factor_s, output))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn frame(height: usize, width: usize, channels: usize, from: f32) -> Tensor {
        let count = height * width * channels;
        let data = (0..count).map(|i| from + i as f32).collect();
        Tensor::from_vec(data, (height, width, channels), &Device::Cpu).unwrap()
    }

    fn shortcut(up: bool, input: usize, output: usize, factor_t: usize, factor_s: usize) -> Shortcut {
        let spec = blueprint::ShortcutSpec { up, input, output, factor_t, factor_s };
        Shortcut::new(spec, &mut Slots::default()).unwrap()
    }

    fn values(frames: Vec<Tensor>) -> Vec<Vec<f32>> {
        frames.iter().map(|frame| frame.flatten_all().unwrap().to_vec1().unwrap()).collect()
    }

    #[test]
    fn averages_pairs_after_the_first_frame() {
        // One channel of 2×2 pixels in two frames makes two channels: the mean of the earlier frame, then of the later.
        let down = shortcut(false, 1, 2, 2, 2);
        let mut cache = FeatureCache::default();
        let mut push = |from| values(down.push(&frame(2, 2, 1, from), &mut cache).unwrap());
        assert_eq!(push(10.), [[0., 11.5]], "zeros stand before the first frame");
        assert!(push(20.).is_empty());
        assert_eq!(push(30.), [[21.5, 31.5]]);
        assert!(push(40.).is_empty());
        assert_eq!(push(50.), [[41.5, 51.5]]);
    }

    #[test]
    fn groups_are_of_channels_before_pixels() {
        // Two channels of 1×1 pixels into one; four channels of 2×2 pixels into two.
        assert_eq!(values(vec![shortcut(false, 2, 1, 1, 1).average(&[&frame(1, 1, 2, 1.)]).unwrap()]), [[1.5]]);
        let four = frame(2, 2, 4, 0.);
        // Channel c of pixel p is 4p + c: the first group is channels 0 and 1 over all pixels.
        assert_eq!(values(vec![shortcut(false, 4, 2, 1, 2).average(&[&four]).unwrap()]), [[6.5, 8.5]]);
    }

    #[test]
    fn duplicates_once_for_the_first_frame() {
        // Two channels into one, twice the frames: the earlier frame from channel 0, the later from channel 1.
        let up = shortcut(true, 2, 1, 2, 2);
        let mut cache = FeatureCache::default();
        let mut push = |from| values(up.push(&frame(1, 1, 2, from), &mut cache).unwrap());
        assert_eq!(push(10.), [[11.; 4]]);
        assert_eq!(push(20.), [[20.; 4], [21.; 4]]);
    }

    #[test]
    fn duplicates_into_the_right_pixels() {
        // Four channels into one: channel c goes to pixel (c / 2, c % 2).
        let up = shortcut(true, 4, 1, 1, 2);
        let spread = up.duplicate(&frame(1, 2, 4, 0.), 0).unwrap().squeeze(2).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(spread, [[0., 1., 4., 5.], [2., 3., 6., 7.]]);
    }

    #[test]
    fn widths_must_fit() {
        let spec = blueprint::ShortcutSpec { up: false, input: 3, output: 7, factor_t: 2, factor_s: 2 };
        assert!(Shortcut::new(spec, &mut Slots::default()).is_err());
    }
}
