//! The operations of `ops` on a device, at the sizes of real models, against their definitions in f64.
//!
//! A port to a new device goes wrong here first: views that a kernel takes for dense, kernels that return garbage beyond
//! some size, activations that overflow. Each check takes the operation as a function, so that its test can hand it a
//! faulty one.

mod activation;
mod attention;
mod convolution;
mod linear;
mod norm;
mod rotary;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::{silu, softmax_last_dim};

use super::finding::{Checked, Recorder, Section};
use wanfarm_model::layers::Linear;
use wanfarm_model::layers::conv::{CausalConv3d, Conv2d, History, Window};
use wanfarm_model::ops::attention::attend;
use wanfarm_model::ops::norm::{layer_norm, rms_norm};
use wanfarm_model::ops::rope::RopeTable;

/// Runs all checks of operations; attention with so many keys per query, or with as many as the device takes.
pub(super) fn check_all(device: &Device, keys: Option<usize>, recorder: &mut Recorder<'_>) {
    let keys = keys.unwrap_or_else(|| attention::keys(device));
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
}
