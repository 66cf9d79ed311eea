//! How slow the emulated device is. Prints the report of all kernels at the end.

use std::time::Instant;

use candle_core::{DType, Result, Tensor};
use suite::{metal, numbers};

fn timed(name: &str, units: f64, op: impl Fn() -> Result<Tensor>) -> Result<()> {
    op()?.device().synchronize()?; // compiles
    let start = Instant::now();
    op()?.device().synchronize()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<32} {:>9.2} ms {:>9.2} ns per unit", seconds * 1e3, seconds * 1e9 / units);
    Ok(())
}

fn main() -> Result<()> {
    let device = metal();
    let on = |t: Tensor, dtype| t.to_dtype(dtype)?.to_device(&device);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let (a, b) = (on(numbers((256, 256), 1)?, dtype)?, on(numbers((256, 256), 2)?, dtype)?);
        timed(&format!("matmul 256x256x256 {dtype:?}, mul-add"), 256f64.powi(3), || a.matmul(&b))?;
        let x = on(numbers((1024, 1024), 3)?, dtype)?;
        timed(&format!("exp of 1 Mi {dtype:?}"), 1048576., || x.exp())?;
        timed(&format!("strided copy of 1 Mi {dtype:?}"), 1048576., || x.t()?.contiguous())?;
        timed(&format!("softmax of 1 Mi {dtype:?}"), 1048576., || candle_nn::ops::softmax_last_dim(&x))?;
        let q = on(numbers((1, 2, 256, 128), 4)?, dtype)?;
        timed(&format!("sdpa 2x256x256x128 {dtype:?}"), 2. * 2. * 256. * 256. * 128., || {
            candle_nn::ops::sdpa(&q, &q, &q, None, false, 0.1, 1.)
        })?;
    }
    println!("{}", metal_on_cpu::stats::report());
    Ok(())
}
