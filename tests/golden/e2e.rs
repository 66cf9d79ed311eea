//! Cases `e2e_*`: noise and text contexts to latents after every step, and those to frames, in every layout of the
//! model files.
//!
//! Tensors: `noise` or, where it is not there, `latents.init` (the noise of `run.seed_of_torch_randn`),
//! `context.{cond,null}`, `image_u8` and its `y` if there is a first frame or several, `clip_u8` and its `latents.clip` and
//! `latents.noised` if there is a clip; `timesteps`, and one entry per step of
//! `noise_pred_guided`, `latents.after_step` and, where a known first frame is put back, `latents.after_step_reinjected`;
//! `step0.{cond,uncond}`, `latents.final`, `frames_f32` (clamped), `frames_u8`. Under a prefix such as `dpmpp.`, some of
//! them for another solver.

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use wanfarm_image::RgbImage;
use wanfarm_model::Weights;
use wanfarm_model::conditioning::{Anchors, encode, encode_clip};
use wanfarm_model::vae::WanVae;
use wanfarm_sampling::{Schedule, randn};
use wanfarm_tests::files::{Experts, vae, weights_in};
use wanfarm_tests::render::{Denoiser, Step, Video, decode, flat};
use wanfarm_types::{Guidance, SolverKind, steps_run};

use crate::case::{Case, Checks, Tensors, Tolerance};

/// Where a case suggests none: what the others do.
const TOLERANCE: Tolerance = Tolerance { rel_l2: 1e-5, max_abs: 5e-5 };

/// The noise must be torch's to this.
const NOISE_TOLERANCE: f64 = 1e-6;

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    let mut checks = Checks::default();
    let folder = case.dir.join(case.value("/run/vae")?.as_str().context("the VAE is no path")?);
    let vae = vae(&Weights::open(&weights_in(&folder.join("official"))?)?, &case.device)?;
    let noise = noise(case, &mut checks, &io, if io.has("noise") { "noise" } else { "latents.init" })?;
    let inputs = Inputs {
        noise: if io.has("clip_u8") { noised(case, &mut checks, &io, &vae, &noise)? } else { noise },
        cond: io.tensor("context.cond")?,
        uncond: io.tensor("context.null")?,
        image: image(case, &mut checks, &io, &vae)?,
    };
    let frames = Frames::read(&io, case.tolerance()?)?;
    frames.check_decoder(&mut checks, &decode(&vae, &io.tensor("latents.final")?)?)?;

    for layout in case.folders()? {
        let experts =
            Experts::in_folder(&case.dir.join(&layout), DType::F32, &case.device).with_context(|| layout.clone())?;
        for prefix in io.names().filter_map(|name| name.strip_suffix("latents.after_step")) {
            let run = Run::read(case, prefix)?;
            let steps = run.denoise(&experts, &inputs)?;
            run.check(&mut checks, &layout, &io, &steps)?;
            if prefix.is_empty() {
                let latents = last(&steps, io.shape("latents.init")?)?;
                let video = decode(&vae, &latents)?;
                frames.check_whole(&mut checks, &layout, &video);
                frames.check_whole_as_f32(&mut checks, &layout, &video, run.rendered)?;
            }
        }
    }
    Ok(checks)
}

/// Draws the noise of the run's seed and compares it with the tensor of this name.
pub(crate) fn noise(case: &Case<'_>, checks: &mut Checks, io: &Tensors, name: &str) -> Result<Tensor> {
    let seed = case.value("/run/seed_of_torch_randn")?.as_u64().context("the seed is no number")?;
    let shape = io.shape(name)?;
    let noise = randn(seed, shape.iter().product());
    let numbers: Vec<f64> = noise.iter().copied().map(f64::from).collect();
    checks.within(name, &numbers, &io.numbers(name)?, NOISE_TOLERANCE);
    Ok(Tensor::from_vec(noise, shape, &Device::Cpu)?)
}

/// The first frame or frames, and the last if there is one, encoded for the model that has this autoencoder.
fn image(case: &Case<'_>, checks: &mut Checks, io: &Tensors, vae: &WanVae) -> Result<Option<Tensor>> {
    if !io.has("image_u8") {
        return Ok(None);
    }
    let rgb = |name: &str| -> Result<Vec<RgbImage>> {
        let [.., height, width, 3] = *io.shape(name)? else { bail!("{name} is no picture") };
        let bytes = io.u8(name)?;
        bytes.chunks(height * width * 3).map(|bytes| Ok(RgbImage::new(width, height, bytes.to_vec())?)).collect()
    };
    let first = rgb("image_u8")?;
    let last = if io.has("last_image_u8") { rgb("last_image_u8")? } else { Vec::new() };
    let [width, height] = [0, 1].map(|axis| case.number(&format!("/run/size_wh/{axis}")));
    let (size, frames) = ([width? as usize, height? as usize], case.number("/run/frames")? as usize);
    let encoded = encode(vae, Anchors { first: &first, last: last.first() }, size, frames, || false)?;
    let encoded = encoded.context("encoding was stopped")?;
    if io.has("y") {
        checks.close("y", &flat(&encoded)?, &io.f32("y")?, case.tolerance_or(TOLERANCE)?);
    }
    Ok(Some(encoded))
}

/// The clip, encoded and noised to the level of the first step that is run.
fn noised(case: &Case<'_>, checks: &mut Checks, io: &Tensors, vae: &WanVae, noise: &Tensor) -> Result<Tensor> {
    let shape = io.shape("clip_u8")?.to_vec();
    let bytes = io.u8("clip_u8")?;
    let frame = |bytes: &[u8]| -> Result<RgbImage> { Ok(RgbImage::new(shape[2], shape[1], bytes.to_vec())?) };
    let frames = bytes.chunks(shape[1] * shape[2] * 3).map(frame);
    let clip = encode_clip(vae, frames, [shape[2], shape[1]], || false)?.context("encoding was stopped")?;
    let tolerance = case.tolerance_or(TOLERANCE)?;
    checks.close("latents.clip", &flat(&clip)?, &io.f32("latents.clip")?, tolerance);
    let noised = Run::read(case, "")?.schedule.noised(&flat(&clip)?, &flat(noise)?);
    checks.close("latents.noised", &noised, &io.f32("latents.noised")?, tolerance);
    Ok(Tensor::from_vec(noised, noise.shape(), &Device::Cpu)?)
}

/// The latents after the last step.
pub(crate) fn last(steps: &[Step], shape: &[usize]) -> Result<Tensor> {
    let latents = &steps.last().context("a run without steps")?.latents;
    Ok(Tensor::from_slice(latents, shape, &Device::Cpu)?)
}

/// The official video.
pub(crate) struct Frames {
    f32: Vec<f32>,
    u8: Vec<u8>,
    tolerance: Tolerance,
}

impl Frames {
    /// `tolerance` is the decoder's, on the official latents.
    pub(crate) fn read(io: &Tensors, tolerance: Tolerance) -> Result<Self> {
        Ok(Self { f32: io.f32("frames_f32")?, u8: io.u8("frames_u8")?, tolerance })
    }

    /// Of the official latents: the decoder alone.
    pub(crate) fn check_decoder(&self, checks: &mut Checks, video: &Video) -> Result<()> {
        checks.close("official latents → frames_f32", &video.clamped()?, &self.f32, self.tolerance);
        checks.levels("official latents → frames_u8", &video.rgb, &self.u8);
        Ok(())
    }

    /// Of our own latents. They may differ from the official ones by the tolerance, and a decoder with random weights
    /// amplifies that as its weights happen to; so what is demanded of the whole chain is the same picture.
    pub(crate) fn check_whole(&self, checks: &mut Checks, layout: &str, video: &Video) {
        checks.levels(format!("{layout}: frames_u8"), &video.rgb, &self.u8);
    }

    /// Of our own latents, where the decoder is known to keep their tolerance.
    fn check_whole_as_f32(&self, checks: &mut Checks, layout: &str, video: &Video, tolerance: Tolerance) -> Result<()> {
        checks.close(format!("{layout}: frames_f32"), &video.clamped()?, &self.f32, tolerance);
        Ok(())
    }
}

/// What a denoiser starts from.
pub(crate) struct Inputs {
    pub(crate) noise: Tensor,
    pub(crate) cond: Tensor,
    pub(crate) uncond: Tensor,
    pub(crate) image: Option<Tensor>,
}

/// How the latents came about, as the manifest tells it.
pub(crate) struct Run {
    /// Of its tensors' names.
    prefix: String,
    solver: SolverKind,
    schedule: Schedule,
    guidance: Guidance,
    high_steps: u32,
    /// Of a network alone.
    pub(crate) tolerance: Tolerance,
    /// Of what comes of guidance and steps.
    pub(crate) rendered: Tolerance,
}

impl Run {
    pub(crate) fn read(case: &Case<'_>, prefix: &str) -> Result<Self> {
        let solver = match prefix {
            "" => case.value("/run/solver").map_or(Some("unipc"), Value::as_str).context("the solver is no name")?,
            prefix => prefix.trim_end_matches('.'),
        };
        let solver = match solver {
            "unipc" => SolverKind::UniPc,
            "dpmpp" | "dpm++" => SolverKind::DpmPlusPlus,
            other => bail!("no solver is known as {other}"),
        };
        let steps = case.number("/run/steps")? as u32;
        let schedule = Schedule::new(solver, steps, case.number("/run/shift")?)?;
        let schedule = match case.number("/run/strength") {
            Ok(strength) => schedule.last(steps_run(steps, strength))?,
            Err(_) => schedule,
        };
        let high_steps = match case.value("/run/boundary")?.as_f64() {
            Some(boundary) => schedule.high_steps(boundary),
            None => 0,
        };
        let guidance = match case.number("/run/guide") {
            Ok(scale) => Guidance { high: scale, low: scale },
            Err(_) => {
                Guidance { low: case.number("/run/guide_low_high/0")?, high: case.number("/run/guide_low_high/1")? }
            }
        };
        let tolerance = case.tolerance_or(TOLERANCE)?;
        let rendered = case.rendered(tolerance);
        Ok(Self { prefix: prefix.to_owned(), solver, schedule, guidance, high_steps, tolerance, rendered })
    }

    pub(crate) fn denoise(&self, experts: &Experts, inputs: &Inputs) -> Result<Vec<Step>> {
        let denoiser = Denoiser {
            experts,
            high_steps: self.high_steps,
            schedule: &self.schedule,
            solver: self.solver,
            guidance: self.guidance,
            image: inputs.image.as_ref(),
            seed: None,
        };
        denoiser.run(&inputs.noise, &inputs.cond, &inputs.uncond)
    }

    /// Every step that the data holds, and the end.
    pub(crate) fn check(&self, checks: &mut Checks, layout: &str, io: &Tensors, steps: &[Step]) -> Result<()> {
        let name = |what: &str| format!("{}{what}", self.prefix);
        checks.equal(name("timesteps"), self.schedule.timesteps(), &io.numbers(&name("timesteps"))?);
        let mut check = |what: &str, index: Option<usize>, got: &[f32]| -> Result<()> {
            let name = name(what);
            if io.has(&name) {
                let all = io.f32(&name)?;
                let want = match index {
                    Some(index) => all.chunks(got.len()).nth(index).with_context(|| format!("{name} is too short"))?,
                    None => &all,
                };
                let step = index.map_or(String::new(), |index| format!(", step {index}"));
                let tolerance = if what.starts_with("step0") { self.tolerance } else { self.rendered };
                checks.close(format!("{layout}: {name}{step}"), got, want, tolerance);
            }
            Ok(())
        };
        for (index, step) in steps.iter().enumerate() {
            if index == 0 {
                check("step0.cond", None, &step.cond)?;
                check("step0.uncond", None, &step.uncond)?;
            }
            check("noise_pred_guided", Some(index), &step.guided)?;
            check("latents.after_step", Some(index), &step.stepped)?;
            check("latents.after_step_reinjected", Some(index), &step.latents)?;
            if index + 1 == steps.len() {
                check("latents.final", None, &step.latents)?;
            }
        }
        Ok(())
    }
}

/// What the case must catch: each mistake, made on purpose, has to fail it.
#[cfg(test)]
mod negative_controls {
    use super::*;
    use crate::committed;

    fn caught(mistake: impl Fn(&mut Run)) -> bool {
        let folder = committed().unwrap();
        let case = folder.case("e2e_t2v_a14b").unwrap();
        let io = case.io().unwrap();
        let experts = Experts::in_folder(&case.dir.join("official_repo"), DType::F32, &case.device).unwrap();
        let mut run = Run::read(&case, "").unwrap();
        mistake(&mut run);
        let mut checks = Checks::default();
        let [noise, cond, uncond] =
            ["latents.init", "context.cond", "context.null"].map(|name| io.tensor(name).unwrap());
        let steps = run.denoise(&experts, &Inputs { noise, cond, uncond, image: None }).unwrap();
        run.check(&mut checks, "official_repo", &io, &steps).unwrap();
        !checks.passed()
    }

    #[test]
    fn the_run_as_it_should_be_is_not_caught() {
        assert!(!caught(|_| ()));
    }

    #[test]
    fn exchanged_guidance_is_caught() {
        assert!(caught(|run| run.guidance = Guidance { high: run.guidance.low, low: run.guidance.high }));
    }

    #[test]
    fn an_expert_that_takes_over_a_step_late_is_caught() {
        assert!(caught(|run| run.high_steps += 1));
    }

    /// Of a video from a clip: what its first step finds, with a mistake.
    fn caught_of_a_clip(mistake: impl Fn(&Schedule, &[f32], &[f32]) -> Vec<f32>) -> bool {
        let folder = committed().unwrap();
        let case = folder.case("e2e_v2v").unwrap();
        let io = case.io().unwrap();
        let run = Run::read(&case, "").unwrap();
        let found = mistake(&run.schedule, &io.f32("latents.clip").unwrap(), &io.f32("latents.init").unwrap());
        let mut checks = Checks::default();
        checks.close("latents.noised", &found, &io.f32("latents.noised").unwrap(), run.tolerance);
        !checks.passed()
    }

    #[test]
    fn a_clip_that_is_noised_otherwise_is_caught() {
        let both = |a: f32, b: f32, clip: &[f32], noise: &[f32]| -> Vec<f32> {
            clip.iter().zip(noise).map(|(clip, noise)| a * clip + b * noise).collect()
        };
        assert!(!caught_of_a_clip(|schedule, clip, noise| schedule.noised(clip, noise)));
        assert!(caught_of_a_clip(|schedule, clip, noise| schedule.noised(noise, clip)));
        let sigma = |schedule: &Schedule, step: usize| schedule.sigmas()[step] as f32;
        assert!(caught_of_a_clip(|schedule, clip, noise| both(1.0, sigma(schedule, 0), clip, noise)));
        let late = |schedule: &Schedule, clip: &[f32], noise: &[f32]| {
            both(1.0 - sigma(schedule, 1), sigma(schedule, 1), clip, noise)
        };
        assert!(caught_of_a_clip(late));
        assert!(caught_of_a_clip(|schedule, clip, noise| both(0.0, sigma(schedule, 0), clip, noise)));
    }

    #[test]
    fn a_missing_corrector_is_caught() {
        assert!(caught(|run| run.solver = SolverKind::DpmPlusPlus));
    }
}
