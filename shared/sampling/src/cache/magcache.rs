//! MagCache's decisions: an error that a curve predicts adds up while steps are skipped.
//!
//! Source: Zehong-Ma/MagCache `MagCache4Wan2.2/magcache_generate.py#L290` (magcache_forward); the joint variant:
//! AI-Hypercomputer/maxdiffusion@7cfb880 `pipelines/wan/wan_pipeline.py#L1568` (magcache_step).

use wanfarm_types::{MagCache, MagCurve, Retention};

use super::curves;
use super::plan::{Branch, Plan};

/// The steps of a schedule, and how many of them are the high-noise expert's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// Steps of the whole schedule.
    pub steps: u32,
    /// Leading steps of the high-noise expert; `None` for a model with one transformer.
    pub high: Option<u32>,
}

/// What has added up since the last computed step.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sum {
    ratio: f64,
    error: f64,
    steps: u32,
}

const NOTHING: Sum = Sum { ratio: 1.0, error: 0.0, steps: 0 };

impl Sum {
    /// With one more step skipped.
    fn and(self, ratio: f64) -> Self {
        let ratio = self.ratio * ratio;
        Self { ratio, error: self.error + (1.0 - ratio).abs(), steps: self.steps + 1 }
    }

    fn is_within(self, settings: &MagCache) -> bool {
        self.error < settings.threshold && self.steps <= settings.max_skip
    }
}

/// The steps that MagCache skips.
///
/// Nothing adds up across the switch of experts (`carry` keeps what the published script, which has one state for both
/// experts, carries over; the residual of one expert is never reused by the other).
pub fn mag_plan(settings: &MagCache, phases: Phases, carry: bool) -> Plan {
    let ratios = ratios(&settings.curve, phases.steps);
    let mut plan = Plan::dense(phases.steps);
    let mut sums = [NOTHING; 2];
    for (step, ratios) in (0..).zip(ratios) {
        if !carry && phases.high == Some(step) {
            sums = [NOTHING; 2];
        }
        let first = step == 0 || phases.high == Some(step);
        let next = Branch::BOTH.map(|branch| sums[branch as usize].and(ratios[branch as usize]));
        if settings.joint {
            let forced = first || is_forced_jointly(settings, phases, step);
            let skip = !forced && next.iter().all(|sum| sum.is_within(settings));
            // A step that is computed because it must be does not count, and starts nothing anew.
            sums = if skip {
                next
            } else if forced {
                sums
            } else {
                [NOTHING; 2]
            };
            Branch::BOTH.iter().for_each(|&branch| plan.set(step, branch, skip));
            continue;
        }
        for branch in Branch::BOTH {
            if is_forced(settings, phases, step, branch) {
                continue;
            }
            let sum = next[branch as usize];
            let skip = sum.is_within(settings) && !first;
            sums[branch as usize] = if skip { sum } else { NOTHING };
            plan.set(step, branch, skip);
        }
    }
    plan
}

/// Whether a pass is always computed. The published rule counts passes, with both ends of its ranges as they are there.
fn is_forced(settings: &MagCache, phases: Phases, step: u32, branch: Branch) -> bool {
    let (pass, total) = (2 * step + branch as u32, f64::from(2 * phases.steps));
    let Some(high) = phases.high else { return f64::from(pass) < (total * settings.retention).trunc() };
    let split = f64::from(2 * high);
    let after = (total - split) * settings.retention + split;
    let pass = f64::from(pass);
    match settings.zones {
        Retention::FirstPhase => pass < after.trunc(),
        Retention::EachPhase => pass < (split * settings.retention).trunc() || (split <= pass && pass <= after),
    }
}

/// The same of the joint variant, which counts steps.
fn is_forced_jointly(settings: &MagCache, phases: Phases, step: u32) -> bool {
    let part = |steps: u32| (f64::from(steps) * settings.retention).trunc() as u32;
    let Some(high) = phases.high else { return step < part(phases.steps) };
    let low = high..high.saturating_add(part(phases.steps.saturating_sub(high)));
    match settings.zones {
        Retention::FirstPhase => step < low.end,
        Retention::EachPhase => step < part(high) || low.contains(&step),
    }
}

/// The curve at this many steps: `[cond, uncond]` of each.
///
/// Source: `magcache_generate.py` (nearest_interp).
fn ratios(curve: &MagCurve, steps: u32) -> Vec<[f64; 2]> {
    let published: &[[f64; 2]] = match curve {
        MagCurve::T2vA14b => &curves::T2V_A14B,
        MagCurve::I2vA14b => &curves::I2V_A14B,
        MagCurve::Ti2v5bText => &curves::TI2V_5B_TEXT,
        MagCurve::Ti2v5bImage => &curves::TI2V_5B_IMAGE,
        MagCurve::Own(ratios) => ratios,
    };
    // The first step has none before it.
    let source: Vec<[f64; 2]> = std::iter::once([1.0; 2]).chain(published.iter().copied()).collect();
    let last = source.len() - 1;
    let scale = last as f64 / f64::from(steps.saturating_sub(1).max(1));
    let nearest = |step: u32| (f64::from(step) * scale).round_ties_even() as usize;
    match steps {
        1 => vec![source[last]],
        steps => (0..steps).map(|step| source[nearest(step).min(last)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is written: a dot for each computed step, an s for each skipped one.
    fn drawn(plan: &Plan, steps: u32) -> String {
        (0..steps).map(|step| if plan.skips(step, Branch::Cond) { 's' } else { '.' }).collect()
    }

    #[test]
    fn the_joint_variant_skips_as_published() {
        let joint = |curve| MagCache { joint: true, zones: Retention::EachPhase, ..MagCache::published(curve) };
        let plan = mag_plan(&joint(MagCurve::T2vA14b), Phases { steps: 40, high: Some(26) }, false);
        assert_eq!(drawn(&plan, 40), ".....ss.ss.ss.ss.ss.ss.ss...ss.s.s......");
        let plan = mag_plan(&joint(MagCurve::I2vA14b), Phases { steps: 40, high: Some(15) }, false);
        assert_eq!(drawn(&plan, 40), "...ss.ss.ss.ss......ss.ss.ss.s.s.s......");
        assert_eq!(plan.skipped(Branch::Cond), plan.skipped(Branch::Uncond));
        assert_eq!((plan.skipped(Branch::Cond).len(), plan.work()), (17, 23.0));
    }

    #[test]
    fn a_curve_of_the_same_length_is_taken_as_it_is() {
        let t2v = ratios(&MagCurve::T2vA14b, 40);
        assert_eq!((t2v[0], t2v[1], t2v[39]), ([1.0; 2], [1.00124, 1.00155], [0.80263, 0.80181]));
        assert_eq!(ratios(&MagCurve::T2vA14b, 1), [[0.80263, 0.80181]]);
        // Ties go to the even index: step 1 of 3 over 4 values is index 1.5.
        let own = MagCurve::Own(vec![[0.9; 2], [0.8; 2], [0.7; 2]]);
        assert_eq!(ratios(&own, 3), [[1.0; 2], [0.8; 2], [0.7; 2]]);
        assert_eq!(ratios(&MagCurve::Own(Vec::new()), 2), [[1.0; 2]; 2]);
    }

    #[test]
    fn an_expert_computes_its_first_step() {
        // Without a zone at the start of a phase there is no effect of its own yet to reuse.
        let settings =
            MagCache { threshold: 10.0, max_skip: 100, retention: 0.0, ..MagCache::published(MagCurve::T2vA14b) };
        for joint in [false, true] {
            let settings = MagCache { joint, ..settings.clone() };
            let plan = mag_plan(&settings, Phases { steps: 20, high: Some(9) }, false);
            for branch in Branch::BOTH {
                let computed: Vec<u32> = (0..20).filter(|&step| !plan.skips(step, branch)).collect();
                assert_eq!(computed, [0, 9], "{joint}, {branch:?}");
                assert_eq!(plan.source(12, branch, &(9..20)), Some(9));
                assert_eq!(plan.source(9, branch, &(9..20)), None);
            }
        }
    }
}
