//! Normalized attention guidance (NAG): a negative prompt inside each pass with the prompt, in its cross-attention. It
//! costs no second pass, and works where guidance does not: in models that were distilled to few steps.
//!
//! Not here: what it does to the numbers (`wanfarm_model`).
//!
//! Source: Chen et al., arXiv:2505.21179.

use serde::{Deserialize, Serialize};

/// Its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nag {
    /// How far attention to the prompt is moved away from attention to the negative prompt; 1 moves nothing.
    pub scale: f64,
    /// How many times as long a token's result may become, by the sum of its magnitudes.
    pub tau: f64,
    /// How much of the result is taken, 0 to 1.
    pub alpha: f64,
}

impl Nag {
    /// Largest scale.
    pub const MAX_SCALE: f64 = 100.0;
    /// Largest bound of the length.
    pub const MAX_TAU: f64 = 10.0;

    /// Whether the settings are some that a render can follow.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), BadNag> {
        let Self { scale, tau, alpha } = *self;
        let bounds =
            [("scale", scale, 1.0, Self::MAX_SCALE), ("tau", tau, 1.0, Self::MAX_TAU), ("alpha", alpha, 0.0, 1.0)];
        // NaN is between nothing.
        match bounds.into_iter().find(|&(_, value, least, most)| !(least..=most).contains(&value)) {
            None => Ok(()),
            Some((setting, value, least, most)) => Err(BadNag { setting, value, least, most }),
        }
    }
}

/// What is published for Wan.
///
/// Source: kijai/ComfyUI-KJNodes@3f20054 `nodes/model_optimization_nodes.py` (`WanVideoNAG`). The authors' own node has
/// the same `tau` and `alpha`, and a scale of 5 for all kinds of models.
impl Default for Nag {
    fn default() -> Self {
        Self { scale: 11.0, tau: 2.5, alpha: 0.25 }
    }
}

/// A setting that no render can follow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{setting} = {value} of nag is not between {least} and {most}")]
pub struct BadNag {
    setting: &'static str,
    value: f64,
    least: f64,
    most: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_named() {
        let nag = Nag::default();
        assert_eq!(nag.check(), Ok(()));
        for (bad, words) in [
            (Nag { scale: 0.5, ..nag }, "scale = 0.5 of nag is not between 1 and 100"),
            (Nag { tau: f64::INFINITY, ..nag }, "tau = inf of nag is not between 1 and 10"),
            (Nag { alpha: f64::NAN, ..nag }, "alpha = NaN of nag is not between 0 and 1"),
        ] {
            assert_eq!(bad.check().unwrap_err().to_string(), words);
        }
    }
}
