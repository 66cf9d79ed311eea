//! One pass over a clip that gathers the numbers its quality is judged by. No thresholds, no verdicts.
//!
//! Variances and covariances are within frames (each frame's mean taken away) and summed over channels: a shape may
//! differ from its background in colour alone.

use crate::Frames;

/// Side of the blocks whose means are compared; as long as a latent pixel of any Wan VAE.
const COARSE: usize = 16;
/// Side of the blocks in which structure is looked for.
const FINE: usize = 8;
/// Frames decoded from one latent frame: beyond these, undenoised noise has nothing in common with itself.
const LATENT_FRAMES: usize = 4;
/// Near black and near white, by sample value.
const BLACK: u8 = 4;
const WHITE: u8 = 251;

/// The numbers of a clip.
pub(crate) struct Statistics {
    /// Standard deviation within frames of the channel where it is largest, in levels.
    pub(crate) contrast: f64,
    /// Mean squared difference of neighbours over twice the variance: 1 for white noise, near 0 for pictures.
    pub(crate) roughness: f64,
    /// Correlation of neighbouring blocks' means; `None` for pictures of less than 2x2 blocks.
    pub(crate) block_correlation: Option<f64>,
    /// How evenly structure covers the frame: 1 when all blocks have the same contrast, 1/n when one of n has it all.
    pub(crate) coverage: f64,
    /// Correlation of frames one latent frame apart; `None` for a single frame.
    pub(crate) persistence: Option<f64>,
    /// Share of the variance that is grey: 1/3 for independent channels, 1 without colour.
    pub(crate) greyness: f64,
    /// Mean absolute difference of consecutive frames, in levels; `None` for a single frame.
    pub(crate) motion: Option<f64>,
    /// Share of near-black pixels.
    pub(crate) black: f64,
    /// Share of near-white pixels.
    pub(crate) white: f64,
    /// The mean over frames, `[height, width, 3]`: what stays in place.
    pub(crate) mean_picture: Vec<f64>,
}

/// Mean and variance of each channel of a frame.
struct Moments {
    mean: [f64; 3],
    variance: [f64; 3],
}

impl Statistics {
    pub(crate) fn of(frames: &Frames<'_>) -> Self {
        let [count, height, width] = frames.shape();
        let pixels = (height * width) as f64;
        let mut mean_picture = vec![0.0f64; height * width * 3];
        let (mut across, mut down, mut grey, mut coverage) = (0.0, 0.0, 0.0, 0.0);
        let (mut black, mut white) = (0usize, 0usize);
        let mut blocks = BlockCorrelation::default();
        let mut moments = Vec::with_capacity(count);

        for frame in frames.iter() {
            let own = Moments::of(frame);
            mean_picture.iter_mut().zip(frame).for_each(|(sum, &sample)| *sum += f64::from(sample));
            across += frame.chunks_exact(width * 3).map(|row| squared_difference(&row[3..], row)).sum::<u64>() as f64;
            down += squared_difference(&frame[width * 3..], frame) as f64;
            grey += grey_variance(frame);
            coverage += block_coverage(frame, width);
            for pixel in frame.chunks_exact(3) {
                black += usize::from(pixel.iter().all(|&sample| sample <= BLACK));
                white += usize::from(pixel.iter().all(|&sample| sample >= WHITE));
            }
            blocks.add(frame, width, height, &own.mean);
            moments.push(own);
        }
        mean_picture.iter_mut().for_each(|sum| *sum /= count as f64);

        let variance = |channel: usize| moments.iter().map(|m| m.variance[channel]).sum::<f64>();
        let channels = [0, 1, 2].map(variance);
        let energy: f64 = channels.iter().sum();
        let neighbours = ratio(across, (height * (width - 1)) as f64) + ratio(down, ((height - 1) * width) as f64);
        Self {
            contrast: channels.into_iter().fold(0.0, f64::max).sqrt() / (count as f64).sqrt(),
            roughness: ratio(neighbours / 2.0, 2.0 * energy),
            block_correlation: blocks.value(),
            coverage: coverage / count as f64,
            persistence: (count > 1).then(|| persistence(frames, &moments)),
            greyness: ratio(grey, 3.0 * energy),
            motion: (count > 1).then(|| motion(frames)),
            black: black as f64 / (pixels * count as f64),
            white: white as f64 / (pixels * count as f64),
            mean_picture,
        }
    }
}

impl Moments {
    fn of(frame: &[u8]) -> Self {
        let (mut sum, mut squares) = ([0u64; 3], [0u64; 3]);
        for pixel in frame.chunks_exact(3) {
            for channel in 0..3 {
                let sample = u64::from(pixel[channel]);
                sum[channel] += sample;
                squares[channel] += sample * sample;
            }
        }
        let pixels = (frame.len() / 3) as f64;
        let mean = sum.map(|sum| sum as f64 / pixels);
        let variance = [0, 1, 2].map(|c| (squares[c] as f64 / pixels - mean[c] * mean[c]).max(0.0));
        Self { mean, variance }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 1e-9 { part / whole } else { 0.0 }
}

fn squared_difference(left: &[u8], right: &[u8]) -> u64 {
    left.iter().zip(right).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum()
}

/// Variance of the sum of a pixel's channels.
fn grey_variance(frame: &[u8]) -> f64 {
    let (mut sum, mut squares) = (0u64, 0u64);
    for pixel in frame.chunks_exact(3) {
        let grey: u64 = pixel.iter().map(|&sample| u64::from(sample)).sum();
        sum += grey;
        squares += grey * grey;
    }
    let pixels = (frame.len() / 3) as f64;
    let mean = sum as f64 / pixels;
    (squares as f64 / pixels - mean * mean).max(0.0)
}

/// Participation ratio of the blocks' standard deviations.
fn block_coverage(frame: &[u8], width: usize) -> f64 {
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0usize);
    for_blocks(frame, width, FINE, |_, _, moments| {
        let variance: f64 = moments.variance.iter().sum();
        sum += variance.sqrt();
        squares += variance;
        count += 1;
    });
    ratio(sum * sum, squares * count as f64)
}

/// Calls `visit` with row, column and moments of every whole block.
fn for_blocks(frame: &[u8], width: usize, side: usize, mut visit: impl FnMut(usize, usize, &Moments)) {
    let mut block = Vec::with_capacity(side * side * 3);
    for (row, band) in frame.chunks_exact(width * 3 * side).enumerate() {
        for column in 0..width / side {
            block.clear();
            for line in band.chunks_exact(width * 3) {
                block.extend_from_slice(&line[column * side * 3..(column + 1) * side * 3]);
            }
            visit(row, column, &Moments::of(&block));
        }
    }
}

/// Sums for the correlation of neighbouring blocks, to the right and below.
#[derive(Default)]
struct BlockCorrelation {
    product: [f64; 2],
    first: [f64; 2],
    second: [f64; 2],
    frames: usize,
}

impl BlockCorrelation {
    fn add(&mut self, frame: &[u8], width: usize, height: usize, mean: &[f64; 3]) {
        let (columns, rows) = (width / COARSE, height / COARSE);
        if columns < 2 || rows < 2 {
            return;
        }
        self.frames += 1;
        let mut means = Vec::with_capacity(rows * columns);
        for_blocks(frame, width, COARSE, |_, _, block| means.push([0, 1, 2].map(|c| block.mean[c] - mean[c])));
        let mut pair = |direction: usize, a: [f64; 3], b: [f64; 3]| {
            for channel in 0..3 {
                self.product[direction] += a[channel] * b[channel];
                self.first[direction] += a[channel] * a[channel];
                self.second[direction] += b[channel] * b[channel];
            }
        };
        for (index, &own) in means.iter().enumerate() {
            if index % columns + 1 < columns {
                pair(0, own, means[index + 1]);
            }
            if index + columns < means.len() {
                pair(1, own, means[index + columns]);
            }
        }
    }

    fn value(&self) -> Option<f64> {
        let along = |d: usize| ratio(self.product[d], (self.first[d] * self.second[d]).sqrt());
        (self.frames > 0).then(|| (along(0) + along(1)) / 2.0)
    }
}

fn persistence(frames: &Frames<'_>, moments: &[Moments]) -> f64 {
    let step = LATENT_FRAMES.min(frames.count() - 1);
    let pixels = (frames.height() * frames.width()) as f64;
    let (mut product, mut first, mut second) = (0.0, 0.0, 0.0);
    for (index, (a, b)) in moments.iter().zip(&moments[step..]).enumerate() {
        let mut cross = [0u64; 3];
        for (p, q) in frames.frame(index).chunks_exact(3).zip(frames.frame(index + step).chunks_exact(3)) {
            for channel in 0..3 {
                cross[channel] += u64::from(p[channel]) * u64::from(q[channel]);
            }
        }
        for (channel, cross) in cross.into_iter().enumerate() {
            product += cross as f64 / pixels - a.mean[channel] * b.mean[channel];
            first += a.variance[channel];
            second += b.variance[channel];
        }
    }
    ratio(product, (first * second).sqrt())
}

fn motion(frames: &Frames<'_>) -> f64 {
    let difference = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum::<u64>();
    let total: u64 = frames.iter().zip(frames.iter().skip(1)).map(|(a, b)| difference(a, b)).sum();
    total as f64 / (frames.frame(0).len() * (frames.count() - 1)) as f64
}
