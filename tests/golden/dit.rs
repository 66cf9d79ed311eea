//! Cases `dit_*`: one forward pass of a transformer, in every layout of its files.
//!
//! Tensors: `{run}.x` (B, C, T, H, W), `{run}.y` likewise if the model is conditioned, `{run}.context.{i}` per batch
//! entry, unpadded; `{run}.t{T}.out` for a scalar timestep, `{run}.tok….t` (B, L) and `….out` for one per token;
//! `{run}.cfg_t{T}.cond_uncond` and `.guided_g{G}` for the first entry of x with the first two contexts.
//!
//! Then the same outputs with products in bf16, as GPUs compute them.

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_sampling::guide;
use wanfarm_tests::files::Experts;
use wanfarm_tests::render::flat;

use crate::case::{Case, Checks, Tensors};

/// Of products in bf16. The official code in bf16 is at 0.4 % to 0.7 %.
const BF16_REL_L2: f64 = 1.5e-2;

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    let tolerance = case.tolerance()?;
    let mut checks = Checks::default();
    for layout in case.folders()? {
        let folder = case.dir.join(&layout);
        let load = |dtype| Experts::in_folder(&folder, dtype, &case.device).with_context(|| layout.clone());
        let (exact, narrow) = (load(DType::F32)?.low, load(DType::BF16)?.low);
        for name in io.names().filter(|name| !name.contains(".tap.")) {
            let velocity = |model| output(model, &io, name).with_context(|| name.to_owned());
            if let Some(velocity) = velocity(&exact)? {
                checks.close(format!("{layout}: {name}"), &velocity, &io.f32(name)?, tolerance);
            }
            // Guidance enlarges differences; how much is not the network's.
            if name.contains(".guided") {
                continue;
            }
            if let Some(velocity) = velocity(&narrow)? {
                checks.rel_l2(format!("{layout} in bf16: {name}"), &velocity, &io.f32(name)?, BF16_REL_L2);
            }
        }
    }
    Ok(checks)
}

/// What the model makes of the inputs that belong to a tensor of this name; `None` if it is no output.
fn output(model: &WanModel, io: &Tensors, name: &str) -> Result<Option<Vec<f32>>> {
    if let Some((run, cfg)) = name.split_once(".cfg_t") {
        let (t, scale) = match cfg.split_once(".guided_g") {
            Some((t, scale)) => (t, Some(scale.parse()?)),
            None => (cfg.strip_suffix(".cond_uncond").context("neither cond_uncond nor guided")?, None),
        };
        let t = Timesteps::Scalar(t.parse()?);
        let (cond, uncond) = (forward(model, io, run, t, 0, 0)?, forward(model, io, run, t, 0, 1)?);
        return Ok(Some(match scale {
            Some(scale) => guide(&cond, &uncond, scale)?,
            None => [cond, uncond].concat(),
        }));
    }
    let Some((run, t)) = name.strip_suffix(".out").and_then(|name| name.split_once(".t")) else { return Ok(None) };
    let batch = io.shape(&format!("{run}.x"))?[0];
    let mut velocities = Vec::new();
    if t.starts_with("ok") {
        let times = io.numbers(&format!("{run}.t{t}.t"))?;
        for (entry, times) in times.chunks(times.len() / batch).enumerate() {
            velocities.extend(forward(model, io, run, Timesteps::PerToken(times), entry, entry)?);
        }
    } else {
        let t = Timesteps::Scalar(t.parse()?);
        for entry in 0..batch {
            velocities.extend(forward(model, io, run, t, entry, entry)?);
        }
    }
    Ok(Some(velocities))
}

/// The velocity of one batch entry with one of the contexts.
fn forward(
    model: &WanModel,
    io: &Tensors,
    run: &str,
    timesteps: Timesteps<'_>,
    entry: usize,
    text: usize,
) -> Result<Vec<f32>> {
    let mut x = io.tensor(&format!("{run}.x"))?.get(entry)?;
    let y = format!("{run}.y");
    if io.has(&y) {
        x = Tensor::cat(&[&x, &io.tensor(&y)?.get(entry)?], 0)?;
    }
    let text = model.embed_text(&io.tensor(&format!("{run}.context.{text}"))?)?;
    flat(&model.forward(&x, timesteps, &text)?)
}
