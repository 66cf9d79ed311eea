//! Farms of machines that are told nothing: which weights they hold is the scheduler's to decide.

use std::collections::BTreeMap;

use wanfarm_types::{ModelRole, Role, Stage};

use crate::batch::{Batch, GB, Machine, footprint, fraction, of, plan, video, worker};
use crate::farm::{Farm, Figures, LOAD_SPEED};

const T2V: &str = "t2v";
const I2V: &str = "i2v";
const DRAFT: &str = "1.3b";

fn roles_of(model: &str) -> Vec<ModelRole> {
    let dit: &[Role] = if model == DRAFT { &[Role::Dit] } else { &[Role::DitHigh, Role::DitLow] };
    [Role::TextEncoder, Role::Vae].iter().chain(dit).map(|&role| of(model, role)).collect()
}

fn machine(number: u32, models: &[&str], speed: f64, budget: u64) -> Machine {
    let roles = models.iter().flat_map(|model| roles_of(model)).collect();
    Machine { id: worker(number), roles, speed, budget: Some(budget) }
}

fn rendered(batch: &Batch) -> Figures {
    let mut farm = Farm::new(batch);
    farm.render(batch);
    assert_eq!(farm.open_videos(), 0);
    farm.figures
}

/// Seconds of all work in a role on the fastest machine.
fn work(batch: &Batch, role: &ModelRole) -> f64 {
    let videos = batch.ids().filter(|video| batch.plan(video.job).model == role.model);
    let stages = Stage::ALL.into_iter().filter(|stage| stage.role() == role.role);
    let stages: Vec<Stage> = stages.collect();
    let shared = if role.role == Role::TextEncoder { 2.0 } else { 0.0 };
    videos.flat_map(|video| stages.iter().map(move |&stage| batch.whole(stage, video))).sum::<f64>() + shared
}

/// One machine that has room for one role at a time.
#[test]
fn one_small_machine_loads_each_role_once_for_a_whole_batch() {
    for videos in [1, 8, 200] {
        let stages = [(Stage::DenoiseHigh, 26), (Stage::DenoiseLow, 40)];
        let batch = Batch {
            plans: vec![plan(0, T2V, (0..videos).map(|n| video(n, &stages)))],
            workers: vec![machine(0, &[T2V], 1.0, 33 * GB)],
        };
        let figures = rendered(&batch);
        let all = roles_of(T2V);
        let loads: f64 = all.iter().map(|role| footprint(role).weights as f64 / LOAD_SPEED).sum();
        let least = all.iter().map(|role| work(&batch, role)).sum::<f64>() + loads;
        println!(
            "{videos} videos on one machine: {} loads, {:.0} s; {:.0} s, {:.4} of computing and one load of each",
            figures.loads,
            figures.loading,
            figures.makespan,
            figures.makespan / least
        );
        assert_eq!(figures.loads, 4);
        assert!(figures.makespan <= 1.02 * least);
    }
}

/// Ten machines of all kinds, a job of each model, drafts in between.
#[test]
fn unequal_machines_share_the_roles_of_three_models_by_themselves() {
    for seed in 0..3 {
        let models = [T2V, I2V, DRAFT];
        let budgets = [33, 40, 48, 72, 33, 96, 48, 33, 140, 40];
        let machine = |(number, budget): (u32, &u64)| {
            machine(number, &models, 0.25 + 0.75 * fraction(u64::from(seed * 100 + number)), budget * GB)
        };
        let workers: Vec<Machine> = (0..).zip(&budgets).map(machine).collect();
        let videos =
            |first: u32, count: u32, stages: &'static [(Stage, u32)]| (first..first + count).map(|n| video(n, stages));
        let plans = vec![
            plan(0, T2V, videos(0, 60, &[(Stage::DenoiseHigh, 26), (Stage::DenoiseLow, 40)])),
            plan(1, DRAFT, videos(100, 100, &[(Stage::Denoise, 50)])),
            plan(2, I2V, videos(300, 60, &[(Stage::DenoiseHigh, 15), (Stage::DenoiseLow, 40)])),
        ];
        let batch = Batch { plans, workers };
        let figures = rendered(&batch);
        let all: Vec<ModelRole> = models.iter().flat_map(|model| roles_of(model)).collect();
        let speed: f64 = batch.workers.iter().map(|machine| machine.speed).sum();
        let least = all.iter().map(|role| work(&batch, role)).sum::<f64>() / speed;
        let layout = best_static(&batch).max(least);
        println!(
            "seed {seed}: {:.0} s, {:.4} of the least, {:.4} of the best static layout's; {} loads, {:.0} s; {} stopped",
            figures.makespan,
            figures.makespan / least,
            figures.makespan / layout,
            figures.loads,
            figures.loading,
            figures.stopped
        );
        assert!(figures.makespan <= 1.08 * least, "{} against {least}", figures.makespan);
        assert!(figures.makespan <= 1.03 * layout, "{} against {layout}", figures.makespan);
    }
}

/// The shortest any night could be whose machines hold one transformer from beginning to end: each pool's work shared out
/// perfectly among its machines, over all ways to share them out, as if encoding and decoding took no time.
fn best_static(batch: &Batch) -> f64 {
    let pools = [of(T2V, Role::DitHigh), of(T2V, Role::DitLow), of(I2V, Role::DitHigh), of(I2V, Role::DitLow)];
    let pools = pools.into_iter().chain([of(DRAFT, Role::Dit)]);
    let works: Vec<f64> = pools.map(|role| work(batch, &role)).collect();
    let speeds: Vec<f64> = batch.workers.iter().map(|machine| machine.speed).collect();
    best(&works, &speeds, &mut [0.0; 5])
}

fn best(works: &[f64], speeds: &[f64], rates: &mut [f64; 5]) -> f64 {
    let Some((speed, others)) = speeds.split_first() else {
        return works.iter().zip(rates).map(|(work, rate)| *work / *rate).fold(0.0, f64::max);
    };
    (0..works.len()).fold(f64::INFINITY, |least, pool| {
        let before = rates[pool];
        rates[pool] += speed;
        let found = best(works, others, rates);
        rates[pool] = before;
        least.min(found)
    })
}

/// A thousand machines and a large batch: how long decisions take.
#[test]
#[expect(clippy::disallowed_methods, reason = "a farm of another size is asked for by its environment")]
fn a_large_farm_without_roles_stays_near_the_least_time() {
    let size = std::env::var("WANFARM_ELASTIC").unwrap_or_else(|_| "1000 100 20".into());
    let size: Vec<u32> = size.split(' ').map(|number| number.parse().expect("videos, workers and steps")).collect();
    let (high, end) = (size[2] * 26 / 40, size[2]);
    let stages = [(Stage::DenoiseHigh, high), (Stage::DenoiseLow, end)];
    let speed = |number: u32| 0.25 + 0.75 * fraction(u64::from(number));
    let budget = |number: u32| GB * if number.is_multiple_of(3) { 72 } else { 40 };
    let workers = (0..size[1]).map(|number| machine(number, &[T2V], speed(number), budget(number))).collect();
    let plans = vec![plan(0, T2V, (0..size[0]).map(|n| video(n, &stages)))];
    let batch = Batch { plans, workers };
    let figures = rendered(&batch);
    let all = roles_of(T2V);
    let speed: f64 = batch.workers.iter().map(|machine| machine.speed).sum();
    let least = all.iter().map(|role| work(&batch, role)).sum::<f64>() / speed;
    println!(
        "{} videos on {} machines: {:.0} s, {:.4} of the least; {} loads; {} assignments, {:?} each; {} inputs, {:?} each",
        size[0],
        size[1],
        figures.makespan,
        figures.makespan / least,
        figures.loads,
        figures.assigned,
        figures.deciding / figures.assigned,
        figures.inputs,
        figures.total / figures.inputs,
    );
    let by_role: BTreeMap<Role, f64> = all.iter().map(|role| (role.role, work(&batch, role))).collect();
    assert!(figures.makespan <= 1.04 * least, "{} against {least}: {by_role:?}", figures.makespan);
}
