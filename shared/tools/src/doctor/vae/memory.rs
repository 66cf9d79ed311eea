//! What a decoder carries from one latent frame to the next: all of the past that its kernels reach, nothing of the
//! future.

use candle_core::Tensor;

use super::frames::Frames;
use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::distance;
use wanfarm_model::ModelError;

/// How far the second latent frame's frames change with the first latent frame.
pub(super) fn check(decode: impl Fn(&Tensor) -> Result<Frames, ModelError>, latents: &Tensor) -> Checked {
    let after = |latents: &Tensor| Ok::<_, ModelError>(Frames(decode(latents)?.0.split_off(1)).values());
    let (first, second) = (latents.narrow(1, 0, 1)?, latents.narrow(1, 1, 1)?);
    let was = after(&Tensor::cat(&[&first, &second], 1)?)?;
    let now = after(&Tensor::cat(&[&first.neg()?, &second], 1)?)?;
    Ok(Measure {
        figure: distance(&now, &was),
        limit: Limit::Between(1e-3, 1e3),
        otherwise: "the autoencoder forgets past frames: videos jump at every fourth frame; each causal convolution has \
                    to keep its last two input frames",
    })
}

/// How far the first latent frame's frames change with the second latent frame.
pub(super) fn check_foresight(decode: impl Fn(&Tensor) -> Result<Frames, ModelError>, latents: &Tensor) -> Checked {
    let before = |latents: &Tensor| Ok::<_, ModelError>(decode(latents)?.0.swap_remove(0));
    let (first, second) = (latents.narrow(1, 0, 1)?, latents.narrow(1, 1, 1)?);
    let was = before(&Tensor::cat(&[&first, &second], 1)?)?;
    let now = before(&Tensor::cat(&[&first, &second.neg()?], 1)?)?;
    Ok(Measure {
        figure: distance(&now, &was),
        limit: Limit::AtMost(1e-6),
        otherwise: "frames depend on later ones: the convolutions are centred in time instead of causal",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::demo;

    #[test]
    fn lost_memory_and_foresight_are_caught() {
        let (vae, latents) = (demo::vae(), demo::latents());
        let right = |latents: &Tensor| Frames::decoded(vae.decoder(), latents);
        let (memory, foresight) = (check(right, &latents).unwrap(), check_foresight(right, &latents).unwrap());
        assert!(memory.holds() && foresight.holds(), "{memory:?} {foresight:?}");
        // Each latent frame on its own.
        let forgetful = |latents: &Tensor| {
            let mut frames = right(&latents.narrow(1, 0, 1)?)?;
            for t in 1..latents.dim(1)? {
                frames.0.extend(Frames::decoded(vae.decoder_without_first(), &latents.narrow(1, t, 1)?)?.0);
            }
            Ok(frames)
        };
        assert!(!check(forgetful, &latents).unwrap().holds());
        // Time runs backwards.
        let backwards = |latents: &Tensor| {
            let turned: Vec<Tensor> =
                (0..latents.dim(1)?).rev().map(|t| latents.narrow(1, t, 1)).collect::<Result<_, _>>()?;
            right(&Tensor::cat(&turned, 1)?)
        };
        assert!(!check_foresight(backwards, &latents).unwrap().holds());
    }
}
