//! The factors that come with fp8 weights: a number of E4M3 reaches no further than 448, so each matrix has its own.
//!
//! Source: ComfyUI `comfy/ops.py` (`scaled_fp8`, `scale_weight`, and later `weight_scale` with `comfy_quant`).

use std::collections::BTreeMap;

use crate::error::{BadTensors, ModelError};
use crate::weights::Stored;

/// What a matrix's factor is called instead of `weight`.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];
/// What else comes with such weights: marks, and factors of activations, which are not rounded to fp8 here.
const IGNORED: [&str; 4] = ["scale_input", "input_scale", "comfy_quant", "scaled_fp8"];

/// Takes the factors out of the tensors: official name of the matrix → its factor, or one for each of its rows.
///
/// # Errors
/// A factor that fits no matrix.
pub(crate) fn take(
    tensors: &mut BTreeMap<String, Stored>,
    read: impl Fn(&Stored) -> Result<Vec<f32>, ModelError>,
) -> Result<BTreeMap<String, Vec<f32>>, ModelError> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let names: Vec<String> = tensors.keys().cloned().collect();
    let mut scales = BTreeMap::new();
    let mut bad = BadTensors::default();
    for name in names {
        let end = last(&name);
        if IGNORED.contains(&end.as_str()) {
            tensors.remove(&name);
        }
        let Some(prefix) = SCALES.iter().find_map(|scale| name.strip_suffix(scale)) else { continue };
        let matrix = format!("{prefix}weight");
        // A factor of nothing stays, and is reported as a tensor the network does not need.
        let Some(rows) = tensors.get(&matrix).and_then(|matrix| matrix.entry.shape.first().copied()) else { continue };
        let Some(stored) = tensors.remove(&name) else { continue };
        let factors = read(&stored)?;
        if factors.len() != 1 && factors.len() != rows {
            bad.misshapen.push(format!("{name} has {} factors for {rows} rows", factors.len()));
        } else if !factors.iter().all(|factor| factor.is_finite()) {
            bad.misshapen.push(format!("{name} is not finite"));
        }
        scales.insert(matrix, factors);
    }
    if bad.is_empty() { Ok(scales) } else { Err(Box::new(bad).into()) }
}

/// Multiplies numbers by one factor, or each row of them by its own.
pub(crate) fn apply(numbers: &mut [f32], scale: &[f32]) {
    let row = (numbers.len() / scale.len().max(1)).max(1);
    for (numbers, factor) in numbers.chunks_mut(row).zip(scale) {
        numbers.iter_mut().for_each(|number| *number *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_factor_or_one_per_row() {
        let mut numbers = [1., 2., 3., 4.];
        apply(&mut numbers, &[2.]);
        assert_eq!(numbers, [2., 4., 6., 8.]);
        apply(&mut numbers, &[1., 0.5]);
        assert_eq!(numbers, [2., 4., 3., 4.]);
    }
}
