//! Tensors of reference files, how far two are apart, and what a golden case's network makes of its input.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use wanfarm_model::Weights;
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_weights::ConfigFile;
use wanfarm_weights::transformer::sizes;

/// The folder of the golden case whose DiT the small files hold.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/lora")
}

pub(crate) fn open(path: PathBuf) -> Weights {
    Weights::open(&[path]).unwrap()
}

/// A tensor of a safetensors file.
pub(crate) fn stored(path: &Path, name: &str) -> Tensor {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    let values: Vec<f32> = tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// ‖a − b‖ / ‖b‖.
pub(crate) fn apart(a: &Tensor, b: &Tensor) -> f32 {
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar::<f32>().unwrap();
    norm(&(a - b).unwrap()) / norm(b)
}

/// What the golden case's DiT makes of its input on these weights.
pub(crate) fn velocity(weights: &Weights) -> Tensor {
    let config = ConfigFile::read(&golden().join("official/config.json")).unwrap();
    let config = sizes(weights.files(), &config).unwrap();
    let model = WanModel::load(config, weights, DType::F32, &Device::Cpu).unwrap();
    let io = golden().join("io.safetensors");
    let text = model.embed_text(&stored(&io, "context")).unwrap();
    model.forward(&stored(&io, "x").get(0).unwrap(), Timesteps::Scalar(500.), &text).unwrap()
}
