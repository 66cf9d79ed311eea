//! SenCache's decisions: how far latents and time have moved since the velocity was computed, both weighted alike.
//!
//! Source: Haghighi & Alahi, arXiv:2602.24208, equation 9; AI-Hypercomputer/maxdiffusion@7cfb880
//! `pipelines/wan/wan_pipeline_2_2.py` (uniform sensitivities).

use std::ops::Range;

use wanfarm_types::SenCache;

/// What has added up since a velocity was computed. In f32: it travels with the latents.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drift {
    /// Of the latents and of time.
    pub sum: f32,
    /// Steps skipped.
    pub skipped: u32,
}

impl Drift {
    /// At a further step: `latents` is [`root_mean_square_distance`] to those the velocity was computed from, `time`
    /// the distance of the timesteps, in 0 … 1000.
    #[must_use]
    pub fn and(self, latents: f64, time: f64) -> Self {
        Self { sum: (f64::from(self.sum) + latents + time / 1000.0) as f32, ..self }
    }

    /// Whether the velocity may be used once more.
    pub fn is_within(self, settings: &SenCache) -> bool {
        f64::from(self.sum) <= settings.tolerance && self.skipped < settings.max_skip
    }
}

/// Whether a step may reuse anything: not at the ends of the schedule of `steps` steps, nor at the first step of `phase`.
pub fn may_reuse(settings: &SenCache, step: u32, steps: u32, phase: &Range<u32>) -> bool {
    let at = |part: f64| (f64::from(steps) * part).trunc() as u32;
    step > phase.start && phase.contains(&step) && (at(settings.start)..at(settings.end)).contains(&step)
}

/// √(mean (a − b)²), in f64.
pub fn root_mean_square_distance(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    (squares.sum::<f64>() / a.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_ends_reuse() {
        let settings = SenCache { tolerance: 0.1, max_skip: 3, start: 0.3, end: 0.9 };
        let near = Drift::default().and(0.03, 20.0);
        assert!(near.is_within(&settings) && (near.sum - 0.05).abs() < 1e-7);
        assert!(!near.and(0.04, 20.0).is_within(&settings), "0.11 is beyond 0.1");
        assert!(!Drift { skipped: 3, ..near }.is_within(&settings));
        assert!((root_mean_square_distance(&[1.0, 2.0], &[4.0, 6.0]) - 12.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_ends_and_the_first_step_of_an_expert_are_computed() {
        let settings = SenCache::default();
        let free = |phase: Range<u32>| (0..40).filter(|&s| may_reuse(&settings, s, 40, &phase)).collect::<Vec<_>>();
        assert_eq!(free(0..40), (12..36).collect::<Vec<_>>());
        assert_eq!(free(26..40), (27..36).collect::<Vec<_>>());
    }
}
