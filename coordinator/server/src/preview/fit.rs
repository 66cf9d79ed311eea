//! How latents look: a linear map from their channels at a place to red, green and blue, fitted by least squares to videos
//! that were decoded. Pure.

use wanfarm_media::Frames;

/// Places of one video that a fit takes in, at most.
const PLACES: usize = 4096;
/// Added to the diagonal, relative to its mean: channels that say the same are shared out instead of blown up.
const RIDGE: f64 = 1e-6;

/// Latents of a video, `[channels, frames, height, width]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latents<'a> {
    values: &'a [f32],
    pub(crate) shape: [usize; 4],
}

impl<'a> Latents<'a> {
    /// `None` if there are not as many values as the shape says, or it has none.
    pub(crate) fn new(values: &'a [f32], shape: [usize; 4]) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
        (count > 0 && count == values.len()).then_some(Self { values, shape })
    }

    /// The channels at a place.
    pub(crate) fn at(&self, [frame, y, x]: [usize; 3]) -> impl Iterator<Item = f32> {
        let [channels, frames, height, width] = self.shape;
        let (place, plane) = ((frame * height + y) * width + x, frames * height * width);
        let values = self.values;
        (0..channels).filter_map(move |channel| values.get(channel * plane + place).copied())
    }
}

/// The sums of a fit; a channel that is always 1 stands behind the others.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    /// Row by row.
    inputs: Vec<f64>,
    colours: Vec<[f64; 3]>,
    squares: f64,
    places: f64,
    /// Videos taken in.
    pub(crate) videos: u32,
}

/// What a fit comes to.
#[derive(Debug, Clone)]
pub(crate) struct ColourMap {
    /// For each channel and for the one that is always 1.
    weights: Vec<[f32; 3]>,
    /// Root of the mean square by which a colour is off, in levels of 255.
    pub(crate) off: f64,
}

impl Fit {
    pub(crate) fn new(channels: usize) -> Self {
        let side = channels + 1;
        Self { inputs: vec![0.0; side * side], colours: vec![[0.0; 3]; side], squares: 0.0, places: 0.0, videos: 0 }
    }

    /// Takes in a decoded video: each latent stands for the mean of the pixels and frames it was decoded to. Frames of
    /// another size than the latents' add nothing.
    pub(crate) fn learn(&mut self, latents: Latents<'_>, frames: &Frames<'_>) {
        let [channels, count, height, width] = latents.shape;
        let Some(grid) = Grid::of(latents.shape, frames) else { return };
        if channels + 1 != self.colours.len() {
            return;
        }
        let places = count * height * width;
        // An odd stride does not walk down a column.
        let stride = places.div_ceil(PLACES) | 1;
        for place in (0..places).step_by(stride) {
            let at = [place / (height * width), place / width % height, place % width];
            let input: Vec<f64> = latents.at(at).map(f64::from).chain([1.0]).collect();
            if input.iter().all(|value| value.is_finite()) {
                self.add(&input, grid.mean(frames, at));
            }
        }
        self.videos += 1;
    }

    fn add(&mut self, input: &[f64], colour: [f64; 3]) {
        let side = input.len();
        for (row, &a) in self.inputs.chunks_exact_mut(side).zip(input) {
            row.iter_mut().zip(input).for_each(|(sum, &b)| *sum += a * b);
        }
        for (sums, &a) in self.colours.iter_mut().zip(input) {
            sums.iter_mut().zip(colour).for_each(|(sum, level)| *sum += a * level);
        }
        self.squares += colour.iter().map(|level| level * level).sum::<f64>();
        self.places += 1.0;
    }

    /// The map; `None` while there is too little to fit it to.
    pub(crate) fn map(&self) -> Option<ColourMap> {
        let side = self.colours.len();
        if self.places < 2.0 * side as f64 {
            return None;
        }
        let mut rows: Vec<Vec<f64>> = self.inputs.chunks_exact(side).map(<[f64]>::to_vec).collect();
        let mean = (0..side).map(|i| rows[i][i]).sum::<f64>() / side as f64;
        (0..side).for_each(|i| rows[i][i] += RIDGE * mean);
        let weights = solve(rows, self.colours.clone())?;
        // |Xw - y|² = yy - 2 w·Xy + w·XXw.
        let mut off = self.squares;
        for (i, (w, xy)) in weights.iter().zip(&self.colours).enumerate() {
            for level in 0..3 {
                let row = &self.inputs[i * side..][..side];
                let xxw: f64 = row.iter().zip(&weights).map(|(sum, other)| sum * other[level]).sum();
                off += w[level] * (xxw - 2.0 * xy[level]);
            }
        }
        let off = (off.max(0.0) / (3.0 * self.places)).sqrt();
        Some(ColourMap { weights: weights.iter().map(|w| w.map(|value| value as f32)).collect(), off })
    }
}

impl ColourMap {
    /// The channels that it is for.
    pub(crate) fn channels(&self) -> usize {
        self.weights.len().saturating_sub(1)
    }

    /// The colour of a place.
    pub(crate) fn colour(&self, channels: impl Iterator<Item = f32>) -> [u8; 3] {
        let mut sums = [0f32; 3];
        for (value, weights) in channels.chain([1.0]).zip(&self.weights) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
        // Not a number is black.
        sums.map(|level| level.round().clamp(0.0, 255.0) as u8)
    }
}

/// How many pixels and frames a latent stands for. The first frame of latents is a single frame.
struct Grid {
    side: [usize; 2],
    frames: usize,
}

impl Grid {
    fn of([_, count, height, width]: [usize; 4], frames: &Frames<'_>) -> Option<Self> {
        let divide = |whole: usize, by: usize| (by > 0 && whole > 0 && whole.is_multiple_of(by)).then(|| whole / by);
        let later = match count {
            1 if frames.count() == 1 => 1,
            count => divide(frames.count().checked_sub(1)?, count.checked_sub(1)?)?,
        };
        let side = [divide(frames.height(), height)?, divide(frames.width(), width)?];
        Some(Self { side, frames: later })
    }

    /// The mean colour, in levels of 255.
    fn mean(&self, frames: &Frames<'_>, [frame, y, x]: [usize; 3]) -> [f64; 3] {
        let those = if frame == 0 { 0..1 } else { (frame - 1) * self.frames + 1..frame * self.frames + 1 };
        let (mut sums, mut count) = ([0u64; 3], 0u64);
        for frame in those {
            let frame = frames.frame(frame);
            for line in y * self.side[0]..(y + 1) * self.side[0] {
                let start = (line * frames.width() + x * self.side[1]) * 3;
                for pixel in frame.get(start..start + self.side[1] * 3).unwrap_or_default().chunks_exact(3) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &level)| *sum += u64::from(level));
                    count += 1;
                }
            }
        }
        sums.map(|sum| sum as f64 / count.max(1) as f64)
    }
}

/// Gauss's elimination of a symmetric system with three right-hand sides.
fn solve(mut rows: Vec<Vec<f64>>, mut right: Vec<[f64; 3]>) -> Option<Vec<[f64; 3]>> {
    let side = rows.len();
    for step in 0..side {
        let best = (step..side).max_by(|&a, &b| rows[a][step].abs().total_cmp(&rows[b][step].abs()))?;
        rows.swap(step, best);
        right.swap(step, best);
        let (pivot, known) = (rows[step].clone(), right[step]);
        if !pivot[step].is_normal() {
            return None;
        }
        for row in (0..side).filter(|&row| row != step) {
            let factor = rows[row][step] / pivot[step];
            rows[row].iter_mut().zip(&pivot).for_each(|(value, above)| *value -= factor * above);
            right[row].iter_mut().zip(known).for_each(|(value, above)| *value -= factor * above);
        }
    }
    Some((0..side).map(|row| right[row].map(|value| value / rows[row][row])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels of a video of 5 latent frames, 6 by 4, that are no linear function of one another.
    fn latents(seed: u32) -> Vec<f32> {
        let wave = |i: u32| ((f64::from(i * 7 + seed) * 0.734).sin() * (f64::from(i) * 0.191).cos()) as f32;
        (0..3 * 5 * 6 * 4).map(wave).collect()
    }

    const SHAPE: [usize; 4] = [3, 5, 6, 4];

    fn colour(channels: &[f32]) -> [f64; 3] {
        let [a, b, c] = channels[..] else { panic!("three channels") };
        [128.0 + 40.0 * a, 100.0 - 30.0 * b + 20.0 * c, 60.0 + 25.0 * a + 25.0 * b].map(f64::from)
    }

    /// What a decoder makes of them: 17 frames of 48 by 32.
    fn decoded(latents: Latents<'_>) -> Vec<u8> {
        let mut frames = Vec::new();
        for frame in 0..17usize {
            for y in 0..48 {
                for x in 0..32 {
                    let channels: Vec<f32> = latents.at([frame.div_ceil(4), y / 8, x / 8]).collect();
                    frames.extend(colour(&channels).map(|level| level.round() as u8));
                }
            }
        }
        frames
    }

    #[test]
    fn what_is_linear_is_found_whichever_frame_and_place() {
        let mut fit = Fit::new(3);
        for seed in [1, 2] {
            let values = latents(seed);
            let latents = Latents::new(&values, SHAPE).unwrap();
            let bytes = decoded(latents);
            fit.learn(latents, &Frames::new(&bytes, 17, 48, 32).unwrap());
        }
        let map = fit.map().unwrap();
        assert!(map.off < 0.5, "only rounding is left: {}", map.off);
        let values = latents(9);
        let other = Latents::new(&values, SHAPE).unwrap();
        for at in [[0, 0, 0], [1, 5, 3], [4, 2, 1]] {
            let channels: Vec<f32> = other.at(at).collect();
            let (got, want) = (map.colour(other.at(at)), colour(&channels));
            assert!(got.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() <= 1.5), "{got:?} {want:?}");
        }
    }

    /// Those of Wan 2.1, 16 channels for 8 by 8 pixels, and of TI2V-5B, 48 for 16 by 16.
    #[test]
    fn both_latent_spaces_are_fitted() {
        for (channels, side) in [(16, 8), (48, 16)] {
            let shape = [channels, 5, 6, 4];
            let noise = |n: usize| (n as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
            let unit = |n: usize| f64::from(noise(n)) / f64::from(u32::MAX) - 0.5;
            let level = |values: &[f32], colour: usize| {
                let parts = values.iter().enumerate().map(|(at, value)| unit(91 * at + colour) * f64::from(*value));
                (128.0 + 30.0 * parts.sum::<f64>()).round() as u8
            };
            let mut fit = Fit::new(channels);
            for seed in 1..5 {
                let values: Vec<f32> = (0..channels * 120).map(|at| unit(7919 * seed + 31 * at) as f32).collect();
                let latents = Latents::new(&values, shape).unwrap();
                let mut bytes = Vec::new();
                for (frame, y, x) in
                    (0..17).flat_map(|f| (0..6 * side).flat_map(move |y| (0..4 * side).map(move |x| (f, y, x))))
                {
                    let at: Vec<f32> = latents.at([usize::div_ceil(frame, 4), y / side, x / side]).collect();
                    bytes.extend((0..3).map(|colour| level(&at, colour)));
                }
                fit.learn(latents, &Frames::new(&bytes, 17, 6 * side, 4 * side).unwrap());
            }
            let off = fit.map().unwrap().off;
            assert!(off < 0.5, "{channels} channels: only rounding is left: {off}");
        }
    }

    #[test]
    fn what_is_not_linear_is_told_by_how_much() {
        let values = latents(1);
        let latents = Latents::new(&values, SHAPE).unwrap();
        let mut bytes = decoded(latents);
        bytes.iter_mut().enumerate().for_each(|(i, level)| *level = if i / 24 % 2 == 0 { 255 } else { 0 });
        let mut fit = Fit::new(3);
        fit.learn(latents, &Frames::new(&bytes, 17, 48, 32).unwrap());
        assert!(fit.map().unwrap().off > 50.0);
    }

    #[test]
    fn what_does_not_fit_together_teaches_nothing() {
        assert!(Latents::new(&[0.0; 7], SHAPE).is_none() && Latents::new(&[], [0, 1, 1, 1]).is_none());
        let values = latents(1);
        let latents = Latents::new(&values, SHAPE).unwrap();
        let mut fit = Fit::new(3);
        for (frames, height, width) in [(17, 47, 32), (16, 48, 32), (1, 48, 32), (17, 3, 2)] {
            let bytes = vec![9; frames * height * width * 3];
            fit.learn(latents, &Frames::new(&bytes, frames, height, width).unwrap());
        }
        let mut other = Fit::new(16);
        other.learn(latents, &Frames::new(&decoded(latents), 17, 48, 32).unwrap());
        assert!(fit.map().is_none() && other.map().is_none());
        // Of latents that are no numbers nothing is learnt either.
        let broken = vec![f32::NAN; values.len()];
        fit.learn(Latents::new(&broken, SHAPE).unwrap(), &Frames::new(&decoded(latents), 17, 48, 32).unwrap());
        assert!(fit.map().is_none());
    }
}
