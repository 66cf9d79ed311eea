//! The product's own kernels against the primitives that they replace, which the CPU computes: over widths that fill no
//! threadgroup, single rows, views with an offset, modulation per row and for all, and operands that they must leave to
//! the primitives.
//!
//! Limits are relative to the greatest value of the result. In f32 both sides round some ten times, and sum a row in
//! another order. In bf16 the result is rounded once more, and the two may round to neighbours: 2⁻⁸.

use std::sync::{Mutex, MutexGuard, OnceLock};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use metal_on_cpu::stats::totals;
use wanfarm_model::layers::conv::{CausalConv3d, Conv2d, History, Window};
use wanfarm_model::ops::activation::gelu_of;
use wanfarm_model::ops::heads::{Way, merge, split};
use wanfarm_model::ops::norm::{affine_norm, modulated_norm};
use wanfarm_model::ops::product::Product;
use wanfarm_model::ops::residual::residual;
use wanfarm_model::ops::rope::RopeTable;
use wanfarm_sampling::randn;

const F32: f64 = 4e-6;
const BF16: f64 = 1. / 256.;
/// Tokens × channels: less than a simdgroup, more than a threadgroup, the published models' own, and the widest.
const SHAPES: [(usize, usize); 6] = [(1, 4), (3, 12), (37, 260), (5, 1536), (3, 5120), (2, 8192)];

/// Dispatches are counted for the whole process: one test at a time.
fn device() -> Result<(MutexGuard<'static, ()>, Device)> {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok((turn, DEVICE.get_or_init(|| Device::new_metal(0).expect("the emulated device is always there")).clone()))
}

fn numbers(shape: &[usize], seed: u64) -> Result<Tensor> {
    Ok(Tensor::from_vec(randn(seed, shape.iter().product()), shape, &Device::Cpu)?)
}

/// The same numbers within a larger buffer.
fn inside(x: &Tensor, device: &Device) -> Result<Tensor> {
    let there = x.to_device(device)?;
    let rows = x.dim(0)?;
    Ok(Tensor::cat(&[&there, &there, &there], 0)?.narrow(0, rows, rows)?)
}

/// Compares what the device made, by one kernel, with what the CPU makes of the same.
#[track_caller]
fn same(what: &str, dtype: DType, want: &Tensor, device: &Device, got: impl FnOnce() -> Result<Tensor>) -> Result<()> {
    device.synchronize()?;
    let before = totals();
    let got = got()?;
    device.synchronize()?;
    assert_eq!(totals().since(before).dispatches, 1, "{what} takes one kernel");
    assert_eq!((got.dtype(), got.dims()), (dtype, want.dims()), "{what}");
    let host = |t: &Tensor| -> Result<Vec<f32>> {
        Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    };
    let (got, want) = (host(&got)?, host(want)?);
    let greatest = want.iter().fold(0f64, |most, value| most.max(f64::from(value.abs())));
    let off = got.iter().zip(&want).map(|(got, want)| f64::from((got - want).abs()) / greatest);
    let off = off.fold(0f64, |worst, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) });
    let limit = if dtype == DType::F32 { F32 } else { BF16 };
    println!("{what:<60} {off:.2e} (limit {limit:.1e})");
    assert!(off <= limit, "{what}: {off:.3e} is more than {limit:.1e}");
    Ok(())
}

/// A product as the CPU and the device have it, the latter in `dtype`.
fn product(shape: (usize, usize), bias: bool, dtype: DType, device: &Device) -> Result<(Product, Product)> {
    let rows = numbers(&[shape.0, shape.1], 11)?.to_dtype(dtype)?;
    let bias = bias.then(|| numbers(&[shape.1], 12)).transpose()?;
    let there = bias.as_ref().map(|bias| bias.to_device(device)).transpose()?;
    let here = Product::new(rows.to_dtype(DType::F32)?, bias);
    Ok((here, Product::new(inside(&rows, device)?, there)))
}

#[test]
fn norms() -> Result<()> {
    let (_turn, device) = device()?;
    for (rows, width) in SHAPES {
        // A mean of 10: the one-pass form would lose a hundred times the digits.
        let x = (numbers(&[rows, width], 1)? + 10.)?;
        let there = inside(&x, &device)?;
        for (modulated, dtype) in [(1, DType::F32), (rows, DType::BF16)] {
            let (scale, shift) = (numbers(&[modulated, width], 2)?, numbers(&[modulated, width], 3)?);
            let (scale_there, shift_there) = (inside(&scale, &device)?, inside(&shift, &device)?);
            let want = modulated_norm(&x, &scale, &shift, 1e-6, dtype)?;
            same(&format!("norm {rows}x{width} {dtype:?}"), dtype, &want, &device, || {
                Ok(modulated_norm(&there, &scale_there, &shift_there, 1e-6, dtype)?)
            })?;
        }
        let (weight, bias) = (numbers(&[width], 4)?, numbers(&[width], 5)?);
        let want = affine_norm(&x, &weight, &bias, 1e-6, DType::BF16)?;
        let (weight, bias) = (weight.to_device(&device)?, bias.to_device(&device)?);
        same(&format!("affine norm {rows}x{width}"), DType::BF16, &want, &device, || {
            Ok(affine_norm(&there, &weight, &bias, 1e-6, DType::BF16)?)
        })?;
    }
    Ok(())
}

#[test]
fn heads_and_back() -> Result<()> {
    let (_turn, device) = device()?;
    for (tokens, heads, dim) in [(1, 1, 4), (6, 3, 12), (24, 5, 52), (12, 12, 128), (4, 40, 128)] {
        let width = heads * dim;
        let weight = numbers(&[width], 4)?;
        let weight_there = weight.to_device(&device)?;
        let grid = [2 * tokens, 1, 1];
        let (rope, rope_there) = (RopeTable::new(grid, dim, &Device::Cpu)?, RopeTable::new(grid, dim, &device)?);
        for dtype in [DType::F32, DType::BF16] {
            let (here, there) = product((tokens, width), true, dtype, &device)?;
            let way = Way { norm: Some((&weight, 1e-6)), rope: Some((&rope, tokens)), factor: Some(1.02) };
            let way_there = Way { norm: Some((&weight_there, 1e-6)), rope: Some((&rope_there, tokens)), ..way };
            for (name, way, way_there) in [
                ("queries", way, way_there),
                ("text queries", Way { rope: None, ..way }, Way { rope: None, ..way_there }),
                ("values", Way::default(), Way::default()),
            ] {
                let want = split(&here, heads, way, dtype)?;
                same(&format!("{name} {tokens}x{heads}x{dim} {dtype:?}"), dtype, &want, &device, || {
                    Ok(split(&there, heads, way_there, dtype)?)
                })?;
            }
            let x = numbers(&[heads, tokens, dim], 7)?.to_dtype(dtype)?;
            let want = merge(&x, dtype)?;
            let x = x.to_device(&device)?;
            same(&format!("merge {tokens}x{heads}x{dim} {dtype:?}"), dtype, &want, &device, || Ok(merge(&x, dtype)?))?;
        }
    }
    Ok(())
}

#[test]
fn residuals_and_gelu() -> Result<()> {
    let (_turn, device) = device()?;
    for (rows, width) in SHAPES {
        let x = numbers(&[rows, width], 1)?;
        let there = inside(&x, &device)?;
        for (dtype, bias) in [(DType::F32, false), (DType::BF16, true)] {
            let (branch, branch_there) = product((rows, width), bias, dtype, &device)?;
            for gates in [None, Some(1), Some(rows)] {
                let gate = gates.map(|gates| numbers(&[gates, width], 6)).transpose()?;
                let want = residual(&x, &branch, gate.as_ref())?;
                let gate = gate.map(|gate| inside(&gate, &device)).transpose()?;
                same(
                    &format!("residual {rows}x{width} {dtype:?} gates {gates:?}"),
                    DType::F32,
                    &want,
                    &device,
                    || Ok(residual(&there, &branch_there, gate.as_ref())?),
                )?;
            }
            let want = gelu_of(&branch, dtype)?;
            same(&format!("gelu {rows}x{width} {dtype:?}"), dtype, &want, &device, || {
                Ok(gelu_of(&branch_there, dtype)?)
            })?;
        }
    }
    Ok(())
}

/// Every window over sizes that fill no tile, and at the edges of one; channels that fill no step; streams that begin.
#[test]
fn convolutions() -> Result<()> {
    let (_turn, device) = device()?;
    for (height, width, inner, outer) in [(2, 2, 1, 1), (8, 10, 3, 17), (6, 12, 20, 16), (16, 18, 33, 70)] {
        let frames = (0..4).map(|frame| numbers(&[height, width, inner], 20 + frame)).collect::<Result<Vec<_>>>()?;
        let bias = numbers(&[outer], 9)?;
        for reach in [1, 3] {
            let side = if reach == 1 { 1 } else { 3 };
            let weight = numbers(&[outer, inner, 3, side, side], 8)?;
            let here = CausalConv3d::new(&weight, bias.clone(), &Device::Cpu)?;
            let there = CausalConv3d::new(&weight, bias.to_device(&device)?, &device)?;
            let (mut before, mut before_there) = (History::default(), History::default());
            for (index, frame) in frames.iter().enumerate() {
                let want = here.forward(frame, &mut before)?;
                let frame = inside(frame, &device)?;
                same(
                    &format!("{height}x{width} {inner} to {outer}, {side} a side, frame {index}"),
                    DType::F32,
                    &want,
                    &device,
                    || Ok(there.forward(&frame, &mut before_there)?),
                )?;
            }
        }
        let weight = numbers(&[outer, inner, 3, 3], 8)?;
        for window in [Window::Same, Window::Doubling, Window::Halving] {
            let want = Conv2d::new(&weight, bias.clone(), window, &Device::Cpu)?.forward(&frames[0])?;
            let conv = Conv2d::new(&weight, bias.to_device(&device)?, window, &device)?;
            let frame = inside(&frames[0], &device)?;
            same(&format!("{height}x{width} {inner} to {outer}, {window:?}"), DType::F32, &want, &device, || {
                Ok(conv.forward(&frame)?)
            })?;
        }
    }
    Ok(())
}

/// A word of MSL that means nothing in C++: as a name it would vanish here, and not compile on a Mac.
#[test]
fn no_kernel_has_a_name_that_is_a_word_of_the_language() -> Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/model/src/ops/metal");
    let mut sources = 0;
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "metal") {
            let code: String =
                std::fs::read_to_string(&path)?.lines().map(|l| l.split("//").next().unwrap_or(l)).collect();
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(!words.any(|word| word == "thread"), "{}", path.display());
            sources += 1;
        }
    }
    assert!(sources > 5);
    Ok(())
}

/// Widths that are no whole groups of four, and rows that are too wide: the primitives compute them.
#[test]
fn what_a_kernel_does_not_take_is_computed_all_the_same() -> Result<()> {
    let (_turn, device) = device()?;
    for width in [6, 8196] {
        let x = numbers(&[3, width], 1)?;
        let (scale, shift) = (numbers(&[1, width], 2)?, numbers(&[1, width], 3)?);
        let want = modulated_norm(&x, &scale, &shift, 1e-6, DType::F32)?.to_vec2::<f32>()?;
        let [x, scale, shift] = [x, scale, shift].map(|t| t.to_device(&device));
        let got = modulated_norm(&x?, &scale?, &shift?, 1e-6, DType::F32)?.to_vec2::<f32>()?;
        let off = got.iter().flatten().zip(want.iter().flatten()).fold(0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(off < 1e-4, "{width}: {off}");
    }
    Ok(())
}
