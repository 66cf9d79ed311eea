//! Whether two experts are two.
//!
//! Not here: whether files are whole and of the right shapes (`inspect`).

use candle_core::DType;

use super::finding::{Checked, Limit, Measure};
use wanfarm_model::ModelError;
use wanfarm_model::Weights;

/// The share of matrices that two transformers have in common, by their first and last rows: neither's gigabytes are
/// read.
pub(super) fn check(high: &Weights, low: &Weights) -> Checked {
    let (mut alike, mut matrices) = (0u32, 0u32);
    for name in high.files().names() {
        let Some(&[rows, _]) = high.files().shape(name) else { continue };
        let ends = [0, rows.saturating_sub(1) as u32];
        let values = |weights: &Weights| -> Result<_, ModelError> {
            let rows = weights.rows(name, &ends)?.to_dtype(DType::F32)?;
            Ok(rows.flatten_all()?.to_vec1::<f32>()?)
        };
        matrices += 1;
        alike += u32::from(values(high)? == values(low)?);
    }
    Ok(Measure {
        figure: f64::from(alike) / f64::from(matrices),
        limit: Limit::AtMost(0.5),
        otherwise: "the two experts hold the same weights: one was copied or downloaded in place of the other; compare \
                    the files' digests with the publisher's",
    })
}

#[cfg(test)]
mod tests {
    use wanfarm_types::Role;

    use super::*;
    use crate::doctor::demo;

    #[test]
    fn one_expert_twice_is_caught() {
        let folder = demo::folder();
        let (high, low) = (folder.weights(Role::DitHigh).unwrap(), folder.weights(Role::DitLow).unwrap());
        let measure = check(&high, &low).unwrap();
        assert!(measure.holds(), "{measure:?}");
        assert_eq!(check(&high, &high).unwrap().figure, 1.);
        assert!(!check(&high, &high).unwrap().holds());
    }
}
