//! Whether the text counts, and whether each expert embeds it for itself.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::{apart, distance};
use wanfarm_model::ModelError;

/// How far the velocity with one text is from that with another.
pub(super) fn check_effect(
    velocity: impl Fn(&Tensor) -> Result<Tensor, ModelError>,
    [text, other]: [&Tensor; 2],
) -> Checked {
    Ok(Measure {
        figure: apart(&velocity(text)?, &velocity(other)?)?,
        limit: Limit::Between(1e-4, 10.),
        otherwise: "the prompt changes nothing, or everything: text embeddings are zero or not loaded, or cross-attention \
                    is wrong",
    })
}

/// How far one expert's embedding of a text is from the other's.
pub(super) fn check_own(high: &[f64], low: &[f64]) -> Measure {
    Measure {
        figure: distance(high, low),
        limit: Limit::Between(1e-3, 1e6),
        otherwise: "both experts embed the text alike: each has a text_embedding of its own, and neither it nor what is \
                    made of it may be shared",
    }
}

#[cfg(test)]
mod tests {
    use wanfarm_types::Role;

    use super::*;
    use crate::doctor::demo;
    use crate::doctor::numbers::host;
    use wanfarm_model::dit::Timesteps;

    #[test]
    fn a_text_that_is_dropped_is_caught() {
        let (model, latents, texts) = (demo::expert(Role::DitHigh), demo::latents(), demo::texts());
        let velocity = |text: &Tensor| model.forward(&latents, Timesteps::Scalar(900.), &model.embed_text(text)?);
        let texts = texts.each_ref();
        let right = check_effect(velocity, texts).unwrap();
        assert!(right.holds(), "{right:?}");
        assert!(!check_effect(|_| velocity(texts[0]), texts).unwrap().holds());
    }

    #[test]
    fn a_shared_embedding_is_caught() {
        let text = &demo::texts()[0];
        let rows = |role| host(&demo::expert(role).text_rows(text).unwrap()).unwrap();
        let (high, low) = (rows(Role::DitHigh), rows(Role::DitLow));
        let right = check_own(&high, &low);
        assert!(right.holds(), "{right:?}");
        assert!(!check_own(&high, &high).holds());
        let zeros = vec![0.; high.len()];
        assert!(!check_own(&zeros, &zeros).holds(), "neither embeds anything");
    }
}
