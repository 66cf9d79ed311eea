//! How widely the latents of a picture are spread: normalised latents have a deviation of about one.

use candle_core::Tensor;

use crate::doctor::finding::{Checked, Limit, Measure};
use crate::doctor::numbers::host_f32;
use wanfarm_sampling::Spread;

/// Latents `(z, frames, height, width)`: the deviation within each channel, root mean square over channels.
pub(super) fn check(latents: &Tensor) -> Checked {
    let channels = latents.dim(0)?;
    let mut variance = 0.;
    for channel in 0..channels {
        let spread = Spread::of(&host_f32(&latents.get(channel)?)?);
        variance += if spread.is_finite() { spread.std.powi(2) } else { f64::NAN };
    }
    Ok(Measure {
        figure: (variance / channels as f64).sqrt(),
        limit: Limit::Between(0.2, 3.),
        otherwise: "the encoder does not answer to the picture (its weights are zero or not loaded), or latents are not \
                    normalised by the means and deviations of this autoencoder",
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::doctor::numbers::normal;

    #[test]
    fn constant_and_unnormalised_latents_are_caught() {
        let latents = normal(&[16, 3, 4, 4], 1).unwrap();
        assert!(check(&latents).unwrap().holds());
        assert!(!check(&(&latents * 10.).unwrap()).unwrap().holds());
        assert!(!check(&(&latents * f64::NAN).unwrap()).unwrap().holds());
        // What an encoder of zeros makes: a constant per channel.
        let means = Tensor::ones((16, 3, 4, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(!check(&means).unwrap().holds());
    }
}
