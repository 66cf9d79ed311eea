//! Cases `e2e_distill*`: a few-step render with a LoRA file per expert, on float timesteps, without guidance.
//!
//! Tensors: `noise`, `context`, `sigmas`, `timesteps`, `latents.after_step`, `frames_f32`. The experts are those of
//! `run.base_weights`, the autoencoder that of `run.vae`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::DType;
use wanfarm_model::Weights;
use wanfarm_sampling::Schedule;
use wanfarm_tests::files::{Experts, vae, weights_in, with_loras};
use wanfarm_tests::render::{Denoiser, Step, decode};
use wanfarm_types::{Expert, Guidance, Role, SolverKind};

use crate::case::{Case, Checks, Tolerance};
use crate::e2e;

/// The case suggests none: what the others do.
const TOLERANCE: Tolerance = Tolerance { rel_l2: 1e-5, max_abs: 5e-5 };

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    let mut checks = Checks::default();
    let schedule = schedule(case)?;
    let sigmas = io.numbers("sigmas")?;
    checks.within("sigmas", &schedule.sigmas()[..sigmas.len()], &sigmas, 1e-7);
    checks.equal("timesteps", schedule.timesteps(), &io.numbers("timesteps")?);
    let experts = experts(case)?;
    let steps = denoise(case, &experts, &schedule)?;
    check_latents(case, &mut checks, &steps)?;
    let whole = denoise(case, &as_a_model(case)?, &schedule)?;
    check_latents(case, &mut checks, &whole)?;
    checks.equal("adapters that are part of the model", &bits(&whole), &bits(&steps));

    let folder = case.dir.join(case.value("/run/vae")?.as_str().context("the VAE is no path")?);
    let vae = vae(&Weights::open(&weights_in(&folder.join("official"))?)?, &case.device)?;
    let video = decode(&vae, &e2e::last(&steps, io.shape("noise")?)?)?;
    checks.rel_l2("frames_f32", &video.clamped()?, &io.f32("frames_f32")?, TOLERANCE.rel_l2);
    Ok(checks)
}

/// The one that videos name as `lightning`.
fn schedule(case: &Case<'_>) -> Result<Schedule> {
    let steps = case.value("/run/denoising_step_list")?.as_array().context("no steps")?.len();
    Ok(Schedule::new(SolverKind::Lightning, steps as u32, case.number("/run/shift")?)?)
}

fn experts(case: &Case<'_>) -> Result<Experts> {
    let base = case.dir.join(case.value("/run/base_weights")?.as_str().context("the weights are no path")?);
    let strength = |index| case.number(&format!("/run/lora_strength_high_low/{index}"));
    let (high, low) = (strength(0)?, strength(1)?);
    let file = |expert: &str| -> PathBuf { case.dir.join(format!("lora_{expert}_noise_model.safetensors")) };
    Experts::adapted(&base, DType::F32, &case.device, |role| match role {
        Role::DitHigh => Some((file("high"), high)),
        _ => Some((file("low"), low)),
    })
}

/// The same experts as one model folder, of which the LoRA files are part.
fn as_a_model(case: &Case<'_>) -> Result<Experts> {
    let base = case.dir.join(case.value("/run/base_weights")?.as_str().context("the weights are no path")?);
    let strength = |index| case.number(&format!("/run/lora_strength_high_low/{index}"));
    let [high, low] = ["high", "low"].map(|expert| case.dir.join(format!("lora_{expert}_noise_model.safetensors")));
    let loras = [(high.as_path(), strength(0)?, Some(Expert::High)), (low.as_path(), strength(1)?, Some(Expert::Low))];
    Experts::in_folder(with_loras(&base, &loras)?.path(), DType::F32, &case.device)
}

fn bits(steps: &[Step]) -> Vec<u32> {
    steps.iter().flat_map(|step| &step.latents).map(|value| value.to_bits()).collect()
}

fn denoise(case: &Case<'_>, experts: &Experts, schedule: &Schedule) -> Result<Vec<Step>> {
    let (io, context) = (case.io()?, case.io()?.tensor("context")?);
    let denoiser = Denoiser {
        experts,
        // By its place in the schedule, whatever the boundary: the timesteps of all four lie above 0.6.
        high_steps: schedule.high_steps(0.875),
        schedule,
        solver: SolverKind::Lightning,
        guidance: Guidance { high: 1.0, low: 1.0 },
        image: None,
        seed: None,
    };
    denoiser.run(&io.tensor("noise")?, &context, &context)
}

fn check_latents(case: &Case<'_>, checks: &mut Checks, steps: &[Step]) -> Result<()> {
    let all = case.io()?.f32("latents.after_step")?;
    let tolerance = case.tolerance_or(TOLERANCE)?;
    for (index, step) in steps.iter().enumerate() {
        let want = all.chunks(step.latents.len()).nth(index).context("too few latents")?;
        checks.close(format!("latents.after_step, step {index}"), &step.latents, want, tolerance);
    }
    checks.equal("steps", &[steps.len()], &[all.len() / steps.first().map_or(1, |step| step.latents.len())]);
    Ok(())
}

/// What the case must catch: each mistake, made on purpose, has to fail it.
#[cfg(test)]
mod negative_controls {
    use super::*;
    use crate::committed;

    fn caught(mistake: impl Fn(Schedule) -> Schedule, exchanged: bool) -> bool {
        let folder = committed().unwrap();
        let case = folder.case("e2e_distill4").unwrap();
        let mut experts = experts(&case).unwrap();
        if exchanged && let Some(high) = experts.high.take() {
            experts.high = Some(std::mem::replace(&mut experts.low, high));
        }
        let mut checks = Checks::default();
        let steps = denoise(&case, &experts, &mistake(schedule(&case).unwrap())).unwrap();
        check_latents(&case, &mut checks, &steps).unwrap();
        !checks.passed()
    }

    #[test]
    fn the_run_as_it_should_be_is_not_caught() {
        assert!(!caught(|schedule| schedule, false));
    }

    #[test]
    fn truncated_timesteps_and_a_switch_by_timestep_are_caught() {
        // A schedule made of levels has no switch of its own: the boundary decides.
        let by_boundary = |s: &Schedule, t: Vec<f64>| Schedule::from_levels(s.sigmas().to_vec(), t).unwrap();
        assert_eq!(by_boundary(&schedule_of_case(), schedule_of_case().timesteps().to_vec()).high_steps(0.875), 2);
        assert!(caught(|s| by_boundary(&s, s.timesteps().iter().map(|t| t.trunc()).collect()), false));
    }

    fn schedule_of_case() -> Schedule {
        schedule(&committed().unwrap().case("e2e_distill4").unwrap()).unwrap()
    }

    #[test]
    fn exchanged_experts_are_caught() {
        assert!(caught(|schedule| schedule, true));
    }
}
