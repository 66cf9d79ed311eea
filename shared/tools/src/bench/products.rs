//! Products, copies and attention: what everything else is a fraction of.

use std::time::Duration;

use candle_core::{DType, Tensor};
use wanfarm_model::ModelError;
use wanfarm_model::ops::attention::attend;
use wanfarm_roofline::{Dispatch, Elements, Ledger};

use super::Scene;
use super::result::{Measured, Recorder, Section, Unit};
use super::stopwatch;

/// Shares of the time for all sizes of a product, copying, and attention.
const PRODUCTS: f64 = 0.08;
const COPY: f64 = 0.03;
const ATTENTION: f64 = 0.1;
/// Rows, columns and what is summed over: squares, then products of T2V-A14B's blocks over a chunk of tokens.
const SIZES: [[usize; 3]; 7] =
    [[256; 3], [512; 3], [1024; 3], [2048; 3], [4096; 3], [8192, 5120, 5120], [8192, 13_824, 5120]];
/// Numbers that are copied.
const COPIES: [usize; 3] = [1 << 20, 1 << 24, 1 << 27];
/// Heads of T2V-A14B, and channels of each.
const HEADS: usize = 40;
const HEAD_DIM: usize = 128;
/// Queries and keys of attention.
const LENGTHS: [usize; 5] = [256, 1024, 4096, 16_384, 32_760];

fn elements(dtype: DType) -> Elements {
    if dtype == DType::F32 { Elements::F32 } else { Elements::Bf16 }
}

/// Products from small to large; the best rate.
pub(super) fn measure(scene: &Scene, dtype: DType, recorder: &mut Recorder<'_>) -> Option<f64> {
    let mut peak: Option<f64> = None;
    for [rows, columns, inner] in SIZES {
        let name = format!("{} {rows}x{columns}x{inner}", dtype.as_str());
        let work = 2. * (rows * columns * inner) as f64;
        // Operands, the result, and f32 that they are made of.
        let bytes = 12. * (rows * inner + inner * columns + rows * columns) as f64;
        let share = scene.limits.share(PRODUCTS / SIZES.len() as f64);
        if let Some(why) = scene.limits.refuse(share, scene.at_least(work, peak), bytes) {
            recorder.skipped(Section::Products, name, why);
            continue;
        }
        let [m, n, k] = [rows, columns, inner].map(|size| size as f64);
        let dispatch = Dispatch::product("product", elements(dtype), 1, [m, n, k]);
        let expected_seconds = scene.chip.map(|chip| chip.seconds(&Ledger(vec![dispatch])));
        match product(scene, dtype, [rows, columns, inner], share) {
            Ok(timing) => {
                let (section, unit) = (Section::Products, Unit::Teraflops);
                let measured = Measured { section, name, work, unit, peak: None, expected_seconds };
                let rate = recorder.measured(measured, &timing);
                peak = Some(peak.map_or(rate, |peak| peak.max(rate)));
            }
            Err(error) => recorder.failed(Section::Products, name, &error),
        }
    }
    peak
}

fn product(
    scene: &Scene,
    dtype: DType,
    [rows, columns, inner]: [usize; 3],
    share: Duration,
) -> Result<stopwatch::Timing, ModelError> {
    let random = |shape| Tensor::randn(0f32, 1., shape, &scene.device)?.to_dtype(dtype);
    let (x, matrix) = (random((rows, inner))?, random((columns, inner))?.t()?);
    stopwatch::time(&scene.device, share, || Ok(x.matmul(&matrix).map(drop)?))
}

/// 10⁹ bytes a second, read and written, of the largest copy there is time for.
pub(super) fn copy(scene: &Scene, recorder: &mut Recorder<'_>) -> Option<f64> {
    let mut peak: Option<f64> = None;
    for numbers in COPIES {
        let work = 8. * numbers as f64;
        let name = format!("copy of {} MiB", numbers >> 18);
        let share = scene.limits.share(COPY / COPIES.len() as f64);
        let seconds = peak.map_or(0., |peak| work / (peak * 1e9));
        if let Some(why) = scene.limits.refuse(share, seconds, 2. * work) {
            recorder.skipped(Section::Memory, name, why);
            continue;
        }
        match time_copy(scene, numbers, share) {
            Ok(timing) => {
                let dispatch = Dispatch::pass("copy", 1, work / 2., work / 2.);
                let expected_seconds = scene.chip.map(|chip| chip.seconds(&Ledger(vec![dispatch])));
                let (section, unit) = (Section::Memory, Unit::Gigabytes);
                let measured = Measured { section, name, work, unit, peak: None, expected_seconds };
                // The small ones fit into caches.
                peak = Some(recorder.measured(measured, &timing));
            }
            Err(error) => recorder.failed(Section::Memory, name, &error),
        }
    }
    peak
}

/// Into memory that is there already: making it takes longer on some systems.
fn time_copy(scene: &Scene, numbers: usize, share: Duration) -> Result<stopwatch::Timing, ModelError> {
    let [from, to] = [1f32, 0.].map(|value| Tensor::full(value, numbers, &scene.device));
    let (from, to) = (from?.contiguous()?, to?.contiguous()?);
    stopwatch::time(&scene.device, share, || Ok(to.slice_set(&from, 0, 0)?))
}

/// Attention of all tokens to all, as long as there is time for.
pub(super) fn attention(scene: &Scene, recorder: &mut Recorder<'_>) {
    let mut peak = None;
    for length in LENGTHS {
        let channels = HEADS * HEAD_DIM;
        let name = format!("{} {HEADS} heads of {HEAD_DIM}, {length} tokens", scene.dtype.as_str());
        let sizes = [length as f64, length as f64, channels as f64];
        let dispatch = Dispatch::attention("attention", scene.elements, 1, sizes);
        let share = scene.limits.share(ATTENTION / LENGTHS.len() as f64);
        let bytes = 24. * (length * channels) as f64;
        if let Some(why) = scene.limits.refuse(share, scene.at_least(dispatch.flops, peak), bytes) {
            recorder.skipped(Section::Attention, name, why);
            continue;
        }
        let run = || {
            let random = || Tensor::randn(0f32, 1., (HEADS, length, HEAD_DIM), &scene.device);
            let (q, k, v) = (random()?, random()?.to_dtype(scene.dtype)?, random()?.to_dtype(scene.dtype)?);
            let scale = 1. / (HEAD_DIM as f64).sqrt();
            stopwatch::time(&scene.device, share, || attend(&q, &k, &v, None, scale).map(drop))
        };
        match run() {
            Ok(timing) => {
                let measured = Measured {
                    section: Section::Attention,
                    name,
                    work: dispatch.flops,
                    unit: Unit::Teraflops,
                    peak: scene.peaks.product,
                    expected_seconds: scene.chip.map(|chip| chip.seconds(&Ledger(vec![dispatch]))),
                };
                peak = Some(recorder.measured(measured, &timing));
            }
            Err(error) => recorder.failed(Section::Attention, name, &error),
        }
    }
}
