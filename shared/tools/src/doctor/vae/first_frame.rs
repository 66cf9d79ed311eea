//! The rule of the first frame: a video starts with a frame of its own, and latent frames are decoded one by one. A
//! video run through the decoder at once, all frames alike, looks right but for its start, and is another video.

use candle_core::Tensor;

use super::frames::Frames;
use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::distance;
use wanfarm_model::ModelError;
use wanfarm_model::vae::WanVae;

/// Latent frames looked at.
const START: usize = 2;

/// How far a decoder is, at the start of a video, from decoding everything at once.
pub(super) fn check(
    decode: impl Fn(&Tensor) -> Result<Frames, ModelError>,
    at_once: impl Fn(&Tensor) -> Result<Frames, ModelError>,
    latents: &Tensor,
) -> Checked {
    let start = latents.narrow(1, 0, START.min(latents.dim(1)?))?;
    Ok(Measure {
        figure: distance(&decode(&start)?.values(), &at_once(&start)?.values()),
        limit: Limit::Between(1e-3, 1e3),
        otherwise: "the video is decoded at once, or as many frames come of the first latent frame as of the others: \
                    decode one latent frame at a time, the first without its convolutions in time",
    })
}

/// The shortcut: all latent frames alike, and of the first one's frames only the last is kept.
pub(super) fn decode_at_once(vae: &WanVae, latents: &Tensor) -> Result<Frames, ModelError> {
    let Frames(mut frames) = Frames::decoded(vae.decoder_without_first(), latents)?;
    frames.drain(..frames.len().min(vae.config().stride_t() - 1));
    Ok(Frames(frames))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::demo;

    #[test]
    fn an_unchunked_autoencoder_is_caught() {
        let (vae, latents) = (demo::vae(), demo::latents());
        let at_once = |latents: &Tensor| decode_at_once(&vae, latents);
        let measure = check(|latents| Frames::decoded(vae.decoder(), latents), at_once, &latents).unwrap();
        assert!(measure.holds(), "{measure:?}");
        assert_eq!(at_once(&latents).unwrap().0.len(), 17, "it passes for a video");
        let measure = check(at_once, at_once, &latents).unwrap();
        assert!(!measure.holds(), "{measure:?}");
        let all = |latents: &Tensor| Frames::decoded(vae.decoder_without_first(), latents);
        assert!(!check(all, at_once, &latents).unwrap().holds(), "three frames too many");
    }
}
