//! The autoencoder, by what becomes of a clip on its way into latents and back.

mod first_frame;
mod frames;
mod levels;
mod memory;
mod order;
mod round_trip;
mod spread;

use candle_core::Tensor;

use super::finding::{Recorder, Section};
use frames::Frames;
use wanfarm_model::vae::WanVae;

/// Runs all checks of the autoencoder on a clip `(3, frames, height, width)`; gives the clip's latents.
pub(super) fn check_all(vae: &WanVae, clip: &Tensor, recorder: &mut Recorder<'_>) -> Option<Tensor> {
    let section = Section::Autoencoder;
    recorder.check(section, "order of resampling", || Ok(levels::check(&vae.config().temporal_downsample)));
    let latents = recorder.yielding(section, "spread of the latents", || {
        let latents = vae.encode(clip)?;
        Ok((spread::check(&latents)?, latents))
    })?;
    let decode = |latents: &Tensor| Frames::decoded(vae.decoder(), latents);
    let round_trip = recorder.yielding(section, "round trip", || {
        let (clip, decoded) = (Frames::of(clip)?, decode(&latents)?);
        Ok((round_trip::check(&decoded, &clip), (decoded, clip)))
    });
    if let Some((decoded, clip)) = round_trip {
        recorder.check(section, "level of the colours", || Ok(round_trip::check_level(&decoded, &clip)));
        recorder.check(section, "order of the frames", || Ok(order::check(&decoded, &clip)));
        let at_once = |latents: &Tensor| first_frame::decode_at_once(vae, latents);
        recorder.check(section, "rule of the first frame", || first_frame::check(decode, at_once, &latents));
        recorder.check(section, "memory of past frames", || memory::check(decode, &latents));
        recorder.check(section, "sight of later frames", || memory::check_foresight(decode, &latents));
    }
    Some(latents)
}
