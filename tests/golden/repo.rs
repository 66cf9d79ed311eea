//! Cases `repo_*`: a complete model folder, recognised as a user's would be, from the prompt's text to frames.
//!
//! Manifest: `run.{prompt,negative_prompt}`, where an empty negative prompt stands for the preset's, as in the official
//! code. Tensors: `{prompt,negative}.ids` and `.context`, `noise`, `timesteps`, `latents.after_step`, `frames_*`.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use wanfarm_model::text::Tokenizer;
use wanfarm_tests::files::{Experts, text_encoder, vae};
use wanfarm_tests::render::{decode, flat};
use wanfarm_types::Role;

use crate::case::{Case, Checks};
use crate::e2e::{Frames, Inputs, Run, last, noise};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let mut checks = Checks::default();
    for layout in case.folders()? {
        check(case, &layout, &mut checks).with_context(|| layout.clone())?;
    }
    Ok(checks)
}

fn check(case: &Case<'_>, layout: &str, checks: &mut Checks) -> Result<()> {
    let io = case.io()?;
    let run = Run::read(case, "")?;
    let path = case.dir.join(layout);
    let folder = wanfarm_model::folder::open(&path)?;
    let [width, height] = [0, 1].map(|axis| case.number(&format!("/run/size_wh/{axis}")));
    let shape = folder.info().geometry.latent_shape(width? as u32, height? as u32, case.number("/run/frames")? as u32);
    checks.equal(format!("{layout}: shape of the latents"), &shape, io.shape("noise")?);

    let tokenizer = Tokenizer::load(folder.tokenizer())?;
    let encoder = text_encoder(folder.weights(Role::TextEncoder)?, &case.device)?;
    let mut context = |name: &str, text: &str| -> Result<Tensor> {
        let ids = tokenizer.encode(text)?.ids;
        let numbers: Vec<i64> = ids.iter().copied().map(i64::from).collect();
        checks.equal(format!("{layout}: {name}.ids"), &numbers, &io.i64(&format!("{name}.ids"))?);
        let context = encoder.encode(&ids)?;
        let name = format!("{name}.context");
        checks.close(format!("{layout}: {name}"), &flat(&context)?, &io.f32(&name)?, run.tolerance);
        Ok(context)
    };
    let text = |key: &str| case.value(&format!("/run/{key}"))?.as_str().with_context(|| format!("{key} is no text"));
    let negative = match text("negative_prompt")? {
        "" => &folder.info().defaults.negative,
        negative => negative,
    };
    let cond = context("prompt", text("prompt")?)?;
    let uncond = context("negative", negative)?;

    let noise = noise(case, checks, &io, "noise")?;
    let experts = Experts::in_folder(&path, DType::F32, &case.device)?;
    let steps = run.denoise(&experts, &Inputs { noise, cond, uncond, image: None })?;
    run.check(checks, layout, &io, &steps)?;

    let vae = vae(&folder.weights(Role::Vae)?, &case.device)?;
    let frames = Frames::read(&io, run.rendered)?;
    let shape = io.shape("noise")?;
    let official = io.f32("latents.after_step")?;
    let official =
        Tensor::from_slice(&official[official.len() - shape.iter().product::<usize>()..], shape, &Device::Cpu)?;
    frames.check_decoder(checks, &decode(&vae, &official)?)?;
    // Not as f32: with two channels, the norms of this autoencoder divide by lengths close to zero, and half an f32
    // rounding (6e-8) of the latents moves single pixels by up to 1.2e-4 of the largest. For the same reason its own
    // roundings on a device are allowed what a render is.
    frames.check_whole(checks, layout, &decode(&vae, &last(&steps, shape)?)?);
    Ok(())
}
