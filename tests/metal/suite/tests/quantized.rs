//! Products with block-quantised matrices.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result};
use suite::{metal, numbers};

#[test]
fn matmul() -> Result<()> {
    use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    for kind in [Q8_0, Q4K, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q5K, Q6K] {
        for rows in [1, 4, 40] {
            // UPSTREAM.md, 1.
            if (kind, rows) == (Q2K, 1) {
                continue;
            }
            let (x, w) = (numbers((rows, 512), 31)?, numbers((64, 512), 32)?);
            let on_cpu = QTensor::quantize(&w, kind)?;
            let want = x.matmul(&on_cpu.dequantize(&Device::Cpu)?.t()?)?;
            let device = metal();
            let data = on_cpu.data()?;
            let there = QTensor::new(candle_core::quantized::QStorage::from_data(data, &device, kind)?, (64, 512))?;
            let got = QMatMul::from_qtensor(there)?.forward(&x.to_device(&device)?)?.to_device(&Device::Cpu)?;
            let scale: f32 = want.abs()?.max_all()?.to_scalar()?;
            let error: Vec<f32> = (got.to_dtype(DType::F32)? - want)?.abs()?.flatten_all()?.to_vec1()?;
            let error = error.iter().fold(0f32, |m, &e| if e.is_nan() { f32::INFINITY } else { m.max(e) }) / scale;
            println!("{kind:?} {rows} rows: {error:.2e}");
            assert!(error < 2e-3, "{kind:?} with {rows} rows: {error}");
        }
    }
    Ok(())
}
