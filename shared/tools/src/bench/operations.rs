//! What a transformer does between its products and attention: passes over memory, at the width of T2V-A14B.

use std::time::Duration;

use candle_core::{DType, Tensor};
use wanfarm_model::ModelError;
use wanfarm_model::ops::activation::gelu_of;
use wanfarm_model::ops::heads::{Way, split};
use wanfarm_model::ops::norm::modulated_norm;
use wanfarm_model::ops::product::Product;
use wanfarm_model::ops::residual::residual;
use wanfarm_model::ops::rope::RopeTable;
use wanfarm_roofline::{Dispatch, Elements, Ledger};

use super::Scene;
use super::result::{Measured, Recorder, Section, Unit};
use super::stopwatch::{self, Timing};

/// Share of the time for each.
const SHARE: f64 = 0.02;
/// Channels of a token, inside the feed-forward layers, and of a head.
const DIM: usize = 5120;
const FFN: usize = 13_824;
const HEAD_DIM: usize = 128;
/// Tokens, or as many as there is time for; multiples of 64.
const TOKENS: [usize; 3] = [8192, 1024, 64];
/// Passes over f32 that an operation without a kernel of its own takes at most.
const PASSES: f64 = 16.;
const EPS: f64 = 1e-6;

/// An operation over so many tokens.
struct Operation {
    name: &'static str,
    channels: usize,
    /// f32 tensors of its size that it reads and writes; and those of the products' type.
    wide: [f64; 2],
    narrow: [f64; 2],
    run: fn(&Scene, usize, Duration) -> Result<Timing, ModelError>,
}

const OPERATIONS: [Operation; 4] = [
    Operation { name: "norm, modulation", channels: DIM, wide: [1., 0.], narrow: [0., 1.], run: norm },
    Operation { name: "bias, norm, rotation, heads", channels: DIM, wide: [0., 0.], narrow: [1., 1.], run: heads },
    Operation { name: "bias, gate, residual", channels: DIM, wide: [1., 1.], narrow: [1., 0.], run: sum },
    Operation { name: "bias, GELU", channels: FFN, wide: [0., 0.], narrow: [1., 1.], run: activation },
];

fn random(scene: &Scene, shape: &[usize], dtype: DType) -> Result<Tensor, ModelError> {
    Ok(Tensor::randn(0f32, 1., shape, &scene.device)?.to_dtype(dtype)?)
}

/// What a linear layer would have given.
fn product(scene: &Scene, tokens: usize, channels: usize) -> Result<Product, ModelError> {
    let bias = random(scene, &[channels], DType::F32)?;
    Ok(Product::new(random(scene, &[tokens, channels], scene.dtype)?, Some(bias)))
}

fn norm(scene: &Scene, tokens: usize, share: Duration) -> Result<Timing, ModelError> {
    let x = random(scene, &[tokens, DIM], DType::F32)?;
    let [scale, shift] = [(); 2].map(|()| random(scene, &[1, DIM], DType::F32));
    let (scale, shift) = (scale?, shift?);
    stopwatch::time(&scene.device, share, || modulated_norm(&x, &scale, &shift, EPS, scene.dtype).map(drop))
}

fn heads(scene: &Scene, tokens: usize, share: Duration) -> Result<Timing, ModelError> {
    let (x, weight) = (product(scene, tokens, DIM)?, random(scene, &[DIM], DType::F32)?);
    let table = RopeTable::new([tokens / 64, 8, 8], HEAD_DIM, &scene.device)?;
    let way = Way { norm: Some((&weight, EPS)), rope: Some((&table, 0)), factor: None };
    stopwatch::time(&scene.device, share, || split(&x, DIM / HEAD_DIM, way, scene.dtype).map(drop))
}

fn sum(scene: &Scene, tokens: usize, share: Duration) -> Result<Timing, ModelError> {
    let (x, branch) = (random(scene, &[tokens, DIM], DType::F32)?, product(scene, tokens, DIM)?);
    let gate = random(scene, &[1, DIM], DType::F32)?;
    stopwatch::time(&scene.device, share, || residual(&x, &branch, Some(&gate)).map(drop))
}

fn activation(scene: &Scene, tokens: usize, share: Duration) -> Result<Timing, ModelError> {
    let x = product(scene, tokens, FFN)?;
    stopwatch::time(&scene.device, share, || gelu_of(&x, scene.dtype).map(drop))
}

/// Rates count what an operation must move: its operands once, and its result.
pub(super) fn measure(scene: &Scene, recorder: &mut Recorder<'_>) {
    for Operation { name, channels, wide, narrow, run } in OPERATIONS {
        let share = scene.limits.share(SHARE);
        let width = |way: usize| wide[way] * Elements::F32.bytes() + narrow[way] * scene.elements.bytes();
        let size = |tokens: usize| (tokens * channels) as f64;
        let most = |tokens| 2. * PASSES * Elements::F32.bytes() * size(tokens);
        let seconds = |tokens| scene.peaks.copy.map_or(0., |copy| most(tokens) / (copy * 1e9));
        let refused = |tokens| scene.limits.refuse(share, seconds(tokens), most(tokens));
        let Some(tokens) = TOKENS.into_iter().find(|&tokens| refused(tokens).is_none()) else {
            let why = TOKENS.last().and_then(|&fewest| refused(fewest)).unwrap_or_default();
            recorder.skipped(Section::Operations, name, why);
            continue;
        };
        let label = format!("{name}, {tokens} tokens of {channels}");
        match run(scene, tokens, share) {
            Ok(timing) => {
                let pass = Dispatch::pass(name, 1, width(0) * size(tokens), width(1) * size(tokens));
                let measured = Measured {
                    section: Section::Operations,
                    name: label,
                    work: pass.bytes(),
                    unit: Unit::Gigabytes,
                    peak: scene.peaks.copy,
                    expected_seconds: scene.chip.map(|chip| chip.seconds(&Ledger(vec![pass]))),
                };
                recorder.measured(measured, &timing);
            }
            Err(error) => recorder.failed(Section::Operations, label, &error),
        }
    }
}
