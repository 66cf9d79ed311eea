//! Whether matrices in blocks, in fp8 or packed by MLX stand for numbers that a network can have, and are multiplied by rightly here.
//!
//! Their integers mean nothing without their scales, and nothing in a file tells a wrong scale from a right one but the
//! numbers they give: rows of a trained matrix have a norm of about one, and matrices of one kind are alike from block
//! to block. Not here: whether files are whole (`inspect`), and decoding (`files`).

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use super::finding::{Checked, Limit, Measure};
use super::numbers::{distance, host, normal};
use wanfarm_model::ModelError;
use wanfarm_model::Weights;
use wanfarm_model::ops::compact::Compact;

/// Trained transformers keep well within these. Text encoders, whose rows may be of any norm, are not looked at.
const LEVEL: f64 = 32.;
const UNEVENNESS: f64 = 10.;
/// Rows of the product.
const ROWS: usize = 7;

/// The compact matrices of a network: their encoding, for people, and their names. Nothing where there are none.
pub(super) fn matrices(weights: &Weights) -> Option<(String, Vec<String>)> {
    let mut names = Vec::new();
    let mut encodings = Vec::new();
    for name in weights.files().names() {
        if let Ok(Some(compact)) = weights.compact(name) {
            let encoding = compact.encoding().name();
            if !encodings.contains(&encoding) {
                encodings.push(encoding);
            }
            names.push(name.to_owned());
        }
    }
    (!names.is_empty()).then(|| (encodings.join(", "), names))
}

/// The mean norm of a few rows of each matrix: the others are not read.
pub(super) fn levels(weights: &Weights, names: &[String]) -> Result<BTreeMap<String, f64>, ModelError> {
    let level = |name: &String| {
        let count = weights.files().shape(name).and_then(|shape| shape.first().copied()).unwrap_or(1) as u32;
        let rows = weights.rows(name, &[0, count / 2, count.saturating_sub(1)])?;
        let values = host(&rows.to_dtype(DType::F32)?)?;
        Ok((name.clone(), (values.iter().map(|value| value * value).sum::<f64>() / 3.).sqrt()))
    };
    names.iter().map(level).collect()
}

/// The level farthest from one.
pub(super) fn check_levels(levels: &BTreeMap<String, f64>) -> Measure {
    Measure {
        figure: levels.values().copied().fold(1., farther),
        limit: Limit::Between(LEVEL.recip(), LEVEL),
        otherwise: "compact matrices stand for numbers far from those of any trained network: their scales are missing, or \
                    are applied the wrong way round; download or convert the file anew",
    }
}

/// The matrix that differs most from the others of its kind: its level relative to their median.
pub(super) fn check_evenness(levels: &BTreeMap<String, f64>) -> Measure {
    let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, level) in levels {
        // What follows the number of the block.
        let Some((_, kind)) = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) else { continue };
        kinds.entry(kind).or_default().push(*level);
    }
    let relative = kinds.into_values().flat_map(|mut levels| {
        levels.sort_by(f64::total_cmp);
        let median = levels[levels.len() / 2];
        levels.into_iter().map(move |level| level / median)
    });
    Measure {
        figure: relative.fold(1., farther),
        limit: Limit::Between(UNEVENNESS.recip(), UNEVENNESS),
        otherwise: "a compact matrix stands for much larger or smaller numbers than its like in the other blocks: the file's \
                    scales are damaged; download or convert it anew",
    }
}

fn farther(a: f64, b: f64) -> f64 {
    if a.is_nan() || a.ln().abs() >= b.ln().abs() { a } else { b }
}

/// `op(x)`, the product with a compact matrix on the device, against its decoded numbers.
pub(super) fn check_product(
    matrix: &Compact,
    exact: bool,
    op: impl Fn(&Tensor) -> Result<Tensor, ModelError>,
) -> Checked {
    let matrix = matrix.decoded()?;
    let (_, inner) = matrix.dims2()?;
    let x = normal(&[ROWS, inner], 1)?;
    let got = host(&op(&x)?)?;
    let (x, matrix) = (host(&x)?, host(&matrix)?);
    let dot = |row: &[f64], column: &[f64]| row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
    let want: Vec<f64> =
        x.chunks_exact(inner).flat_map(|row| matrix.chunks_exact(inner).map(move |column| dot(row, column))).collect();
    Ok(Measure {
        figure: distance(&got, &want),
        limit: Limit::AtMost(if exact { 1e-5 } else { 1e-2 }),
        otherwise: "products with compact matrices are wrong on this device; use bf16 or f32 files",
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;

    fn weights() -> Weights {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compact");
        Weights::open(&[folder.join("dit-q8_0.gguf")]).unwrap()
    }

    #[test]
    fn wrong_products_and_scales_are_caught() {
        let weights = weights();
        let (encoding, names) = matrices(&weights).unwrap();
        assert_eq!(encoding, "q8_0");
        let sound = levels(&weights, &names).unwrap();
        assert!(check_levels(&sound).holds() && check_evenness(&sound).holds(), "{sound:?}");
        let all = |factor: f64| sound.iter().map(|(name, level)| (name.clone(), level * factor)).collect();
        for factor in [0., 1e-3, 1e3, f64::NAN] {
            assert!(!check_levels(&all(factor)).holds(), "{factor}");
        }
        for factor in [0.01, 20.] {
            let mut one = sound.clone();
            *one.get_mut("blocks.1.ffn.0.weight").unwrap() *= factor;
            assert!(!check_evenness(&one).holds() && check_levels(&one).holds() == (factor == 20.), "{factor}");
        }
        let matrix = weights.compact(&names[0]).unwrap().unwrap();
        let right = |x: &Tensor| matrix.clone().on(DType::F32, &Device::Cpu)?.product(x);
        assert!(check_product(&matrix, true, right).unwrap().holds());
        assert!(!check_product(&matrix, true, |x| Ok((right(x)? * 1.001)?)).unwrap().holds());
    }
}
