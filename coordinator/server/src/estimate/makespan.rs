//! How long a workload takes a workforce.
//!
//! The farm is a pipeline, so the time is that of its bottleneck, and what comes before the first and after the last
//! video there. The bottleneck is a set of stages, because one worker may serve several. Within a set, a lower bound of
//! the linear program "divide the work of these stages among their workers" is taken, by its dual: exact where every
//! worker serves one stage, or where workers differ by one factor. A chain of videos takes as long as all of them do one after
//! the other. Waiting that no division avoids is not foreseen;
//! the scheduler comes within a few per cent of this bound.

use wanfarm_scheduler::SizeClass;
use wanfarm_types::Stage;

use super::balance::Balance;
use super::stage::StageEstimate;
use super::workforce::{Basis, Workforce};
use super::workload::Workload;

/// The estimate of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Its stages, in order.
    pub stages: Vec<StageEstimate>,
    /// Seconds from the first item to the last; `None` while a stage has no workers, or none of whom anything is known.
    pub seconds: Option<f64>,
    /// The stage that takes its workers the longest.
    pub bottleneck: Option<Stage>,
    /// How to divide workers between two experts.
    pub balance: Option<Balance>,
}

/// A stage and the seconds each of its workers would take for all of it.
struct Load {
    stage: Stage,
    alone: Vec<(usize, f64)>,
    /// With all of them.
    together: f64,
}

impl Estimate {
    /// Puts work and workers together.
    pub fn new(work: &Workload, force: &Workforce) -> Self {
        let stages: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| work.units_of(*stage) > 0).collect();
        let loads: Vec<Option<(Load, Basis)>> = stages.iter().map(|&stage| load(stage, work, force)).collect();
        let lines = stages.iter().zip(&loads).map(|(&stage, load)| {
            let (units, work) = (work.units_of(stage), work.work_of(stage));
            let mean = |load: &Load| load.together * load.alone.len() as f64 / work;
            StageEstimate {
                stage,
                units,
                work,
                workers: force.serving(stage).count(),
                seconds_per_unit: load.as_ref().map(|(load, _)| mean(load)).filter(|mean| mean.is_finite()),
                basis: load.as_ref().map(|(_, basis)| *basis),
                seconds: load.as_ref().map(|(load, _)| load.together),
            }
        });
        let lines: Vec<StageEstimate> = lines.collect();
        let known: Vec<Load> =
            loads.iter().flatten().map(|(load, _)| Load { alone: load.alone.clone(), ..*load }).collect();
        let whole = known.len() == stages.len();
        let longest = known.iter().max_by(|a, b| a.together.total_cmp(&b.together));
        Self {
            seconds: whole.then(|| makespan(&known, work, force)),
            bottleneck: longest.filter(|_| whole).map(|load| load.stage),
            balance: Balance::of(&lines, force),
            stages: lines,
        }
    }
}

fn load(stage: Stage, work: &Workload, force: &Workforce) -> Option<(Load, Basis)> {
    let units: Vec<_> = work.work().filter(|(of, ..)| *of == stage).collect();
    let mut worst = Basis::Measured;
    let mut alone = Vec::new();
    for worker in force.serving(stage) {
        let mut seconds = 0.0;
        for &(_, size, count) in &units {
            let (pace, basis) = force.seconds(worker, stage, size)?;
            seconds += pace * count;
            worst = worst.max(basis);
        }
        alone.push((worker, seconds));
    }
    let rate: f64 = alone.iter().map(|(_, seconds)| 1.0 / seconds).sum();
    (rate > 0.0).then(|| (Load { stage, alone, together: 1.0 / rate }, worst))
}

fn makespan(loads: &[Load], work: &Workload, force: &Workforce) -> f64 {
    let fastest = |(stage, size, units): (Stage, SizeClass, f64)| {
        let paces = force.serving(stage).filter_map(|worker| force.seconds(worker, stage, size));
        paces.map(|(seconds, _)| seconds).fold(f64::INFINITY, f64::min) * units
    };
    let ways: Vec<Vec<(Stage, f64)>> =
        work.ways().map(|way| way.into_iter().map(|step| (step.0, fastest(step))).collect()).collect();
    let sum = |way: &[(Stage, f64)], wanted: &dyn Fn(Stage) -> bool| -> f64 {
        way.iter().filter(|(stage, _)| wanted(*stage)).map(|(_, seconds)| seconds).sum()
    };
    let chain: f64 = work.chain().iter().copied().map(fastest).sum();
    let longest = ways.iter().map(|way| sum(way, &|_| true)).fold(chain, f64::max);
    // At most six stages: 63 sets.
    (1u32..1 << loads.len()).fold(longest, |most, set| {
        let chosen: Vec<&Load> =
            (0..).zip(loads).filter(|(place, _)| set & (1 << place) != 0).map(|(_, l)| l).collect();
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return most };
        let fill = |way: &Vec<(Stage, f64)>| sum(way, &|stage| stage < first.stage || stage > last.stage);
        let fill = ways.iter().map(fill).fold(f64::INFINITY, f64::min);
        most.max(together(&chosen) + if fill.is_finite() { fill } else { 0.0 })
    })
}

/// The dual bound with the stages weighed by their own times.
fn together(loads: &[&Load]) -> f64 {
    let mut rates = std::collections::BTreeMap::<usize, f64>::new();
    for load in loads {
        for (worker, alone) in &load.alone {
            let rate = rates.entry(*worker).or_default();
            *rate = rate.max(load.together * load.alone.len() as f64 / alone);
        }
    }
    let weights: f64 = loads.iter().map(|load| load.together * load.alone.len() as f64).sum();
    weights / rates.values().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::workload::tests::video;
    use super::*;
    use wanfarm_scheduler::VideoPlan;
    use wanfarm_types::Role;

    const SIZE: SizeClass = SizeClass(1000);
    const ROLES: [Role; 4] = [Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae];

    fn paces(step: f64) -> Vec<(Stage, SizeClass, f64)> {
        let item = |stage, seconds| (stage, if stage == Stage::EncodeText { SizeClass(0) } else { SIZE }, seconds);
        vec![
            item(Stage::EncodeText, 1.0),
            item(Stage::DenoiseHigh, step),
            item(Stage::DenoiseLow, step),
            item(Stage::Decode, 5.0),
        ]
    }

    fn each_role_alone(step: f64) -> Workforce {
        let mut force = Workforce::default();
        for role in ROLES {
            force.add([role], "cpu", paces(step).into_iter().filter(|(stage, ..)| stage.role() == role));
        }
        force
    }

    fn work(videos: u8) -> Workload {
        Workload::of(&(0..videos).map(|text| video(text, 26, 40)).collect::<Vec<_>>())
    }

    #[test]
    fn a_pipeline_takes_its_bottleneck_and_the_fill() {
        let estimate = Estimate::new(&work(10), &each_role_alone(10.0));
        assert_eq!(estimate.bottleneck, Some(Stage::DenoiseHigh));
        // One text, 10 × 26 steps, then the last video's 14 steps and its decoding.
        assert_eq!(estimate.seconds, Some(1.0 + 2600.0 + 140.0 + 5.0));
        let high = &estimate.stages[1];
        assert_eq!((high.units, high.workers, high.seconds_per_unit), (260, 1, Some(10.0)));
        assert_eq!((high.basis, high.seconds), (Some(Basis::Measured), Some(2600.0)));
    }

    #[test]
    fn one_video_takes_its_whole_way() {
        let mut force = each_role_alone(10.0);
        force.add([Role::DitHigh], "cpu", paces(5.0));
        let estimate = Estimate::new(&work(1), &force);
        // Two texts, then everything by the fastest of its role.
        assert_eq!(estimate.seconds, Some(2.0 + 26.0 * 5.0 + 140.0 + 5.0));
    }

    #[test]
    fn a_chain_takes_as_long_as_its_videos_one_after_the_other() {
        let mut force = Workforce::default();
        (0..9).for_each(|_| force.add(ROLES, "cpu", paces(10.0)));
        let alone = |after: [&[u32]; 4]| {
            let plans =
                (0..).zip(after).map(|(text, after)| VideoPlan { after: after.to_vec(), ..video(text, 26, 40) });
            Estimate::new(&Workload::of(&plans.collect::<Vec<_>>()), &force).seconds.unwrap()
        };
        let way = 400.0 + 5.0;
        assert_eq!(alone([&[], &[], &[], &[]]), 1.0 + way, "nine workers have nothing to wait for");
        // Listed in any order; the one that nothing hangs on fills the time.
        assert_eq!(alone([&[2], &[], &[3], &[]]), 1.0 + 3.0 * way);
        assert_eq!(alone([&[], &[0], &[0], &[1, 2]]), 1.0 + 3.0 * way, "of two the longer one");
    }

    #[test]
    fn a_worker_with_both_experts_does_both_in_turn() {
        let mut force = Workforce::default();
        force.add(ROLES, "cpu", paces(10.0));
        let estimate = Estimate::new(&work(10), &force);
        assert_eq!(estimate.seconds, Some(11.0 + 4000.0 + 50.0));
        // A second one of them, twice as fast, takes two thirds of it.
        force.add(ROLES, "cpu", paces(10.0).into_iter().map(|(stage, size, seconds)| (stage, size, seconds / 2.0)));
        let seconds = Estimate::new(&work(10), &force).seconds.unwrap();
        assert!((seconds - 4061.0 / 3.0).abs() < 1e-6, "{seconds}");
    }

    #[test]
    fn workers_of_different_speed_share_by_speed() {
        let mut force = each_role_alone(10.0);
        force.add([Role::DitHigh], "cpu", [(Stage::DenoiseHigh, SIZE, 30.0)]);
        let estimate = Estimate::new(&work(10), &force);
        assert_eq!(estimate.stages[1].seconds, Some(2600.0 * 0.75));
        assert_eq!(estimate.stages[1].seconds_per_unit, Some(15.0));
    }

    #[test]
    fn what_was_never_measured_is_not_guessed() {
        let mut force = Workforce::default();
        force.add(ROLES, "cpu", [(Stage::DenoiseHigh, SIZE, 10.0)]);
        let estimate = Estimate::new(&work(2), &force);
        assert_eq!((estimate.seconds, estimate.bottleneck), (None, None));
        assert_eq!(estimate.stages[1].seconds, Some(520.0));
        assert_eq!(Estimate::new(&work(2), &Workforce::default()).stages[1].workers, 0);
        let nothing = Estimate::new(&Workload::default(), &force);
        assert_eq!((nothing.seconds, nothing.stages.len()), (Some(0.0), 0));
    }

    #[test]
    fn a_step_cache_shortens_the_estimate() {
        let halved = |text| VideoPlan { work: [Some(100), Some(0)].repeat(20), ..video(text, 26, 40) };
        let cached = Workload::of(&(0..10).map(halved).collect::<Vec<_>>());
        let estimate = Estimate::new(&cached, &each_role_alone(10.0));
        assert_eq!(estimate.seconds, Some(1.0 + 1300.0 + 70.0 + 5.0));
        let high = &estimate.stages[1];
        assert_eq!((high.units, high.work, high.seconds_per_unit), (260, 130.0, Some(10.0)));
    }
}
