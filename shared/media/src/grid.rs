//! Periodic patterns on the pixel grid: how strong a plane wave of a given period is, and how far it stands out of
//! the frequencies around it. A direct Fourier sum at those few frequencies; no transform of the whole picture.

use std::f64::consts::TAU;

/// Bins between the pattern's frequency and those it is compared with; a Hann window leaks into two.
const APART: f64 = 3.0;
/// Levels below which the surroundings count as silent, so that ratios stay meaningful on flat pictures.
const FLOOR: f64 = 0.1;

/// The strongest pattern of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pattern {
    /// Amplitude of the wave in levels of 255.
    pub(crate) amplitude: f64,
    /// Amplitude over the root mean square of its surroundings.
    pub(crate) prominence: f64,
}

/// Looks for columns, rows and checkerboards of `period` pixels in an RGB picture; `None` where it is too small to
/// tell a pattern from its contents.
pub(crate) fn pattern(picture: &[f64], width: usize, height: usize, period: usize) -> Option<Pattern> {
    if width.min(height) < 32.max(4 * period) {
        return None;
    }
    let transform = Transform::new(picture, width, height);
    let f = 1.0 / period as f64;
    let (dx, dy) = (APART / width as f64, APART / height as f64);
    let along = |step: f64| [-2.0 * step, -step, step, 2.0 * step];
    let columns = along(dx).map(|d| (f + d, 0.0));
    let rows = along(dy).map(|d| (0.0, f + d));
    let ring: Vec<(f64, f64)> =
        [-1.0, 0.0, 1.0].iter().flat_map(|i| [-1.0, 0.0, 1.0].map(|j| (f + i * dx, f + j * dy))).collect();
    let mut board = ring;
    board.remove(4);

    [((f, 0.0), &columns[..]), ((0.0, f), &rows[..]), ((f, f), &board[..])]
        .into_iter()
        .map(|(at, around)| {
            // At Nyquist a wave and its mirror image coincide.
            let both = if period == 2 { 1.0 } else { 2.0 };
            let amplitude = both * transform.magnitude(at);
            let squares: f64 = around.iter().map(|&at| (2.0 * transform.magnitude(at)).powi(2)).sum();
            let surroundings = (squares / around.len() as f64).sqrt();
            Pattern { amplitude, prominence: amplitude / (surroundings + FLOOR) }
        })
        .max_by(|a, b| (a.prominence * a.amplitude).total_cmp(&(b.prominence * b.amplitude)))
}

/// A picture under a Hann window, its mean taken away.
struct Transform {
    samples: Vec<f64>,
    width: usize,
    weight: f64,
}

impl Transform {
    fn new(picture: &[f64], width: usize, height: usize) -> Self {
        let (across, down) = (hann(width), hann(height));
        let weight = across.iter().sum::<f64>() * down.iter().sum::<f64>();
        let window = |index: usize| across[index % width] * down[index / width];
        let mut mean = [0.0; 3];
        for (index, pixel) in picture.chunks_exact(3).enumerate() {
            (0..3).for_each(|c| mean[c] += pixel[c] * window(index) / weight);
        }
        let samples = picture
            .chunks_exact(3)
            .enumerate()
            .flat_map(|(index, pixel)| [0, 1, 2].map(|c| (pixel[c] - mean[c]) * window(index)))
            .collect();
        Self { samples, width, weight }
    }

    /// Magnitude at a frequency (cycles per pixel, across and down), of the channel where it is largest.
    fn magnitude(&self, (fx, fy): (f64, f64)) -> f64 {
        let turns: Vec<(f64, f64)> = (0..self.width).map(|x| (TAU * fx * x as f64).sin_cos()).collect();
        let mut sum = [[0.0f64; 2]; 3];
        for (y, row) in self.samples.chunks_exact(self.width * 3).enumerate() {
            let mut line = [[0.0f64; 2]; 3];
            for (pixel, (sin, cos)) in row.chunks_exact(3).zip(&turns) {
                for channel in 0..3 {
                    line[channel][0] += pixel[channel] * cos;
                    line[channel][1] += pixel[channel] * sin;
                }
            }
            let (sin, cos) = (TAU * fy * y as f64).sin_cos();
            for channel in 0..3 {
                let [re, im] = line[channel];
                sum[channel][0] += re * cos - im * sin;
                sum[channel][1] += re * sin + im * cos;
            }
        }
        sum.iter().map(|[re, im]| re.hypot(*im)).fold(0.0, f64::max) / self.weight
    }
}

fn hann(length: usize) -> Vec<f64> {
    (1..=length).map(|i| 0.5 - 0.5 * (TAU * i as f64 / (length + 1) as f64).cos()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(sample: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        (0..64 * 96).flat_map(|i| [sample(i % 96, i / 96); 3]).collect()
    }

    #[test]
    fn amplitudes_are_those_put_in() {
        let wave = picture(|x, _| 100.0 + 3.0 * (TAU * x as f64 / 8.0).cos());
        let found = pattern(&wave, 96, 64, 8).unwrap();
        assert!((found.amplitude - 3.0).abs() < 0.05 && found.prominence > 20.0, "{found:?}");
        let board = picture(|x, y| if (x + y) % 2 == 0 { 102.0 } else { 98.0 });
        let found = pattern(&board, 96, 64, 2).unwrap();
        assert!((found.amplitude - 2.0).abs() < 0.05 && found.prominence > 15.0, "{found:?}");
        let other = pattern(&board, 96, 64, 8).unwrap();
        assert!(other.amplitude < 0.1, "{other:?}");
    }

    #[test]
    fn an_edge_or_a_gradient_is_no_pattern() {
        let edge = picture(|x, y| if x > 40 && y > 20 { 200.0 } else { 10.0 + x as f64 });
        for period in [2, 8] {
            let found = pattern(&edge, 96, 64, period).unwrap();
            assert!(found.prominence < 2.0, "{period}: {found:?}");
        }
        assert!(pattern(&[0.0; 16 * 16 * 3], 16, 16, 8).is_none());
    }
}
