//! As `upstream.rs`: a fault of candle 0.11.1 on Metal. In a process of its own, for after the kernel of another test the
//! access past the end goes unnoticed in a few of a hundred runs; why is not known yet.

use candle_core::{Device, Result};
use metal_on_cpu::findings;
use suite::numbers;

/// 2. The last block of keys, when it is not whole, is read as if it were.
#[test]
fn causal_sdpa_reads_keys_past_the_end() -> Result<()> {
    let (device, queries, keys, dim) = (Device::new_metal(0)?, 9, 40, 128);
    let on = |n, seed| numbers((1, 2, n, dim), seed)?.to_device(&device);
    let (q, k, v) = (on(queries, 21)?, on(keys, 22)?, on(keys, 23)?);
    let got = candle_nn::ops::sdpa(&q, &k, &v, None, true, 0.1, 1.)?;
    let error = got.to_device(&Device::Cpu).expect_err("it is in order now");
    assert!(error.to_string().contains("out of bounds"), "{error}");
    assert!(findings::take("steel_attention_float32_bq32_bk16_bd128_wm4_wn1_maskfloat32: out of bounds"));
    Ok(())
}
