//! Faults of candle 0.11.1 on Metal, each as small as it gets: a test fails when candle no longer has the fault, and
//! then `UPSTREAM.md`, which tells of them, and what the product does about them are to be looked at.

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{D, Device, Module, Result, Tensor};
use metal_on_cpu::findings;
use suite::numbers;

/// A device of its own for each test: the command buffers of some of them fail.
fn metal() -> Result<Device> {
    Device::new_metal(0)
}

/// A matrix in blocks on the device.
fn blocks(device: &Device, kind: GgmlDType, shape: (usize, usize)) -> Result<QMatMul> {
    let here = QTensor::quantize(&numbers(shape, 42)?, kind)?;
    QMatMul::from_qtensor(QTensor::new(QStorage::from_data(here.data()?, device, kind)?, shape)?)
}

fn greatest(t: &Tensor) -> Result<f32> {
    let all: Vec<f32> = t.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
    Ok(all.into_iter().fold(0., |m, v| if v.is_nan() { f32::INFINITY } else { m.max(v.abs()) }))
}

/// 1. Twice as many groups of threads as rows need: the second half writes past the result.
#[test]
fn a_single_row_times_q2k_writes_past_the_result() -> Result<()> {
    let device = metal()?;
    let matrix = blocks(&device, GgmlDType::Q2K, (64, 512))?;
    let row = numbers((1, 512), 41)?.to_device(&device)?;
    let error = matrix.forward(&row)?.to_device(&Device::Cpu).expect_err("it is in order now");
    assert!(error.to_string().contains("kernel_mul_mv_q2_K_f32: out of bounds"), "{error}");
    assert!(findings::take("kernel_mul_mv_q2_K_f32: out of bounds"));
    Ok(())
}

// 2. is in `upstream_attention.rs`.

/// 3. A view's rows are taken from the start of its buffer.
#[test]
fn products_with_blocks_ignore_where_a_view_starts() -> Result<()> {
    let device = metal()?;
    let matrix = blocks(&device, GgmlDType::Q8_0, (64, 256))?;
    let x = numbers((12, 256), 41)?.to_device(&device)?;
    // `contiguous` copies nothing here: the view is contiguous, with an offset.
    let got = matrix.forward(&x.narrow(0, 8, 4)?.contiguous()?)?;
    let first = matrix.forward(&x.narrow(0, 0, 4)?)?;
    assert_eq!(greatest(&(got - first)?)?, 0., "it is in order now");
    Ok(())
}

/// 4. A kernel that is a view is taken for dense.
#[test]
fn conv2d_takes_a_transposed_kernel_for_dense() -> Result<()> {
    let (x, w) = (numbers((1, 3, 6, 6), 14)?, numbers((2, 3, 3, 3), 15)?);
    let transposed = |t: &Tensor| t.transpose(D::Minus1, D::Minus2);
    let want = x.conv2d(&transposed(&w)?.contiguous()?, 0, 1, 1, 1)?;
    let device = metal()?;
    let got = x.to_device(&device)?.conv2d(&transposed(&w.to_device(&device)?)?, 0, 1, 1, 1)?;
    let off = greatest(&(got.to_device(&Device::Cpu)? - &want)?)? / greatest(&want)?;
    assert!(off > 0.1, "it is in order now: {off}");
    Ok(())
}

/// 6. Lanes without a part in the last sum do not come to the barrier.
#[test]
fn a_barrier_of_gemv_is_not_for_all_threads() -> Result<()> {
    let (device, x, y) = (metal()?, numbers((8, 512), 43)?, numbers((512, 1), 44)?);
    let got = x.to_device(&device)?.matmul(&y.to_device(&device)?)?.to_device(&Device::Cpu)?;
    assert!(greatest(&(got - x.matmul(&y)?)?)? < 1e-4, "the result is right");
    assert!(findings::take("gemv_float32_bm1_bn8_sm1_sn32_tm4_tn4_nc0_axpby0: threads returned"), "it is in order now");
    Ok(())
}

/// 7. Four numbers are stored at once, wherever that is.
#[test]
fn products_with_blocks_of_odd_matrices_store_misaligned_vectors() -> Result<()> {
    let device = metal()?;
    let matrix = blocks(&device, GgmlDType::Q8_0, (66, 256))?;
    let x = numbers((12, 256), 41)?.to_device(&device)?;
    let error = matrix.forward(&x)?.to_device(&Device::Cpu).expect_err("it is in order now");
    assert!(error.to_string().contains("not at a multiple of its size"), "{error}");
    assert!(findings::take("kernel_mul_mm_q8_0_f32: access to a vector"));
    Ok(())
}

/// 9. A sixteenth of the scale of a block is taken in f16, where it has few digits left if weights are as small as usual.
#[test]
fn products_with_q4k_lose_digits_of_scales() -> Result<()> {
    let (device, shape) = (metal()?, (64, 512));
    let x = numbers((4, 512), 41)?;
    let off = |size: f64| -> Result<f32> {
        let here = QTensor::quantize(&(numbers(shape, 42)? * size)?, GgmlDType::Q4K)?;
        let there = QTensor::new(QStorage::from_data(here.data()?, &device, GgmlDType::Q4K)?, shape)?;
        let got = QMatMul::from_qtensor(there)?.forward(&x.to_device(&device)?)?.to_device(&Device::Cpu)?;
        let want = x.matmul(&here.dequantize(&Device::Cpu)?.t()?)?;
        Ok(greatest(&(got - &want)?)? / greatest(&want)?)
    };
    assert!(off(1.)? < 1e-3 && off(0.02)? > 1e-3, "it is in order now");
    Ok(())
}
