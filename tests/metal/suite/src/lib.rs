//! Compares an operation on the emulated Metal device with the CPU.

use candle_core::{DType, Device, Result, Tensor};

thread_local! {
    static DEVICE: Device = Device::new_metal(0).expect("the emulated device is always there");
}

/// The emulated device, one for each test: tensors of another are of another device, and candle loses fences between
/// threads (`UPSTREAM.md`, 8).
pub fn metal() -> Device {
    DEVICE.with(Device::clone)
}

/// Numbers between -1 and 1 that are the same everywhere.
pub fn numbers(shape: impl Into<candle_core::Shape>, seed: u64) -> Result<Tensor> {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let data: Vec<f32> = (0..shape.elem_count())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(data, shape, &Device::Cpu)
}

/// Applies `op` to the inputs on both devices in a type and gives the greatest difference relative to the greatest
/// value. NaN counts as infinite, so a canary that reached a result is seen.
pub fn difference(inputs: &[&Tensor], dtype: DType, op: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
    let on = |device: &Device, dtype: DType| -> Result<Tensor> {
        let cast =
            |t: &&Tensor| if t.dtype().is_float() { t.to_dtype(dtype)?.to_device(device) } else { t.to_device(device) };
        op(&inputs.iter().map(cast).collect::<Result<Vec<_>>>()?)?
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()
    };
    let (got, want) = (on(&metal(), dtype)?, on(&Device::Cpu, dtype)?);
    let (got, want) = (got.to_vec1::<f32>()?, want.to_vec1::<f32>()?);
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-6f64, |m, v| m.max(f64::from(v.abs())));
    Ok(got.iter().zip(&want).fold(0.0, |m, (g, w)| {
        let d = f64::from((g - w).abs()) / scale;
        if d.is_nan() { f64::INFINITY } else { f64::max(m, d) }
    }))
}

/// Asserts that an operation agrees within a tolerance.
#[track_caller]
pub fn agrees(name: &str, inputs: &[&Tensor], dtype: DType, tolerance: f64, op: impl Fn(&[Tensor]) -> Result<Tensor>) {
    match difference(inputs, dtype, op) {
        Ok(d) => {
            println!("{name} {dtype:?}: {d:.2e}");
            assert!(d <= tolerance, "{name} in {dtype:?}: {d} is more than {tolerance}");
        }
        Err(e) => panic!("{name} in {dtype:?}: {e}"),
    }
}
