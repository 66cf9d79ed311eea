//! Case `lora`: one forward pass of a transformer with each LoRA file at each strength, merged and on the side, over
//! every layout of the model files.
//!
//! Tensors: `x`, `context`, `out.base`, `out.{file}.s{strength}` at timestep 500, and some weights after merging at
//! strength 1, `merged.{file}.{tensor}`.

use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use wanfarm_model::Weights;
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::folder;
use wanfarm_model::lora::{Adapters, Lora};
use wanfarm_tests::files::with_loras;
use wanfarm_tests::render::flat;
use wanfarm_types::{Expert, Role};
use wanfarm_weights::transformer::parameters;

use crate::case::{Case, Checks, Tensors};

const TIMESTEP: f64 = 500.0;

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let (io, tolerance) = (case.io()?, case.tolerance()?);
    let mut checks = Checks::default();
    for layout in case.folders()? {
        let folder = folder::open(&case.dir.join(&layout))?;
        let mut weights = folder.weights(Role::Dit)?;
        let config = folder.dit_config(Role::Dit, &weights)?;
        let load = |weights: &Weights| WanModel::load(config, weights, DType::F32, &case.device);
        let mut resident = load(&weights)?;
        let base = io.f32("out.base")?;
        checks.close(format!("{layout}: out.base"), &velocity(&resident, &io)?, &base, tolerance);
        for name in io.names().filter(|name| name.starts_with("out.") && *name != "out.base") {
            let (file, strength) = name["out.".len()..].split_once(".s").context("no strength")?;
            let path = case.dir.join(format!("lora_{file}.safetensors"));
            let lora = Arc::new(Lora::open(&path, &parameters(&config), Expert::Single)?);
            let adapters = |strength| Adapters::new(vec![(lora.clone(), strength)]);
            weights.adapt(adapters(strength.parse()?));
            let want = io.f32(name)?;
            checks.close(format!("{layout}: {name}, merged"), &velocity(&load(&weights)?, &io)?, &want, tolerance);
            // From one file to the next, without reading the network again.
            resident.adapt(&weights)?;
            checks.close(format!("{layout}: {name}, on the side"), &velocity(&resident, &io)?, &want, tolerance);
            weights.adapt(adapters(1.0));
            let prefix = format!("merged.{file}.");
            for merged in io.names().filter(|merged| merged.starts_with(&prefix)) {
                let tensor = weights.tensor(&merged[prefix.len()..], Some(DType::F32), &Device::Cpu)?;
                checks.close(format!("{layout}: {merged}"), &flat(&tensor)?, &io.f32(merged)?, tolerance);
            }
        }
        for name in io.names().filter(|name| name.starts_with("out.") && *name != "out.base") {
            let (file, strength) = name["out.".len()..].split_once(".s").context("no strength")?;
            let path = case.dir.join(format!("lora_{file}.safetensors"));
            let entries = [(path.as_path(), strength.parse()?, None)];
            let model = with_loras(&case.dir.join(&layout), &entries)?;
            let folder = folder::open(model.path())?;
            let want = io.f32(name)?;
            let mut weights = folder.weights(Role::Dit)?;
            let mut part_of_it = load(&weights)?;
            checks.close(
                format!("{layout}: {name}, part of the model"),
                &velocity(&part_of_it, &io)?,
                &want,
                tolerance,
            );
            // What videos name comes on top, and goes without it.
            let lora = Arc::new(Lora::open(&path, &parameters(&config), Expert::Single)?);
            weights.adapt(Adapters::new(vec![(lora, -strength.parse::<f64>()?)]));
            part_of_it.adapt(&weights)?;
            checks.close(format!("{layout}: {name}, taken back"), &velocity(&part_of_it, &io)?, &base, tolerance);
            weights.adapt(Adapters::default());
            part_of_it.adapt(&weights)?;
            checks.close(format!("{layout}: {name}, once more"), &velocity(&part_of_it, &io)?, &want, tolerance);
        }
        // Nothing of them stays.
        weights.adapt(Adapters::default());
        resident.adapt(&weights)?;
        checks.equal(
            format!("{layout}: base after all"),
            &velocity(&resident, &io)?,
            &velocity(&load(&weights)?, &io)?,
        );
    }
    Ok(checks)
}

fn velocity(model: &WanModel, io: &Tensors) -> Result<Vec<f32>> {
    let text = model.embed_text(&io.tensor("context")?)?;
    flat(&model.forward(&io.tensor("x")?.get(0)?, Timesteps::Scalar(TIMESTEP), &text)?)
}

/// What the case must catch: each mistake, made on purpose, has to fail it.
#[cfg(test)]
mod negative_controls {
    use candle_core::Tensor;

    use super::*;
    use crate::committed;

    /// Whether the case fails when `mistake` is made in a LoRA file.
    fn caught(file: &str, mistake: impl Fn(String, Tensor) -> Option<(String, Tensor)>) -> bool {
        let folder = committed().unwrap();
        let case = folder.case("lora").unwrap();
        let (io, tolerance) = (case.io().unwrap(), case.tolerance().unwrap());
        let path = case.dir.join(format!("lora_{file}.safetensors"));
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let changed = dir.path().join("lora.safetensors");
        let tensors = tensors.into_iter().filter_map(|(name, tensor)| mistake(name, tensor));
        candle_core::safetensors::save(&tensors.collect(), &changed).unwrap();
        let folder = folder::open(&case.dir.join("official")).unwrap();
        let mut weights = folder.weights(Role::Dit).unwrap();
        let config = folder.dit_config(Role::Dit, &weights).unwrap();
        let lora = Lora::open(&changed, &parameters(&config), Expert::Single).unwrap();
        weights.adapt(Adapters::new(vec![(Arc::new(lora), 1.0)]));
        let model = WanModel::load(config, &weights, DType::F32, &case.device).unwrap();
        let mut checks = Checks::default();
        let want = io.f32(&format!("out.{file}.s1.0")).unwrap();
        checks.close("", &velocity(&model, &io).unwrap(), &want, tolerance);
        !checks.passed()
    }

    #[test]
    fn files_as_they_should_be_are_not_caught() {
        assert!(!caught("kohya_musubi", |name, tensor| Some((name, tensor))));
        assert!(!caught("lightx2v", |name, tensor| Some((name, tensor))));
    }

    #[test]
    fn a_forgotten_alpha_is_caught() {
        for file in ["kohya_musubi", "lightx2v"] {
            assert!(caught(file, |name, tensor| (!name.ends_with(".alpha")).then_some((name, tensor))), "{file}");
        }
    }

    #[test]
    fn forgotten_differences_are_caught() {
        for end in ["norm_q.diff", "norm3.diff", ".diff_b", "blocks.1.diff_m", "head.diff_m", "patch_embedding.diff"] {
            assert!(caught("lightx2v", |name, tensor| (!name.ends_with(end)).then_some((name, tensor))), "{end}");
        }
    }

    #[test]
    fn exchanged_layers_are_caught() {
        let exchanged = |name: String, tensor| match name.contains("attn1.to_k") {
            true => Some((name.replace("attn1.to_k", "attn1.to_v"), tensor)),
            false => Some((name.replace("attn1.to_v", "attn1.to_k"), tensor)),
        };
        assert!(caught("diffusers_peft", exchanged));
    }
}
