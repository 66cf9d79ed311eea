//! Cases `umt5*`: the text encoder on given ids, from every file of its weights, whatever their layout and type.
//!
//! The truth is that of f32 weights. Tensors: `ids` and `mask` (prompts, 512) → `context.{i}`, cut to the length of the prompt; `long.ids` → `long.out`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use wanfarm_model::Weights;
use wanfarm_tests::files::{text_encoder, weights_in};
use wanfarm_tests::render::flat;

use crate::case::{Case, Checks, Tolerance};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let io = case.io()?;
    // Names of the outputs, and the ids they are made of.
    let mut prompts = Vec::new();
    let width = io.shape("ids")?[1];
    let (ids, mask) = (io.i64("ids")?, io.i64("mask")?);
    for (index, (ids, mask)) in ids.chunks(width).zip(mask.chunks(width)).enumerate() {
        let length = mask.iter().filter(|&&real| real != 0).count();
        prompts.push((format!("context.{index}"), ids[..length].to_vec()));
    }
    prompts.push(("long.out".to_owned(), io.i64("long.ids")?));

    let mut checks = Checks::default();
    for layout in case.folders()? {
        let named = |file: PathBuf| -> Result<_> {
            Ok((file.strip_prefix(&case.dir)?.display().to_string(), Weights::open(&[file])?))
        };
        let files = weights_in(&case.dir.join(&layout))?.into_iter().map(named).collect::<Result<Vec<_>>>()?;
        let (wide, narrow): (Vec<_>, Vec<_>) = files.into_iter().partition(|(_, weights)| is_f32(weights));
        for (name, weights) in &narrow {
            let (_, truth) = wide.first().context("half-precision weights and none in f32 to compare them with")?;
            check_rounding(&mut checks, name, weights, truth)?;
        }
        let wide = wide.into_iter().map(|file| (file, case.tolerance()));
        let narrow = narrow.into_iter().map(|file| (file, narrow_tolerance(case)));
        for ((name, weights), tolerance) in wide.chain(narrow) {
            let (encoder, tolerance) = (text_encoder(weights, &case.device).with_context(|| name.clone())?, tolerance?);
            for (output, ids) in &prompts {
                let ids: Vec<u32> = ids.iter().map(|&id| u32::try_from(id)).collect::<Result<_, _>>()?;
                checks.close(format!("{name}: {output}"), &flat(&encoder.encode(&ids)?)?, &io.f32(output)?, tolerance);
            }
        }
    }
    Ok(checks)
}

fn is_f32(weights: &Weights) -> bool {
    let all_f32 = |name| weights.tensor(name, None, &Device::Cpu).is_ok_and(|tensor| tensor.dtype() == DType::F32);
    weights.files().names().all(all_f32)
}

/// The tensors of a file in half precision are those of the f32 file, rounded, to the last bit.
fn check_rounding(checks: &mut Checks, file: &str, weights: &Weights, truth: &Weights) -> Result<()> {
    for name in truth.files().names() {
        let stored = weights.tensor(name, None, &Device::Cpu)?;
        let rounded = truth.tensor(name, Some(stored.dtype()), &Device::Cpu)?;
        let [stored, rounded] = [stored, rounded].map(|tensor| tensor.to_dtype(DType::F32));
        checks.equal(format!("{file}: {name}"), &flat(&stored?)?, &flat(&rounded?)?);
    }
    Ok(())
}

/// What the official code loses when it not only stores but computes in half precision; we compute in f32.
fn narrow_tolerance(case: &Case<'_>) -> Result<Tolerance> {
    let figures = case.value("/bf16_vs_f32")?.as_object().and_then(|variants| variants.values().next());
    let figure = |name: &str| figures.and_then(|figures| figures[name].as_f64()).with_context(|| format!("no {name}"));
    Ok(Tolerance { rel_l2: figure("rel_l2")?, max_abs: figure("max_abs")? / figure("ref_max")? })
}
