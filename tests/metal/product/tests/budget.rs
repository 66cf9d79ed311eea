//! What the networks cost on the device, held to `budget.toml`: a change that adds a dispatch, a pass over memory or a wait
//! fails here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use metal_on_cpu::stats::stats;
use serde::Deserialize;
use wanfarm_model::Weights;
use wanfarm_model::dit::{Blocks, Timesteps};
use wanfarm_sampling::randn;
use wanfarm_tests::files::{Experts, golden_data, text_encoder, vae, weights_in};

/// A piece of work, as the budget counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    products: u64,
    attention: u64,
    other: u64,
    other_bytes: u64,
    waits: u64,
}

impl Cost {
    /// All that has run so far.
    fn so_far() -> Self {
        let stats = stats();
        let mut cost = Self { waits: stats.totals.waits, ..Self::default() };
        for (name, kernel) in &stats.kernels {
            if name.starts_with("gem") {
                cost.products += kernel.dispatches;
            } else if name.contains("attention") || name.contains("sdpa") {
                cost.attention += kernel.dispatches;
            } else {
                cost.other += kernel.dispatches;
                cost.other_bytes += kernel.bytes_in + kernel.bytes_out;
            }
        }
        cost
    }

    /// This less another, in parts of so many.
    fn less(self, other: Self, parts: u64) -> Self {
        let each = |a: u64, b: u64| a.saturating_sub(b).div_ceil(parts);
        Self {
            products: each(self.products, other.products),
            attention: each(self.attention, other.attention),
            other: each(self.other, other.other),
            other_bytes: each(self.other_bytes, other.other_bytes),
            waits: each(self.waits, other.waits),
        }
    }
}

/// What some work costs that was done once before: kernels are compiled, tables made.
fn cost(device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<Cost> {
    work()?;
    device.synchronize()?;
    let before = Cost::so_far();
    work()?;
    // A wait of the test's own, so that all has run.
    device.synchronize()?;
    let cost = Cost::so_far().less(before, 1);
    Ok(Cost { waits: cost.waits.saturating_sub(1), ..cost })
}

fn numbers(shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(randn(7, shape.iter().product()), shape, &Device::Cpu)?)
}

fn transformer(device: &Device, costs: &mut BTreeMap<&str, Cost>) -> Result<()> {
    let model = Experts::in_folder(&golden_data().join("dit_hd128/official"), DType::BF16, device)?.low;
    let text = model.embed_text(&numbers(&[9, 40])?)?;
    let latents = numbers(&[16, 1, 16, 16])?;
    let mut residual = None;
    model.forward_with(&latents, Timesteps::Scalar(500.), &text, Blocks::Keep(&mut residual))?;
    let residual = residual.context("the residual was kept")?;
    let forward = |blocks: Blocks<'_>| -> Result<()> {
        model.forward_with(&latents, Timesteps::Scalar(500.), &text, blocks)?.to_device(&Device::Cpu)?;
        Ok(())
    };
    let whole = cost(device, || forward(Blocks::Run))?;
    // The sum with what was kept takes the place of the blocks.
    let ends = cost(device, || forward(Blocks::Reuse(&residual)))?;
    costs.insert("dit_ends", ends);
    costs.insert("dit_block", Cost { other: whole.other + 1, ..whole }.less(ends, model.config().num_layers as u64));
    Ok(())
}

fn encoder(device: &Device, costs: &mut BTreeMap<&str, Cost>) -> Result<()> {
    let [file, ..] = &weights_in(&golden_data().join("umt5/official"))?[..] else { unreachable!() };
    let umt5 = text_encoder(Weights::open(std::slice::from_ref(file))?, device)?;
    let ids: Vec<u32> = (1..25).collect();
    let whole = cost(device, || {
        umt5.encode(&ids)?.to_device(&Device::Cpu)?;
        Ok(())
    })?;
    costs.insert("umt5_layer", whole.less(Cost::default(), umt5.config().num_layers as u64));
    Ok(())
}

fn autoencoder(device: &Device, costs: &mut BTreeMap<&str, Cost>) -> Result<()> {
    let weights = Weights::open(&weights_in(&golden_data().join("vae21/official"))?)?;
    let vae = vae(&weights, device)?;
    let latents = numbers(&[16, 4, 4])?;
    let mut decoder = vae.decoder();
    for _ in 0..2 {
        decoder.push(&latents)?;
    }
    let frame = cost(device, || {
        for frame in decoder.push(&latents)? {
            frame.to_device(&Device::Cpu)?;
        }
        Ok(())
    })?;
    costs.insert("vae21_frame", frame);
    Ok(())
}

#[test]
fn nothing_costs_more_than_its_budget() -> Result<()> {
    let budget = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../budget.toml"))?;
    let budget: BTreeMap<String, Cost> = toml::from_str(&budget)?;
    let (device, mut costs) = (Device::new_metal(0)?, BTreeMap::new());
    transformer(&device, &mut costs)?;
    encoder(&device, &mut costs)?;
    autoencoder(&device, &mut costs)?;
    ensure!(budget.len() == costs.len(), "the budget names {:?}", budget.keys());
    let mut wrong = Vec::new();
    for (name, cost) in &costs {
        let allowed = budget.get(*name).with_context(|| format!("budget.toml has no {name}"))?;
        println!("{name}: {cost:?}");
        if cost != allowed {
            wrong.push(format!("{name} costs {cost:?}, and the budget says {allowed:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
