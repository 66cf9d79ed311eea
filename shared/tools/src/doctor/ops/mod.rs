//! The operations of `ops` on a device, at the sizes of real models, against their definitions in f64.
//!
//! A port to a new device goes wrong here first: views that a kernel takes for dense, kernels that return garbage beyond
//! some size, activations that overflow. Each check takes the operation as a function, so that its test can hand it a
//! faulty one.

mod activation;
mod attention;
mod between;
mod blocks;
mod convolution;
mod far;
mod linear;
mod norm;
mod rotary;

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use candle_nn::ops::{silu, softmax_last_dim};

use super::finding::{Checked, Recorder, Section};
use wanfarm_model::ModelError;
use wanfarm_model::layers::Linear;
use wanfarm_model::layers::conv::{CausalConv3d, Conv2d, History, Window};
use wanfarm_model::ops::activation::gelu_of;
use wanfarm_model::ops::attention::attend;
use wanfarm_model::ops::compact::Matrix;
use wanfarm_model::ops::heads::{Way, split};
use wanfarm_model::ops::norm::{layer_norm, modulated_norm, rms_norm, rms_norm_silu};
use wanfarm_model::ops::product::Product;
use wanfarm_model::ops::residual::residual;
use wanfarm_model::ops::rope::RopeTable;

/// Runs all checks of operations; those whose cost grows with a length, with this one if there is one.
pub(super) fn check_all(device: &Device, length: Option<usize>, memory: Option<u64>, recorder: &mut Recorder<'_>) {
    let keys = length.unwrap_or_else(|| attention::keys(device));
    let mut check = |name: &'static str, check: &dyn Fn() -> Checked| {
        recorder.check(Section::Operations, name, check);
    };
    let put = |tensor: &Tensor| tensor.to_device(device);
    for (dtype, name) in [(DType::F32, "linear f32"), (DType::BF16, "linear bf16")] {
        check(name, &|| {
            linear::check(dtype, |x, weight, bias| {
                Linear::new(put(&weight.to_dtype(dtype)?)?, Some(put(bias)?)).forward(&put(x)?)
            })
        });
    }
    for (dtype, name) in [(DType::F32, "attention f32"), (DType::BF16, "attention bf16")] {
        check(name, &|| {
            attention::check(dtype, keys, |q, k, v, scale| {
                attend(&put(q)?, &put(k)?, &put(&v.to_dtype(dtype)?)?, None, scale)
            })
        });
    }
    check("attention with bias", &|| {
        attention::check_bias(|q, k, v, bias, scale| attend(&put(q)?, &put(k)?, &put(v)?, Some(&put(bias)?), scale))
    });
    check("RMS norm", &|| norm::check_rms(|x, weight, eps| rms_norm(&put(x)?, &put(weight)?, eps)));
    check("RMS norm and SiLU", &|| norm::check_pixels(|x, weight, eps| rms_norm_silu(&put(x)?, &put(weight)?, eps)));
    check("layer norm", &|| {
        norm::check_layer(|x, weight, bias, eps| layer_norm(&put(x)?, Some((&put(weight)?, &put(bias)?)), eps))
    });
    check("rotary positions", &|| {
        rotary::check(|grid, x| {
            let table = RopeTable::new(grid, rotary::HEAD_DIM, device)?;
            // In two parts, as the tokens of a long video come.
            let (tokens, first) = (x.dim(1)?, x.dim(1)? / 3);
            let part = |from, count| table.apply(&put(&x.narrow(1, from, count)?)?, from);
            Ok(Tensor::cat(&[part(0, first)?, part(first, tokens - first)?], 1)?)
        })
    });
    check("causal convolution", &|| {
        convolution::check_causal(|frames, weight, bias| {
            let conv = CausalConv3d::new(weight, put(bias)?, device)?;
            let mut history = History::default();
            frames.iter().map(|frame| conv.forward(&put(frame)?, &mut history)).collect()
        })
    });
    check("halving convolution", &|| {
        convolution::check_halving(|frame, weight, bias| {
            Conv2d::new(weight, put(bias)?, Window::Halving, device)?.forward(&put(frame)?)
        })
    });
    check("softmax", &|| activation::check_softmax(|x| Ok(softmax_last_dim(&put(x)?)?)));
    check("GELU", &|| activation::check_gelu(|x| wanfarm_model::ops::activation::gelu(&put(x)?)));
    check("SiLU", &|| activation::check_silu(|x| Ok(silu(&put(x)?)?)));
    between(device, recorder);
    if !device.is_cpu() {
        long(device, length, memory, recorder);
    }
}

/// What lies between products, in the type that they are taken in.
fn between(device: &Device, recorder: &mut Recorder<'_>) {
    let put = |tensor: &Tensor| tensor.to_device(device);
    for (dtype, type_name) in [(DType::F32, "f32"), (DType::BF16, "bf16")] {
        let mut check = |name: &str, check: &dyn Fn() -> Checked| {
            recorder.check(Section::Operations, format!("{name} {type_name}"), check);
        };
        let product = |rows: &Tensor, bias: &Tensor| -> Result<Product, ModelError> {
            Ok(Product::new(put(&rows.to_dtype(dtype)?)?, Some(put(bias)?)))
        };
        check("norm and modulation", &|| {
            between::check_norm(dtype, &|[x, scale, shift]| {
                modulated_norm(&put(x)?, &put(scale)?, &put(shift)?, between::EPS, dtype)
            })
        });
        check("norm, rotation, heads", &|| {
            let table = RopeTable::new(between::GRID, rotary::HEAD_DIM, device)?;
            between::check_heads(dtype, &|[rows, bias, weight]| {
                let norm = Some((&put(weight)?, between::EPS));
                let way = Way { norm, rope: Some((&table, between::BEFORE)), factor: Some(between::FACTOR) };
                split(&product(rows, bias)?, rows.dim(1)? / rotary::HEAD_DIM, way, dtype)
            })
        });
        check("gate and residual", &|| {
            between::check_residual(dtype, &|[x, rows, bias, gate]| {
                residual(&put(x)?, &product(rows, bias)?, Some(&put(gate)?))
            })
        });
        check("GELU of a product", &|| {
            between::check_gelu(dtype, &|[rows, bias]| gelu_of(&product(rows, bias)?, dtype))
        });
    }
}

/// What only kernels of a GPU get wrong, and what takes the processor long.
fn long(device: &Device, length: Option<usize>, memory: Option<u64>, recorder: &mut Recorder<'_>) {
    let put = |tensor: &Tensor| tensor.to_device(device);
    // On Metal the matrix is rounded to f16, by 2⁻¹¹ at most, and with q4_k a sixteenth of a scale before that: here about
    // 2⁻¹⁸, which is 2⁻⁷ off at most, in half of the matrix.
    for (kind, name, most) in
        [(GgmlDType::Q8_0, "product with q8_0 blocks", 5e-4), (GgmlDType::Q4K, "product with q4_k blocks", 6e-3)]
    {
        recorder.check(Section::Operations, name, || {
            let matrix = blocks::matrix(kind)?;
            let there = QStorage::from_data(matrix.data()?, device, kind)?;
            let there = Matrix::Blocks { matrix: Arc::new(QTensor::new(there, matrix.shape())?), dtype: DType::F32 };
            let most = if device.is_metal() { most } else { 1e-5 };
            blocks::check(&matrix, (length.unwrap_or(blocks::ROWS), most), |x| there.product(&put(x)?))
        });
    }
    for (dtype, name) in [(DType::F32, "attention to many keys f32"), (DType::BF16, "attention to many keys bf16")] {
        recorder.check(Section::Operations, name, || {
            attention::check_keys(dtype, length.unwrap_or(attention::LONG), |q, k, v, scale| {
                attend(&put(q)?, &put(k)?, &put(&v.to_dtype(dtype)?)?, None, scale)
            })
        });
    }
    let name = "rows beyond 2^31 numbers";
    let needed = 2 * far::BYTES;
    match (length, memory) {
        (None, Some(memory)) if memory >= needed => {
            recorder.check(Section::Operations, name, || {
                far::check(device, |rows| gelu_of(&Product::new(rows.clone(), None), DType::F32))
            });
        }
        (Some(_), _) => recorder.skip(Section::Operations, name, "lengths are limited, and it fills 8 GiB"),
        _ => {
            let why = format!("it needs a GPU with {} GiB of memory", needed >> 30);
            recorder.skip(Section::Operations, name, &why);
        }
    }
}
