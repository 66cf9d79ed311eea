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
use wanfarm_model::ModelError;
use wanfarm_model::layers::conv::{CausalConv3d, Conv2d, History, Window};
use wanfarm_model::ops::activation::gelu_of;
use wanfarm_model::ops::attention::attend;
use wanfarm_model::ops::heads::{Way, merge, split};
use wanfarm_model::ops::norm::{affine_norm, modulated_norm, rms_norm_silu};
use wanfarm_model::ops::product::Product;
use wanfarm_model::ops::residual::residual;
use wanfarm_model::ops::rope::RopeTable;
use wanfarm_sampling::randn;

const F32: f64 = 4e-6;
const BF16: f64 = 1. / 256.;
/// Of attention in bf16: the result is rounded, and the weights of the softmax before they are summed with the values.
const ATTENTION: f64 = 2. * BF16;
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
    let limit = if dtype == DType::F32 { F32 } else { BF16 };
    close(what, (dtype, limit, 1), want, device, got)
}

#[track_caller]
fn close(
    what: &str,
    (dtype, limit, dispatches): (DType, f64, usize),
    want: &Tensor,
    device: &Device,
    got: impl FnOnce() -> Result<Tensor>,
) -> Result<()> {
    device.synchronize()?;
    let before = totals();
    let got = got()?;
    device.synchronize()?;
    assert_eq!(totals().since(before).dispatches, dispatches as u64, "{what}: kernels");
    assert_eq!((got.dtype(), got.dims()), (dtype, want.dims()), "{what}");
    let host = |t: &Tensor| -> Result<Vec<f32>> {
        Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    };
    let (got, want) = (host(&got)?, host(want)?);
    let greatest = want.iter().fold(0f64, |most, value| most.max(f64::from(value.abs())));
    let off = got.iter().zip(&want).map(|(got, want)| f64::from((got - want).abs()) / greatest);
    let off = off.fold(0f64, |worst, off| if off.is_nan() { f64::INFINITY } else { worst.max(off) });
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
fn heads() -> Result<()> {
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
        }
    }
    Ok(())
}

/// Channels that fill no simdgroup, those of the published autoencoders, and a pixel of zeros.
#[test]
fn norms_and_silu_of_pixels() -> Result<()> {
    let (_turn, device) = device()?;
    for (height, width, channels) in [(1, 1, 2), (3, 5, 33), (2, 7, 96), (4, 4, 384), (1, 2, 1024)] {
        let x = numbers(&[height, width, channels], 1)?;
        let x = Tensor::cat(&[&x.zeros_like()?, &x, &(&x * 100.)?], 0)?;
        let weight = numbers(&[channels], 4)?;
        let want = rms_norm_silu(&x, &weight, 1e-26)?;
        let (there, weight) = (inside(&x, &device)?, weight.to_device(&device)?);
        same(&format!("norm, SiLU {height}x{width}x{channels}"), DType::F32, &want, &device, || {
            Ok(rms_norm_silu(&there, &weight, 1e-26)?)
        })?;
    }
    Ok(())
}

/// One dispatch for each 4,096 queries and nothing else: not for queries that lie between others, nor for putting the heads
/// together. Fewer queries and keys than a tile has, one more than a tile, and one more than a dispatch.
#[test]
fn attention_copies_nothing() -> Result<()> {
    let (_turn, device) = device()?;
    for (heads, queries, keys, dim) in
        [(2, 1, 31, 128), (3, 33, 33, 128), (2, 32, 16, 128), (1, 4097, 17, 128), (2, 31, 65, 64)]
    {
        let (k, v) = (numbers(&[heads, keys, dim], 2)?, numbers(&[heads, keys, dim], 3)?);
        let q = numbers(&[queries, heads, dim], 1)?;
        for (dtype, limit) in [(DType::F32, F32), (DType::BF16, ATTENTION)] {
            let round = |t: &Tensor| t.to_dtype(dtype)?.to_dtype(DType::F32);
            // The scale is a power of two over log₂e, so that nothing is left to do before.
            let scale = 0.125 / std::f64::consts::LOG2_E;
            let want = merge(&attend(&round(&q)?.transpose(0, 1)?, &round(&k)?, &round(&v)?, None, scale)?)?;
            let there = |t: &Tensor| t.to_dtype(dtype)?.to_device(&device);
            let (q, k, v) = (there(&q)?.transpose(0, 1)?, there(&k)?, there(&v)?);
            let what = format!("{heads} heads of {dim}, {queries} queries, {keys} keys, {dtype:?}");
            close(&what, (dtype, limit, queries.div_ceil(4096)), &want, &device, || {
                Ok(merge(&attend(&q, &k, &v, None, scale)?)?)
            })?;
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

/// An operand in forms that a kernel would misread, and whether what is computed of each must be right: dense or not, it
/// is the same operand. The others may be refused.
fn forms(operand: &Tensor) -> Result<Vec<(&'static str, bool, Tensor)>> {
    let last = operand.rank() - 1;
    let width = operand.dim(last)?;
    let beside = Tensor::stack(&[operand, &operand.neg()?], last + 1)?.narrow(last + 1, 0, 1)?.squeeze(last + 1)?;
    let flat = operand.flatten_all()?;
    let behind = Tensor::cat(&[&flat.narrow(0, 0, 1)?, &flat], 0)?.narrow(0, 1, flat.elem_count())?;
    let mut forms = vec![
        ("with others between its numbers", true, beside),
        ("where no vector may lie", true, behind.reshape(operand.shape())?),
        ("too wide", false, Tensor::cat(&[operand, &operand.narrow(last, 0, 4)?], last)?),
        ("too narrow", false, operand.narrow(last, 0, width - 4)?),
        ("of one number", false, operand.narrow(last, 0, 1)?),
        ("in bf16", false, operand.to_dtype(DType::BF16)?),
        ("in f64", false, operand.to_dtype(DType::F64)?),
    ];
    if last > 0 {
        let rows = operand.dim(0)?;
        forms.extend([
            ("transposed", true, operand.transpose(0, last)?.contiguous()?.transpose(0, last)?),
            ("of too many rows", false, Tensor::cat(&[operand, operand], 0)?),
            ("of too few rows", false, operand.narrow(0, 0, rows - 1)?),
        ]);
    }
    Ok(forms)
}

/// What the device makes of every form of an operand is what the CPU makes of it, or an error.
fn never_wrong(
    what: &str,
    operand: &Tensor,
    device: &Device,
    run: impl Fn(&Device, &Tensor) -> Result<Tensor, ModelError>,
) -> Result<()> {
    let host = |t: Tensor| -> Result<Vec<f32>> {
        Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    };
    for (form, must_be_right, operand) in forms(operand)? {
        let want = run(&Device::Cpu, &operand);
        let there = operand.to_device(device)?;
        assert_eq!(there.layout(), operand.layout(), "the form does not survive the way to the device");
        let got = run(device, &there).map_err(anyhow::Error::from).and_then(host);
        match (want, got) {
            (Ok(want), Ok(got)) => {
                let want = host(want)?;
                assert_eq!(got.len(), want.len(), "{what} {form}");
                let greatest = want.iter().fold(0f32, |most, value| most.max(value.abs()));
                let right = got.iter().zip(&want).all(|(got, want)| f64::from((got - want).abs() / greatest) <= F32);
                assert!(right, "{what} {form}: the result is wrong");
                println!("{what} {form}: right");
            }
            (_, Err(why)) => {
                assert!(!must_be_right, "{what} {form}: {why}");
                println!("{what} {form}: refused");
            }
            (Err(why), Ok(_)) => panic!("{what} {form} is computed, which the CPU refuses: {why}"),
        }
    }
    assert!(run(device, operand).is_err(), "{what} left on the CPU");
    Ok(())
}

#[test]
fn operands_that_do_not_fit_are_refused() -> Result<()> {
    let (_turn, device) = device()?;
    let (rows, heads, head) = (6, 3, 12);
    let width = heads * head;
    let (x, y, wide) = (numbers(&[rows, width], 1)?, numbers(&[rows, width], 2)?, numbers(&[rows, width], 3)?);
    let (one, other) = (numbers(&[width], 4)?, numbers(&[width], 5)?);
    let at = |t: &Tensor, device: &Device| t.to_device(device);

    never_wrong("tokens of a norm", &x, &device, |to, x| {
        modulated_norm(x, &at(&wide, to)?, &at(&one, to)?, 1e-6, DType::F32)
    })?;
    for (what, scale) in [("scale of rows", &wide), ("scale of all", &one)] {
        never_wrong(what, scale, &device, |to, scale| {
            modulated_norm(&at(&x, to)?, scale, &at(&wide, to)?, 1e-6, DType::F32)
        })?;
    }
    never_wrong("shift", &wide, &device, |to, shift| {
        modulated_norm(&at(&x, to)?, &at(&wide, to)?, shift, 1e-6, DType::F32)
    })?;
    never_wrong("weight of a layer norm", &one, &device, |to, weight| {
        affine_norm(&at(&x, to)?, weight, &at(&other, to)?, 1e-6, DType::F32)
    })?;

    never_wrong("what GELU is of", &x, &device, |to, x| {
        gelu_of(&Product::new(x.clone(), Some(at(&one, to)?)), DType::F32)
    })?;
    never_wrong("bias of GELU", &one, &device, |to, bias| {
        gelu_of(&Product::new(at(&x, to)?, Some(bias.clone())), DType::F32)
    })?;

    let branch = |to: &Device, bias: &Tensor| -> Result<Product, ModelError> {
        Ok(Product::new(at(&y, to)?, Some(bias.clone())))
    };
    never_wrong("tokens of a residual", &x, &device, |to, x| {
        residual(x, &branch(to, &at(&one, to)?)?, Some(&at(&wide, to)?))
    })?;
    never_wrong("branch", &y, &device, |to, y| residual(&at(&x, to)?, &Product::new(y.clone(), None), None))?;
    never_wrong("bias of a branch", &one, &device, |to, bias| residual(&at(&x, to)?, &branch(to, bias)?, None))?;
    for (what, gate) in [("gate of rows", &wide), ("gate of all", &other)] {
        never_wrong(what, gate, &device, |to, gate| residual(&at(&x, to)?, &branch(to, &at(&one, to)?)?, Some(gate)))?;
    }

    let tables = |to: &Device, head| RopeTable::new([2 * rows, 1, 1], head, to);
    let split_with = |to: &Device, x: &Tensor, bias: &Tensor, weight: &Tensor, heads, head| {
        let way = Way { norm: Some((weight, 1e-6)), rope: Some((&tables(to, head)?, rows)), factor: Some(1.02) };
        split(&Product::new(x.clone(), Some(bias.clone())), heads, way, DType::F32)
    };
    never_wrong("what becomes heads", &x, &device, |to, x| {
        split_with(to, x, &at(&one, to)?, &at(&other, to)?, heads, head)
    })?;
    never_wrong("bias of heads", &one, &device, |to, bias| {
        split_with(to, &at(&x, to)?, bias, &at(&other, to)?, heads, head)
    })?;
    never_wrong("weight of heads", &other, &device, |to, weight| {
        split_with(to, &at(&x, to)?, &at(&one, to)?, weight, heads, head)
    })?;
    let [x_there, one_there, other_there] = [&x, &one, &other].map(|t| at(t, &device));
    let (x_there, one_there, other_there) = (x_there?, one_there?, other_there?);
    for (heads, head) in [(heads, head - 4), (heads, head + 4), (5, 8), (0, head)] {
        let got = split_with(&device, &x_there, &one_there, &other_there, heads, head);
        assert!(got.is_err(), "{heads} heads of {head}");
    }

    let tokens = |seed| numbers(&[heads, rows, 32], seed);
    let (q, k, v) = (tokens(7)?, tokens(8)?, tokens(9)?);
    never_wrong("queries", &q, &device, |to, q| attend(q, &at(&k, to)?, &at(&v, to)?, None, 0.2))?;
    never_wrong("keys", &k, &device, |to, k| attend(&at(&q, to)?, k, &at(&v, to)?, None, 0.2))?;
    Ok(())
}

/// Pixels that are normalised, and frames of a convolution, its weight and bias; frames of several sizes.
#[test]
fn frames_that_do_not_fit_are_refused() -> Result<()> {
    let (_turn, device) = device()?;
    let (frame, weight, bias) = (numbers(&[6, 8, 8], 1)?, numbers(&[12, 8, 3, 3, 3], 2)?, numbers(&[12], 3)?);
    let at = |t: &Tensor, device: &Device| t.to_device(device);
    let norm = numbers(&[8], 4)?;
    never_wrong("pixels", &frame, &device, |to, x| rms_norm_silu(x, &at(&norm, to)?, 1e-6))?;
    never_wrong("weight of pixels", &norm, &device, |to, weight| rms_norm_silu(&at(&frame, to)?, weight, 1e-6))?;
    never_wrong("frame", &frame, &device, |to, frame| {
        let plain = weight.narrow(2, 0, 1)?.squeeze(2)?;
        Conv2d::new(&plain, at(&bias, to)?, Window::Halving, to)?.forward(frame)
    })?;
    never_wrong("bias of a convolution", &bias, &device, |to, bias| {
        CausalConv3d::new(&weight, bias.clone(), to)?.forward(&at(&frame, to)?, &mut History::default())
    })?;
    for dtype in [DType::BF16, DType::F64] {
        let conv = CausalConv3d::new(&weight.to_dtype(dtype)?, at(&bias, &device)?, &device)?;
        assert!(conv.forward(&at(&frame, &device)?, &mut History::default()).is_err(), "a weight in {dtype:?}");
    }
    for other in [[6, 8, 4], [4, 8, 8], [6, 4, 8], [8, 10, 8]] {
        let unequal = |to: &Device| -> Result<Tensor, ModelError> {
            let conv = CausalConv3d::new(&weight, at(&bias, to)?, to)?;
            let mut history = History::default();
            let other = Tensor::ones(&other, DType::F32, to)?;
            conv.skip(&other, &mut history)?;
            conv.skip(&at(&frame, to)?, &mut history)?;
            Ok(conv.forward(&at(&frame, to)?, &mut history)?.flatten_all()?.to_device(&Device::Cpu)?)
        };
        match (unequal(&Device::Cpu), unequal(&device)) {
            (Ok(want), Ok(got)) => {
                let off = (want.clone() - got)?.abs()?.max_all()?.to_scalar::<f32>()?;
                let greatest = want.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(f64::from(off / greatest) <= F32, "a frame of {other:?} before: {off}");
            }
            (Err(_), Err(_)) => (),
            (want, got) => panic!("a frame of {other:?} before: {:?}, {:?}", want.map(drop), got.map(drop)),
        }
    }
    Ok(())
}
