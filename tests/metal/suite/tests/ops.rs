//! Operations of candle on the emulated device.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops;
use suite::{agrees, numbers};

const FLOATS: [(DType, f64); 3] = [(DType::F32, 1e-5), (DType::F16, 2e-3), (DType::BF16, 1.6e-2)];

type Op<'a> = (&'a str, &'a dyn Fn(&[Tensor]) -> Result<Tensor>);

#[test]
fn elementwise() -> Result<()> {
    let (x, y) = (numbers((3, 5, 70), 1)?, numbers((3, 5, 70), 2)?);
    let ops: [Op; 16] = [
        ("add", &|t| &t[0] + &t[1]),
        ("mul", &|t| &t[0] * &t[1]),
        ("div", &|t| &t[0] / (t[1].abs()? + 0.5)?),
        ("sub strided", &|t| t[0].transpose(0, 2)?.sub(&t[1].transpose(0, 2)?)),
        ("add broadcast", &|t| t[0].broadcast_add(&t[1].narrow(1, 2, 1)?)),
        ("affine", &|t| t[0].affine(1.5, -0.25)),
        ("exp", &|t| t[0].exp()),
        ("sqrt", &|t| t[0].abs()?.sqrt()),
        ("silu", &|t| t[0].silu()),
        ("gelu", &|t| t[0].gelu()),
        ("gelu_erf", &|t| t[0].gelu_erf()),
        ("tanh", &|t| t[0].tanh()),
        ("sigmoid", &|t| ops::sigmoid(&t[0])),
        ("sin strided", &|t| t[0].transpose(1, 2)?.sin()),
        ("powf", &|t| t[0].abs()?.powf(1.7)),
        ("max", &|t| t[0].maximum(&t[1])),
    ];
    for (dtype, tolerance) in FLOATS {
        for (name, op) in &ops {
            agrees(name, &[&x, &y], dtype, tolerance, op);
        }
    }
    Ok(())
}

#[test]
fn casts() -> Result<()> {
    let x = (numbers((7, 33), 3)? * 100.0)?;
    for (from, _) in FLOATS {
        for to in [DType::F32, DType::F16, DType::BF16] {
            agrees(&format!("cast to {to:?}"), &[&x], from, 0.0, |t| t[0].to_dtype(to));
            agrees(&format!("strided cast to {to:?}"), &[&x], from, 0.0, |t| t[0].t()?.to_dtype(to));
        }
        agrees("cast to U32", &[&x.abs()?], from, 0.0, |t| t[0].to_dtype(DType::U32));
    }
    Ok(())
}

#[test]
fn reductions() -> Result<()> {
    for columns in [3, 32, 100, 700, 2048] {
        let x = numbers((6, columns), 4)?;
        for (dtype, tolerance) in FLOATS {
            let tolerance = tolerance * 4.0;
            agrees("max", &[&x], dtype, tolerance, |t| t[0].max(1));
            agrees("argmax", &[&x], dtype, 0.0, |t| t[0].argmax(1));
            // In half precision the CPU adds one number after the other, rounding each time: its own sum of thousands is off
            // by as much as 20 %. The product sums in f32.
            if dtype == DType::F32 {
                agrees("sum", &[&x], dtype, tolerance, |t| t[0].abs()?.sum(1));
                agrees("sum of the first", &[&x], dtype, tolerance, |t| t[0].abs()?.sum(0));
                agrees("mean_all", &[&x], dtype, tolerance, |t| t[0].abs()?.mean_all());
                agrees("softmax", &[&x], dtype, tolerance, |t| ops::softmax_last_dim(&t[0]));
                agrees("log_softmax", &[&x], dtype, tolerance, |t| ops::log_softmax(&t[0], D::Minus1));
            }
        }
    }
    Ok(())
}

#[test]
fn norms() -> Result<()> {
    for columns in [16, 100, 1024, 1536] {
        let (x, a, b) = (numbers((5, columns), 5)?, numbers(columns, 6)?, numbers(columns, 7)?);
        for (dtype, tolerance) in FLOATS {
            let tolerance = tolerance * 2.0;
            agrees("layer_norm", &[&x, &a, &b], dtype, tolerance, |t| ops::layer_norm(&t[0], &t[1], &t[2], 1e-5));
            agrees("rms_norm", &[&x, &a], dtype, tolerance, |t| ops::rms_norm(&t[0], &t[1], 1e-5));
        }
    }
    Ok(())
}

#[test]
fn rope() -> Result<()> {
    let (x, cos, sin) = (numbers((2, 3, 10, 64), 8)?, numbers((10, 32), 9)?, numbers((10, 32), 10)?);
    for (dtype, tolerance) in FLOATS {
        agrees("rope", &[&x, &cos, &sin], dtype, tolerance, |t| candle_nn::rotary_emb::rope(&t[0], &t[1], &t[2]));
        agrees("rope_i", &[&x, &cos, &sin], dtype, tolerance, |t| candle_nn::rotary_emb::rope_i(&t[0], &t[1], &t[2]));
        agrees("rope_thd", &[&x.transpose(1, 2)?.contiguous()?, &cos, &sin], dtype, tolerance, |t| {
            candle_nn::rotary_emb::rope_thd(&t[0], &t[1], &t[2])
        });
    }
    Ok(())
}

#[test]
fn matmul() -> Result<()> {
    for (b, m, n, k) in [
        (1, 32, 32, 16),
        (2, 33, 65, 17),
        (1, 1, 64, 128),
        (1, 64, 1, 100),
        (3, 100, 70, 200),
        (1, 5, 7, 3),
        (1, 128, 128, 512),
    ] {
        let (x, y) = (numbers((b, m, k), 11)?, numbers((b, k, n), 12)?);
        for (dtype, tolerance) in FLOATS {
            let name = format!("matmul {b}x{m}x{n}x{k}");
            agrees(&name, &[&x, &y], dtype, tolerance, |t| t[0].matmul(&t[1]));
            let yt = y.transpose(1, 2)?.contiguous()?;
            agrees(&format!("{name} nt"), &[&x, &yt], dtype, tolerance, |t| t[0].matmul(&t[1].transpose(1, 2)?));
            let xt = x.transpose(1, 2)?.contiguous()?;
            agrees(&format!("{name} tn"), &[&xt, &y], dtype, tolerance, |t| t[0].transpose(1, 2)?.matmul(&t[1]));
        }
    }
    Ok(())
}

#[test]
fn indexing() -> Result<()> {
    let x = numbers((10, 6, 5), 13)?;
    let ids = Tensor::new(&[3u32, 0, 9, 9, 1], x.device())?;
    let gathered = Tensor::new(&[[[0u32, 1, 5, 2, 3]], [[5, 4, 3, 2, 1]]], x.device())?;
    let mask = x.gt(0.0)?;
    for (dtype, _) in FLOATS {
        agrees("index_select", &[&x, &ids], dtype, 0.0, |t| t[0].index_select(&t[1], 0));
        agrees("gather", &[&x.narrow(0, 0, 2)?.contiguous()?, &gathered], dtype, 0.0, |t| t[0].gather(&t[1], 1));
        agrees("where_cond", &[&x, &mask], dtype, 0.0, |t| t[1].where_cond(&t[0], &t[0].zeros_like()?));
        agrees("index_add", &[&x, &x.narrow(0, 0, 5)?.contiguous()?, &ids], dtype, 1e-2, |t| {
            t[0].index_add(&t[2], &t[1], 0)
        });
        agrees("slice_set", &[&x, &x.narrow(0, 0, 2)?.contiguous()?], dtype, 0.0, |t| {
            let to = t[0].copy()?;
            to.slice_set(&t[1], 0, 4)?;
            Ok(to)
        });
        agrees("cat", &[&x, &x], dtype, 0.0, |t| Tensor::cat(&[t[0].narrow(1, 0, 2)?, t[1].narrow(1, 3, 3)?], 1));
        agrees("strided copy", &[&x], dtype, 0.0, |t| t[0].transpose(0, 1)?.narrow(2, 1, 3)?.contiguous());
        agrees("pad", &[&x], dtype, 0.0, |t| t[0].pad_with_zeros(1, 1, 2));
    }
    Ok(())
}

#[test]
fn convolutions() -> Result<()> {
    let (x, w, w1) = (numbers((2, 4, 9, 11), 14)?, numbers((6, 4, 3, 3), 15)?, numbers((6, 4, 3), 16)?);
    for (dtype, tolerance) in [FLOATS[0], FLOATS[1]] {
        agrees("conv2d", &[&x, &w], dtype, tolerance, |t| t[0].conv2d(&t[1], 1, 1, 1, 1));
        agrees("conv2d stride 2", &[&x, &w], dtype, tolerance, |t| t[0].conv2d(&t[1], 0, 2, 1, 1));
        agrees("conv1d", &[&x.flatten_from(2)?, &w1], dtype, tolerance, |t| t[0].conv1d(&t[1], 1, 1, 1, 1));
        agrees("upsample_nearest2d", &[&x], dtype, 0.0, |t| t[0].upsample_nearest2d(18, 22));
        agrees("avg_pool2d", &[&x], dtype, tolerance, |t| t[0].avg_pool2d(2));
        agrees("max_pool2d", &[&x], dtype, tolerance, |t| t[0].max_pool2d(2));
    }
    Ok(())
}
