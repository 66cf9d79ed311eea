//! Classifier-free guidance on finished predictions. Whether to run the second pass at all is the caller's to say
//! (at scale 1 it changes nothing).

use crate::SolverError;

/// uncond + scale · (cond − uncond), computed in f64 and rounded to f32 once.
///
/// # Errors
/// Predictions of unequal lengths.
///
/// Source: Wan2.2@42bf4cf `wan/text2video.py#L203` (generate).
pub fn guide(cond: &[f32], uncond: &[f32], scale: f64) -> Result<Vec<f32>, SolverError> {
    if cond.len() != uncond.len() {
        let what = "the unconditional prediction";
        return Err(SolverError::Length { what, expected: cond.len(), got: uncond.len() });
    }
    let combine = |(&c, &u): (&f32, &f32)| (f64::from(u) + scale * (f64::from(c) - f64::from(u))) as f32;
    Ok(cond.iter().zip(uncond).map(combine).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_extrapolates_from_uncond_to_cond() {
        assert_eq!(guide(&[1.0, -1.0], &[0.5, 1.0], 4.0), Ok(vec![2.5, -7.0]));
        assert_eq!(guide(&[0.1, 0.3], &[0.7, 1e30], 1.0).unwrap()[0], 0.1);
        assert_eq!(guide(&[0.1], &[0.7], 0.0), Ok(vec![0.7]));
        assert!(guide(&[0.1], &[], 1.0).is_err());
    }
}
