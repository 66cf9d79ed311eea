//! Cases `solvers` and `torch_randn`: schedules, whole trajectories of every solver on an analytic model, and the
//! initial noise.
//!
//! Tensors: `{variant}.s{steps}.sh{shift}.{sigmas,timesteps,traj}`, `lightx2v_distill4.sh{shift}.…`, and the model
//! `v = x·Aᵀ + c·sin(w·t/1000 + phi)`. Of the official variants and the distilled one, the schedule is ours too; the
//! variants of other schedulers check our solvers on the grid that the data gives.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wanfarm_sampling::{Schedule, Solver, SolverState, randn};
use wanfarm_types::SolverKind;

use crate::case::{Case, Checks, Tensors, read_json};

/// Timesteps of the training schedule that the 4-step distilled models were distilled to, and where the experts switch.
const DISTILLED: ([u32; 4], u32) = ([1000, 750, 500, 250], 2);

/// The noise must be torch's to this.
const NOISE_TOLERANCE: f64 = 1e-6;

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    let model = AnalyticModel::read(&io)?;
    let sigma_limit = case.number("/suggested_f32_tolerance/sigmas_abs")?;
    let traj_limit = case.number("/suggested_f32_tolerance/traj_abs")?;
    let mut checks = Checks::default();
    for name in io.names() {
        if let Some(run) = name.strip_suffix(".traj") {
            let run = Run::parse(run, &io)?;
            let sigmas = io.numbers(&format!("{}.sigmas", run.name))?;
            checks.within(format!("{}.sigmas", run.name), &run.schedule.sigmas()[..sigmas.len()], &sigmas, sigma_limit);
            let timesteps = io.numbers(&format!("{}.timesteps", run.name))?;
            checks.equal(format!("{}.timesteps", run.name), run.schedule.timesteps(), &timesteps);
            checks.within(name, &model.trajectory(run.kind, &run.schedule)?, &io.numbers(name)?, traj_limit);
        } else if let Some(run) = name.strip_suffix(".final") {
            // The same solver carried out in f64: only the end of the trajectory.
            let run = run.replace("_f64.", ".");
            let run = Run::parse(&run, &io)?;
            let trajectory = model.trajectory(run.kind, &run.schedule)?;
            let last = io.numbers(name)?;
            checks.within(name, &trajectory[trajectory.len() - last.len()..], &last, traj_limit);
        }
    }
    Ok(checks)
}

/// One variant at one number of steps and shift.
struct Run<'a> {
    name: &'a str,
    kind: SolverKind,
    schedule: Schedule,
}

impl<'a> Run<'a> {
    fn parse(name: &'a str, io: &Tensors) -> Result<Self> {
        let (head, shift) = name.split_once(".sh").with_context(|| format!("{name} names no shift"))?;
        let shift: f64 = shift.parse().with_context(|| format!("the shift of {name}"))?;
        let (variant, steps) = head.split_once(".s").unwrap_or((head, ""));
        let official = |kind| -> Result<_> {
            let steps = steps.parse().with_context(|| format!("the steps of {name}"))?;
            Ok((kind, Schedule::new(kind, steps, shift)?))
        };
        let given = |kind| -> Result<_> {
            let sigmas = io.numbers(&format!("{name}.sigmas"))?;
            Ok((kind, Schedule::from_levels(sigmas, io.numbers(&format!("{name}.timesteps"))?)?))
        };
        let (kind, schedule) = match variant {
            "official_unipc" => official(SolverKind::UniPc)?,
            "official_dpmpp" => official(SolverKind::DpmPlusPlus)?,
            "lightx2v_distill4" => (SolverKind::Euler, Schedule::distilled(&DISTILLED.0, shift, DISTILLED.1)?),
            "diffusers_unipc" => given(SolverKind::UniPc)?,
            "diffusers_dpmpp" => given(SolverKind::DpmPlusPlus)?,
            euler if euler.starts_with("euler_") => given(SolverKind::Euler)?,
            other => bail!("no solver is known for the variant {other}"),
        };
        Ok(Self { name, kind, schedule })
    }
}

/// v = x·Aᵀ + c·sin(w·t/1000 + phi).
struct AnalyticModel {
    a: Vec<f32>,
    c: Vec<f32>,
    w: Vec<f32>,
    phi: Vec<f32>,
    x0: Vec<f32>,
}

impl AnalyticModel {
    fn read(io: &Tensors) -> Result<Self> {
        let tensor = |name: &str| io.f32(&format!("model.{name}"));
        Ok(Self { a: tensor("A")?, c: tensor("c")?, w: tensor("w")?, phi: tensor("phi")?, x0: tensor("x0")? })
    }

    fn velocity(&self, x: &[f32], timestep: f64) -> Vec<f32> {
        let element = |(j, row): (usize, &[f32])| {
            let angle = f64::from(self.w[j]) * timestep / 1000.0 + f64::from(self.phi[j]);
            let product: f64 = row.iter().zip(x).map(|(&a, &x)| f64::from(a) * f64::from(x)).sum();
            (product + f64::from(self.c[j]) * angle.sin()) as f32
        };
        self.a.chunks_exact(x.len()).enumerate().map(element).collect()
    }

    /// The samples before the first step and after each, one behind the other.
    fn trajectory(&self, kind: SolverKind, schedule: &Schedule) -> Result<Vec<f64>> {
        let solver = Solver::new(kind, schedule);
        let mut state = SolverState { sample: self.x0.clone(), history: vec![] };
        let mut trajectory = state.sample.clone();
        for (step, &timestep) in (0..).zip(schedule.timesteps()) {
            state = solver.advance(step, &state, &self.velocity(&state.sample, timestep))?;
            trajectory.extend(&state.sample);
        }
        Ok(trajectory.into_iter().map(f64::from).collect())
    }
}

/// Every draw of `torch_randn.json`: its first and last values, sum and sum of squares.
pub(crate) fn run_torch_randn(path: &Path) -> Result<Checks> {
    let mut checks = Checks::default();
    let draws = read_json(path)?;
    for draw in draws.as_array().context("torch_randn.json is not a list")? {
        let numbers = |key: &str| -> Result<Vec<f64>> {
            let list = draw[key].as_array().with_context(|| format!("a draw has no list {key}"))?;
            list.iter().map(|value| value.as_f64().with_context(|| format!("{key} holds {value}"))).collect()
        };
        let seed = draw["seed"].as_u64().context("a draw has no seed")?;
        let len = numbers("shape")?.iter().product::<f64>() as usize;
        let noise: Vec<f64> = randn(seed, len).into_iter().map(f64::from).collect();
        let what = |part: &str| format!("seed {seed}, {len} elements: {part}");
        let (first, last) = (numbers("first")?, numbers("last")?);
        checks.within(what("first"), &noise[..first.len()], &first, NOISE_TOLERANCE);
        checks.within(what("last"), &noise[len - last.len()..], &last, NOISE_TOLERANCE);
        let sums = [noise.iter().sum::<f64>(), noise.iter().map(|x| x * x).sum()];
        let want = [draw["sum"].as_f64(), draw["sumsq"].as_f64()].map(|sum| sum.unwrap_or(f64::NAN));
        checks.within(what("sums"), &sums, &want, NOISE_TOLERANCE * len as f64);
    }
    Ok(checks)
}

/// What the case must catch: each mistake, made on purpose, has to fail it.
#[cfg(test)]
mod negative_controls {
    use super::*;
    use crate::committed;

    fn caught(kind: SolverKind, change: impl Fn(f64, f64) -> f64) -> bool {
        let folder = committed().unwrap();
        let case = folder.case("solvers").unwrap();
        let io = case.io().unwrap();
        let limit = case.number("/suggested_f32_tolerance/traj_abs").unwrap();
        io.names().filter(|name| name.starts_with("official_unipc.") && name.ends_with(".traj")).all(|name| {
            let run = Run::parse(name.trim_end_matches(".traj"), &io).unwrap();
            let levels = run.schedule.sigmas();
            let timesteps = levels.iter().zip(run.schedule.timesteps()).map(|(&sigma, &t)| change(sigma, t)).collect();
            let schedule = Schedule::from_levels(levels.to_vec(), timesteps).unwrap();
            let trajectory = AnalyticModel::read(&io).unwrap().trajectory(kind, &schedule).unwrap();
            let mut checks = Checks::default();
            checks.within(name, &trajectory, &io.numbers(name).unwrap(), limit);
            !checks.passed()
        })
    }

    #[test]
    fn unipc_as_it_should_be_is_not_caught() {
        assert!(!caught(SolverKind::UniPc, |_, t| t));
    }

    #[test]
    fn a_missing_corrector_is_caught() {
        // The predictor alone is DPM++ on UniPC's grid.
        assert!(caught(SolverKind::DpmPlusPlus, |_, t| t));
    }

    #[test]
    fn first_order_is_caught() {
        assert!(caught(SolverKind::Euler, |_, t| t));
    }

    #[test]
    fn timesteps_that_are_not_truncated_are_caught() {
        assert!(caught(SolverKind::UniPc, |sigma, _| 1000.0 * sigma));
        assert!(caught(SolverKind::UniPc, |sigma, _| (1000.0 * sigma).round()));
    }
}
