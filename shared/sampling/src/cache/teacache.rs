//! TeaCache's decisions: how far the timestep's embedding has moved, made a measure of what the blocks do by a
//! polynomial.
//!
//! Source: ali-vilab/TeaCache `TeaCache4Wan2.1/teacache_generate.py#L519` (teacache_forward), `#L880` (coefficients).

use std::ops::Range;

use wanfarm_types::{TeaCache, TeaModel};

use super::plan::{Branch, Plan};

/// Steps computed at the start when the projected embedding is looked at.
const RETAINED: u32 = 5;

/// Which steps of a phase are always computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeaZones {
    phase: Range<u32>,
    free: Range<u32>,
}

impl TeaZones {
    /// Of the steps of one transformer. Each of two experts has its own state and its own zones; for such there is no
    /// published rule, and this one is ours: the first and the last step of each phase are computed.
    pub fn new(settings: &TeaCache, phase: Range<u32>) -> Self {
        let first = if settings.projected { RETAINED } else { 1 };
        let last = u32::from(!settings.projected);
        let free = phase.start.saturating_add(first)..phase.end.saturating_sub(last);
        Self { phase, free }
    }

    /// Whether a step may be skipped.
    pub fn is_free(&self, step: u32) -> bool {
        self.free.contains(&step)
    }
}

/// The steps of one phase that TeaCache skips, in a plan of `steps` steps. `change(step)` is mean |e − e'| / mean |e'|,
/// where e is the step's embedding and e' that of the step before it.
///
/// # Errors
/// Those of `change`.
pub fn tea_plan<E>(
    settings: &TeaCache,
    zones: &TeaZones,
    steps: u32,
    mut change: impl FnMut(u32) -> Result<f64, E>,
) -> Result<Plan, E> {
    let coefficients = coefficients(settings);
    let mut plan = Plan::dense(steps);
    let mut sum = 0.0;
    for step in zones.phase.clone() {
        if !zones.is_free(step) {
            sum = 0.0;
            continue;
        }
        sum += polynomial(coefficients, change(step)?);
        let skip = sum < settings.threshold;
        if !skip {
            sum = 0.0;
        }
        // The embedding does not know the prompt: both passes decide alike.
        Branch::BOTH.iter().for_each(|&branch| plan.set(step, branch, skip));
    }
    Ok(plan)
}

/// The highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |value, coefficient| value * x + coefficient)
}

fn coefficients(settings: &TeaCache) -> &'static [f64] {
    match (settings.model, settings.projected) {
        (TeaModel::T2v1_3b, true) => {
            &[-5.21862437e+04, 9.23041404e+03, -5.28275948e+02, 1.36987616e+01, -4.99875664e-02]
        }
        (TeaModel::T2v1_3b, false) => {
            &[2.39676752e+03, -1.31110545e+03, 2.01331979e+02, -8.29855975e+00, 1.37887774e-01]
        }
        (TeaModel::T2v14b, true) => {
            &[-3.03318725e+05, 4.90537029e+04, -2.65530556e+03, 5.87365115e+01, -3.15583525e-01]
        }
        (TeaModel::T2v14b, false) => &[-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404],
        (TeaModel::I2v480p, true) => {
            &[2.57151496e+05, -3.54229917e+04, 1.40286849e+03, -1.35890334e+01, 1.32517977e-01]
        }
        (TeaModel::I2v480p, false) => {
            &[-3.02331670e+02, 2.23948934e+02, -5.25463970e+01, 5.87348440e+00, -2.01973289e-01]
        }
        (TeaModel::I2v720p, true) => {
            &[8.10705460e+03, 2.13393892e+03, -3.72934672e+02, 1.66203073e+01, -4.17769401e-02]
        }
        (TeaModel::I2v720p, false) => &[-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683],
        (TeaModel::Linear, _) => &[1.0, 0.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_adds_up_is_forgotten_when_computed() {
        let settings = TeaCache { model: TeaModel::Linear, threshold: 1.0, projected: false };
        let plan = |zones| tea_plan(&settings, &zones, 12, |_| Ok::<_, ()>(0.4)).unwrap();
        // 0.4 and 0.8 are skipped, 1.2 is not; the ends are not even looked at.
        assert_eq!(plan(TeaZones::new(&settings, 0..12)).skipped(Branch::Cond), [1, 2, 4, 5, 7, 8, 10]);
        let second = plan(TeaZones::new(&settings, 5..12));
        assert_eq!(second.skipped(Branch::Uncond), [6, 7, 9, 10], "a phase starts with nothing");
        assert_eq!(plan(TeaZones::new(&settings, 3..4)).work(), 12.0);
    }

    #[test]
    fn the_highest_power_comes_first() {
        assert_eq!(polynomial(&[2.0, 3.0, 5.0], 10.0), 235.0);
    }
}
