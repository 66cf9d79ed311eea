//! The CFG cache: the pass without the prompt is that with it plus a difference that is computed every few steps; its
//! high frequencies are taken a little stronger where the video's details come about.
//!
//! Source: FasterCache (Lv et al., ICLR 2025), section 3.3; AI-Hypercomputer/maxdiffusion@7cfb880
//! `pipelines/wan/wan_pipeline.py#L1437` (transformer_forward_pass_cfg_cache), `wan_pipeline_2_2.py` (schedule). There
//! the difference is that of the last full step's second pass to the latest first one; here, as in the paper, both are
//! of the same step.

use std::f64::consts::TAU;
use std::ops::Range;

use wanfarm_types::CfgCache;

/// Whether a step computes both passes. Those of a high-noise expert all do; `phase` are the steps of the transformer
/// that runs it, and `high` says whether that is a high-noise expert.
pub fn computes_both(settings: &CfgCache, step: u32, steps: u32, phase: &Range<u32>, high: bool) -> bool {
    let at = |part: f64| (f64::from(steps) * part).trunc() as u32;
    let (start, end) = (at(settings.start), at(settings.end));
    let free = (start..end).contains(&step) && phase.contains(&step) && step > phase.start;
    high || !free || (step - start).is_multiple_of(settings.interval.max(1))
}

/// A difference of velocities with (1 + alpha) times its high frequencies: those beyond a quarter of the spectrum of
/// rows or of columns.
///
/// # Shapes
/// `(…, height, width)`, row-major → the same.
pub fn weighted_difference(difference: &[f32], height: usize, width: usize, alpha: f64) -> Vec<f32> {
    if height == 0 || width == 0 {
        return Vec::new();
    }
    let (rows, columns) = (low_pass(height, height / 4), low_pass(width, (width / 2 + 1) / 4));
    let mut weighted = Vec::with_capacity(difference.len());
    for plane in difference.chunks_exact(height * width) {
        // low = rows · plane · columns, both symmetric.
        let mut along_rows = vec![0f64; plane.len()];
        for (out, line) in along_rows.chunks_exact_mut(width).zip(plane.chunks_exact(width)) {
            for (x, weights) in columns.chunks_exact(width).enumerate() {
                out[x] = weights.iter().zip(line).map(|(weight, value)| weight * f64::from(*value)).sum();
            }
        }
        for (y, weights) in rows.chunks_exact(height).enumerate() {
            for x in 0..width {
                let low: f64 = weights.iter().enumerate().map(|(k, weight)| weight * along_rows[k * width + x]).sum();
                let value = f64::from(plane[y * width + x]);
                weighted.push((value + alpha * (value - low)) as f32);
            }
        }
    }
    weighted
}

/// The projection of `n` samples onto their frequencies below `cut`, at least the mean, as an `(n, n)` matrix.
fn low_pass(n: usize, cut: usize) -> Vec<f64> {
    let kernel: Vec<f64> = (0..n)
        .map(|lag| {
            let wave = |f: usize| (TAU * (f * lag % n) as f64 / n as f64).cos();
            // Each frequency but 0 is there twice, as its own mirror image; half the sampling rate is below no cut.
            (1.0 + 2.0 * (1..cut.max(1)).map(wave).sum::<f64>()) / n as f64
        })
        .collect();
    (0..n * n).map(|i| kernel[(i / n).abs_diff(i % n)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_steps_come_at_intervals() {
        let settings = CfgCache::default();
        let both = |phase: Range<u32>, high| {
            (0..40).filter(|&step| computes_both(&settings, step, 40, &phase, high)).collect::<Vec<_>>()
        };
        let single = [(0..14).collect(), vec![18, 23, 28, 33], (36..40).collect::<Vec<_>>()].concat();
        assert_eq!(both(0..40, false), single);
        assert!(both(0..26, true).len() == 40);
        let low = both(26..40, false);
        assert_eq!(low.into_iter().filter(|step| *step >= 26).collect::<Vec<_>>(), [26, 28, 33, 36, 37, 38, 39]);
    }

    #[test]
    fn only_high_frequencies_are_weighted() {
        let (height, width) = (12, 20);
        let plane = |wave: &dyn Fn(f64, f64) -> f64| -> Vec<f32> {
            let value = |i: usize| wave((i / width) as f64 / height as f64, (i % width) as f64 / width as f64) as f32;
            (0..height * width).map(value).collect()
        };
        // Rows keep frequencies 0 to 2, columns 0 and 1.
        for (wave, factor) in [
            (plane(&|_, _| 1.0), 1.0),
            (plane(&|y, _| (TAU * 2.0 * y).cos()), 1.0),
            (plane(&|y, x| (TAU * (2.0 * y + x)).sin()), 1.0),
            (plane(&|y, _| (TAU * 3.0 * y).cos()), 1.5),
            (plane(&|_, x| (TAU * 2.0 * x).sin()), 1.5),
            (plane(&|y, x| (TAU * (6.0 * y + 10.0 * x)).cos()), 1.5),
        ] {
            let weighted = weighted_difference(&wave, height, width, 0.5);
            let off = weighted.iter().zip(&wave).map(|(w, v)| (w - factor * v).abs()).fold(0.0, f32::max);
            assert!(off < 1e-6, "{off}");
        }
        // Planes do not mix.
        let two = [plane(&|_, x| (TAU * 2.0 * x).sin()), vec![0.0; height * width]].concat();
        assert!(weighted_difference(&two, height, width, 0.5)[height * width..].iter().all(|value| *value == 0.0));
    }
}
