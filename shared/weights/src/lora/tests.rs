//! What the tests of this folder share.

use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A file of f32 tensors of these names and shapes, and its folder.
pub(super) fn written(tensors: &[(&str, &[usize])]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lora.safetensors");
    let bytes = |shape: &[usize]| 1f32.to_le_bytes().repeat(shape.iter().product());
    let tensors: Vec<_> = tensors.iter().map(|(name, shape)| (*name, shape.to_vec(), bytes(shape))).collect();
    let views =
        tensors.iter().map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    (dir, path)
}
