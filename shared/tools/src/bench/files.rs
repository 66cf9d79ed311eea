//! Files with random weights.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use half::bf16;
use serde_json::{Map, Value, json};
use wanfarm_weights::Param;

/// Random numbers that are written again and again.
const PATTERN: usize = 1 << 20;
/// About what keeps activations as large as they are.
const SIZE: f32 = 0.03;

/// Bytes of these tensors in bf16.
pub(super) fn bytes(params: &[Param]) -> u64 {
    params.iter().map(|param| 2 * param.shape.iter().product::<usize>() as u64).sum()
}

/// Writes these tensors in bf16, as a safetensors file.
pub(super) fn write(path: &Path, params: &[Param]) -> io::Result<()> {
    let mut header = Map::new();
    let mut offset = 0;
    for param in params {
        let end = offset + 2 * param.shape.iter().product::<usize>();
        let entry = json!({ "dtype": "BF16", "shape": param.shape, "data_offsets": [offset, end] });
        header.insert(param.name.clone(), entry);
        offset = end;
    }
    let header = Value::Object(header).to_string();
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let pattern = pattern();
    let mut left = offset;
    while left > 0 {
        let part = left.min(pattern.len());
        out.write_all(&pattern[..part])?;
        left -= part;
    }
    out.flush()
}

/// Uniform in ±[`SIZE`].
pub(super) fn pattern() -> Vec<u8> {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.) * SIZE
    };
    (0..PATTERN).flat_map(|_| bf16::from_f32(random()).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use wanfarm_model::Weights;

    #[test]
    fn what_is_written_can_be_read_and_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let params = [Param::new("a", [3, 5]), Param::new("b", [7])];
        write(&path, &params).unwrap();
        assert_eq!(bytes(&params), 44);
        let weights = Weights::open(&[path]).unwrap();
        let b = weights.tensor("b", Some(DType::F32), &Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
        assert!(b.iter().all(|value| value.abs() <= SIZE) && b.iter().any(|value| *value != b[0]), "{b:?}");
    }
}
