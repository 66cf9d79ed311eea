//! The factors that come with fp8 weights: a number of E4M3 reaches no further than 448, so each matrix has its own.
//!
//! Source: ComfyUI `comfy/ops.py` (`scaled_fp8`, `scale_weight`, and later `weight_scale` with `comfy_quant`).

use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::Dtype;

use crate::decode::decode;
use crate::encoding::Encoding;
use crate::entry::Stored;
use crate::error::FileError;
use crate::mapped::MappedFile;

/// What a matrix's factor is called instead of `weight`.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];
/// What to use instead of factors that are not understood.
const WANTED: &str = "fp8 weights are read with one factor for a matrix or one for each of its rows; use such a file, a \
                      GGUF file, or the fp16 or bf16 file of the same model";
/// What else comes with such weights: marks, and factors of activations, which are not rounded to fp8 here.
const IGNORED: [&str; 4] = ["scale_input", "input_scale", "comfy_quant", "scaled_fp8"];

/// Takes the factors out of the tensors: official name of the matrix → its factor, or one for each of its rows.
///
/// # Errors
/// Factors that are neither, told by their shape: as many numbers may stand for columns, or for blocks.
pub(crate) fn take(
    tensors: &mut BTreeMap<String, Stored>,
    files: &[Arc<MappedFile>],
) -> Result<BTreeMap<String, Vec<f32>>, FileError> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let names: Vec<String> = tensors.keys().cloned().collect();
    let mut scales = BTreeMap::new();
    for name in names {
        let end = last(&name);
        if IGNORED.contains(&end.as_str()) {
            tensors.remove(&name);
        }
        let Some(prefix) = SCALES.iter().find_map(|scale| name.strip_suffix(scale)) else { continue };
        let matrix = format!("{prefix}weight");
        // A factor of nothing stays, and is reported as a tensor the network does not need.
        let Some(shape) = tensors.get(&matrix).map(|matrix| matrix.entry.shape.clone()) else { continue };
        let Some(Stored { file, name, entry }) = tensors.remove(&name) else { continue };
        let file = &files[file];
        let factors = match entry.encoding {
            Encoding::Plain(dtype @ (Dtype::F32 | Dtype::F16 | Dtype::BF16)) if fits(&entry.shape, &shape) => {
                decode(file.bytes(entry.bytes)?, dtype)?
            }
            other => {
                let (found, kind) = (&entry.shape, other.name());
                let what = format!(
                    "{}: {name}, factors of shape {found:?} in {kind} for a matrix of shape {shape:?},",
                    file.path().display()
                );
                return Err(FileError::Unsupported { what, why: WANTED.to_owned() });
            }
        };
        if !factors.iter().all(|factor| factor.is_finite()) {
            return Err(file.corrupt(format!("{name} is not finite")));
        }
        scales.insert(matrix, factors);
    }
    Ok(scales)
}

/// Whether factors of this shape are one for a whole matrix, or one for each of its rows.
fn fits(factors: &[usize], matrix: &[usize]) -> bool {
    let ones = |dims: &[usize]| dims.iter().all(|&dim| dim == 1);
    match factors {
        [] => true,
        [rows, others @ ..] => ones(others) && (*rows == 1 || Some(rows) == matrix.first()),
    }
}

/// Multiplies numbers by one factor, or each row of them by its own.
pub fn apply(numbers: &mut [f32], scale: &[f32]) {
    let row = (numbers.len() / scale.len().max(1)).max(1);
    for (numbers, factor) in numbers.chunks_mut(row).zip(scale) {
        numbers.iter_mut().for_each(|number| *number *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_tells_what_factors_stand_for() {
        for factors in [&[][..], &[1], &[1, 1], &[64], &[64, 1]] {
            assert!(fits(factors, &[64, 64]), "{factors:?}");
        }
        // Columns, blocks, and what is for another matrix.
        for factors in [&[1, 64][..], &[4, 16], &[64, 2], &[64, 64], &[1, 2], &[32], &[0], &[0, 1]] {
            assert!(!fits(factors, &[64, 64]), "{factors:?}");
        }
        assert!(fits(&[8], &[8, 3]) && !fits(&[3], &[8, 3]));
    }

    #[test]
    fn one_factor_or_one_per_row() {
        let mut numbers = [1., 2., 3., 4.];
        apply(&mut numbers, &[2.]);
        assert_eq!(numbers, [2., 4., 6., 8.]);
        apply(&mut numbers, &[1., 0.5]);
        assert_eq!(numbers, [2., 4., 3., 4.]);
    }
}
