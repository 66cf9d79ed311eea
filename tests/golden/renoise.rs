//! Case `e2e_renoise`: renders by solvers whose steps predict the video and draw noise anew.
//!
//! Tensors: `noise`, and for each of `dmd` and `rcm` `context`, `sigmas`, `timesteps`, `latents.after_step`.

use anyhow::{Context, Result};
use candle_core::DType;
use wanfarm_sampling::Schedule;
use wanfarm_tests::files::Experts;
use wanfarm_tests::render::{Denoiser, Step};
use wanfarm_types::{FewSteps, Guidance, SolverKind};

use crate::case::{Case, Checks, Tolerance};
use crate::e2e;

/// The case suggests none: what the others do.
const TOLERANCE: Tolerance = Tolerance { rel_l2: 1e-5, max_abs: 5e-5 };

const SOLVERS: [SolverKind; 2] = [SolverKind::Dmd, SolverKind::Rcm];

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let mut checks = Checks::default();
    e2e::noise(case, &mut checks, &case.io()?, "noise")?;
    for solver in SOLVERS {
        let (io, name) = (case.io()?, solver.name());
        let schedule = schedule(solver)?;
        checks.within(format!("{name}.sigmas"), schedule.sigmas(), &io.numbers(&format!("{name}.sigmas"))?, 1e-7);
        checks.within(
            format!("{name}.timesteps"),
            schedule.timesteps(),
            &io.numbers(&format!("{name}.timesteps"))?,
            1e-4,
        );
        check(case, &mut checks, solver, &denoise(case, solver, &schedule, |_| ())?)?;
    }
    Ok(checks)
}

/// The one that videos get that name only the solver.
fn schedule(solver: SolverKind) -> Result<Schedule> {
    let FewSteps { steps, shift } = solver.few_steps().context("it is for distilled weights")?;
    Ok(Schedule::new(solver, steps, shift)?)
}

fn denoise(
    case: &Case<'_>,
    solver: SolverKind,
    schedule: &Schedule,
    mistake: impl Fn(&mut Denoiser<'_>),
) -> Result<Vec<Step>> {
    let weights = case.value(&format!("/run/weights_of/{}", solver.name()))?.as_str().context("no path")?;
    let experts = Experts::in_folder(&case.dir.join(weights), DType::F32, &case.device)?;
    let (io, seed) = (case.io()?, case.value("/run/seed_of_torch_randn")?.as_u64().context("the seed is no number")?);
    let context = io.tensor(&format!("{}.context", solver.name()))?;
    let mut denoiser = Denoiser {
        experts: &experts,
        high_steps: schedule.high_steps(case.number("/run/boundary")?),
        schedule,
        solver,
        guidance: Guidance { high: 1.0, low: 1.0 },
        image: None,
        seed: Some(seed),
    };
    mistake(&mut denoiser);
    denoiser.run(&io.tensor("noise")?, &context, &context)
}

fn check(case: &Case<'_>, checks: &mut Checks, solver: SolverKind, steps: &[Step]) -> Result<()> {
    let name = format!("{}.latents.after_step", solver.name());
    let all = case.io()?.f32(&name)?;
    let tolerance = case.rendered(case.tolerance_or(TOLERANCE)?);
    for (index, step) in steps.iter().enumerate() {
        let want = all.chunks(step.latents.len()).nth(index).context("too few latents")?;
        checks.close(format!("{name}, step {index}"), &step.latents, want, tolerance);
    }
    checks.equal(
        format!("{name}: steps"),
        &[steps.len()],
        &[all.len() / steps.first().map_or(1, |step| step.latents.len())],
    );
    Ok(())
}

/// What the case must catch: each mistake, made on purpose, has to fail it.
#[cfg(test)]
mod negative_controls {
    use super::*;
    use crate::committed;

    fn caught(solver: SolverKind, mistake: impl Fn(&mut Denoiser<'_>)) -> bool {
        let folder = committed().unwrap();
        let case = folder.case("e2e_renoise").unwrap();
        let mut checks = Checks::default();
        let steps = denoise(&case, solver, &schedule(solver).unwrap(), mistake).unwrap();
        check(&case, &mut checks, solver, &steps).unwrap();
        !checks.passed()
    }

    #[test]
    fn the_runs_as_they_should_be_are_not_caught() {
        assert!(SOLVERS.iter().all(|solver| !caught(*solver, |_| ())));
    }

    #[test]
    fn noise_that_is_kept_is_caught() {
        for solver in SOLVERS {
            assert!(caught(solver, |denoiser| denoiser.solver = SolverKind::Euler));
        }
    }

    #[test]
    fn noise_of_another_seed_is_caught() {
        for solver in SOLVERS {
            assert!(caught(solver, |denoiser| denoiser.seed = Some(1)));
        }
    }

    #[test]
    fn first_noise_that_is_not_scaled_is_caught() {
        assert!(caught(SolverKind::Rcm, |denoiser| denoiser.solver = SolverKind::Dmd));
    }

    #[test]
    fn an_expert_that_takes_over_late_is_caught() {
        assert!(caught(SolverKind::Rcm, |denoiser| denoiser.high_steps += 1));
    }
}
