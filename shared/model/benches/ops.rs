//! What the networks' operations need on the CPU, at the sizes of a small video.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use divan::Bencher;
use wanfarm_model::Weights;
use wanfarm_model::layers::Linear;
use wanfarm_model::layers::conv::{CausalConv3d, Conv2d, History};
use wanfarm_model::ops::{attention, norm};

const TYPES: [DType; 2] = [DType::F32, DType::BF16];
/// Tokens, and channels of each.
const TOKENS: usize = 512;
const WIDTH: usize = 256;
const HEADS: usize = 4;
/// Rows and columns of a frame.
const SIDE: usize = 32;

fn main() {
    divan::main();
}

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1., shape, &Device::Cpu).expect("a tensor")
}

/// A file with a layer of this weight under the name `layer`.
fn layer(shape: &[usize]) -> Weights {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("layer.safetensors");
    let tensors = HashMap::from([("layer.weight", random(shape)), ("layer.bias", random(&shape[..1]))]);
    candle_core::safetensors::save(&tensors, &path).expect("a file");
    // It stays mapped.
    Weights::open(&[path]).expect("the layer")
}

#[divan::bench(args = TYPES)]
fn linear(bencher: Bencher<'_, '_>, dtype: DType) {
    let layer = Linear::load(&layer(&[4 * WIDTH, WIDTH]), "layer", true, dtype, &Device::Cpu).expect("the layer");
    let x = random(&[TOKENS, WIDTH]);
    bencher.bench(|| layer.forward(&x).expect("a product"));
}

#[divan::bench(args = TYPES)]
fn attend(bencher: Bencher<'_, '_>, dtype: DType) {
    let [q, k, v] = [(); 3].map(|()| random(&[HEADS, TOKENS, WIDTH / HEADS]));
    let v = v.to_dtype(dtype).expect("values");
    let scale = (HEADS as f64 / WIDTH as f64).sqrt();
    bencher.bench(|| attention::attend(&q, &k, &v, None, scale).expect("attention"));
}

#[divan::bench]
fn causal_convolution(bencher: Bencher<'_, '_>) {
    let layer = CausalConv3d::load(&layer(&[64, 64, 3, 3, 3]), "layer", &Device::Cpu).expect("the layer");
    let frame = random(&[SIDE, SIDE, 64]);
    let mut history = History::default();
    bencher.bench_local(|| layer.forward(&frame, &mut history).expect("a frame"));
}

#[divan::bench]
fn convolution(bencher: Bencher<'_, '_>) {
    let layer = Conv2d::load(&layer(&[64, 64, 3, 3]), "layer", &Device::Cpu).expect("the layer");
    let frame = random(&[SIDE, SIDE, 64]);
    bencher.bench(|| layer.forward(&frame).expect("a frame"));
}

#[divan::bench]
fn layer_norm(bencher: Bencher<'_, '_>) {
    let x = random(&[TOKENS, WIDTH]);
    bencher.bench(|| norm::layer_norm(&x, None, 1e-6).expect("a norm"));
}

#[divan::bench]
fn rms_norm(bencher: Bencher<'_, '_>) {
    let (x, weight) = (random(&[TOKENS, WIDTH]), random(&[WIDTH]));
    bencher.bench(|| norm::rms_norm(&x, &weight, 1e-6).expect("a norm"));
}
