//! Normalized attention guidance: what attention makes of one text, moved away from what it makes of another.
//!
//! Not here: the attention itself, and where in a network this is done.

use candle_core::{DType, Tensor};
use wanfarm_types::Nag;

use crate::error::ModelError;

/// With `z` and `avoided` of the two texts: `away = z · scale − avoided · (scale − 1)`; each row of it that is longer than
/// `tau` rows of `z`, by the sum of its magnitudes, is shortened to that; `away · alpha + z · (1 − alpha)`.
///
/// # Shapes
/// Both `(n, dim)` of any float type, a token's channels of all heads in a row → f32 `(n, dim)`.
///
/// # Errors
/// Shapes that do not fit, or a device out of memory.
///
/// Source: arXiv:2505.21179; ChenDarYen/ComfyUI-NAG@ef8a641 `utils.py` (`nag`). That one takes a row of `z` for at least
/// 1e-6 long, and kijai/ComfyUI-KJNodes@3f20054 adds 1e-7 to what it divides by; here nothing is divided by but a length
/// that exceeds another.
pub fn guide_away(z: &Tensor, avoided: &Tensor, nag: Nag) -> Result<Tensor, ModelError> {
    let Nag { scale, tau, alpha } = nag;
    let z = z.to_dtype(DType::F32)?;
    let away = ((&z * scale)? - (avoided.to_dtype(DType::F32)? * (scale - 1.0))?)?;
    let length = |rows: &Tensor| rows.abs()?.sum_keepdim(1);
    let (length, most) = (length(&away)?, (length(&z)? * tau)?);
    let shorter = length.gt(&most)?.where_cond(&(&most / &length)?, &length.ones_like()?)?;
    Ok((away.broadcast_mul(&(shorter * alpha)?)? + (z * (1.0 - alpha))?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn guided(z: &[[f32; 3]], avoided: &[[f32; 3]], nag: Nag) -> Vec<Vec<f32>> {
        let rows = |rows: &[[f32; 3]]| Tensor::from_slice(rows.as_flattened(), (rows.len(), 3), &Device::Cpu).unwrap();
        guide_away(&rows(z), &rows(avoided), nag).unwrap().to_vec2().unwrap()
    }

    /// Worked out by hand: a row that is too long, one that is not, and rows of zeros.
    #[test]
    fn each_row_is_moved_away_and_no_longer_than_it_may_be() {
        let nag = Nag { scale: 3.0, tau: 2.0, alpha: 0.25 };
        let z = [[1.0, -1.0, 2.0], [1.0, -1.0, 2.0], [0.0; 3], [0.0; 3]];
        let avoided = [[-1.0, 1.0, 2.0], [0.5, -0.5, 2.0], [0.0; 3], [1.0, 0.0, 0.0]];
        let wanted = [
            // Away (5, −5, 2) of length 12, shortened to 8: × 2/3.
            [5.0 / 6.0 + 0.75, -5.0 / 6.0 - 0.75, 1.0 / 3.0 + 1.5],
            // Away (2, −2, 2) of length 6.
            [0.5 + 0.75, -0.5 - 0.75, 0.5 + 1.5],
            [0.0; 3],
            [0.0; 3],
        ];
        for (got, wanted) in guided(&z, &avoided, nag).iter().zip(&wanted) {
            assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-6), "{got:?}, not {wanted:?}");
        }
    }

    #[test]
    fn nothing_is_moved_by_a_scale_of_one_nor_taken_at_alpha_zero() {
        let (z, avoided) = ([[0.5, -1.0, 2.0]], [[3.0, 1.0, -4.0]]);
        for nag in [Nag { scale: 1.0, ..Nag::default() }, Nag { alpha: 0.0, ..Nag::default() }] {
            assert_eq!(guided(&z, &avoided, nag), z);
        }
    }
}
