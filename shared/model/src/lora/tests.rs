//! What the tests of this folder share.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

/// A file of tensors of these names and shapes, and its folder.
pub(super) fn written(tensors: &[(&str, &[usize])]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lora.safetensors");
    let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    (dir, path)
}
