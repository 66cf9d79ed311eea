//! How well a transformer predicts the velocity at a noise level, of a clip that is known.

use candle_core::Tensor;

use crate::doctor::finding::{Limit, Measure};
use crate::doctor::numbers::{apart, normal};
use wanfarm_model::ModelError;
use wanfarm_model::dit::Timesteps;

/// Seed of the noise.
const SEED: u64 = 11;

/// Latents with noise in them: `(1 − σ)·x0 + σ·noise`.
pub(super) struct Noised {
    pub(super) latents: Tensor,
    level: f64,
    /// `noise − x0`.
    velocity: Tensor,
}

impl Noised {
    pub(super) fn new(clean: &Tensor, level: f64) -> Result<Self, ModelError> {
        let noise = normal(clean.dims(), SEED)?;
        let clean = clean.to_device(noise.device())?;
        let latents = ((&clean * (1. - level))? + (&noise * level)?)?;
        Ok(Self { latents, level, velocity: (noise - clean)? })
    }

    /// As the schedule has it: whole, in 1000.
    pub(super) fn timestep(&self) -> Timesteps<'static> {
        Timesteps::Scalar((self.level * 1000.).trunc())
    }
}

/// Relative error of a predicted velocity. The error of x0 = x − σ·v is σ times that of v.
pub(super) fn error(velocity: &Tensor, noised: &Noised) -> Result<f64, ModelError> {
    apart(velocity, &noised.velocity)
}

/// An expert's error where it works.
pub(super) fn check(error: f64) -> Measure {
    Measure {
        figure: error,
        limit: Limit::AtMost(0.9),
        otherwise: "its velocity has little to do with the noise in a clip (predicting nothing has the error 1): renders \
                    are noise. Weights are wrong, or operations, or timesteps are not in 0 .. 1000",
    }
}

#[cfg(test)]
mod tests {
    use wanfarm_types::Role;

    use super::*;
    use crate::doctor::demo;

    #[test]
    fn a_transformer_that_predicts_nothing_is_caught() {
        let noised = Noised::new(&demo::latents(), 0.5).unwrap();
        let model = demo::expert(Role::DitLow);
        let text = model.embed_text(&demo::texts()[0]).unwrap();
        let velocity = |t| model.forward(&noised.latents, t, &text).unwrap();
        let right = check(error(&velocity(noised.timestep()), &noised).unwrap());
        assert!(right.holds(), "{right:?}");
        assert!(!check(error(&noised.latents.zeros_like().unwrap(), &noised).unwrap()).holds());
        let negative = velocity(noised.timestep()).neg().unwrap();
        assert!(!check(error(&negative, &noised).unwrap()).holds(), "x0 − noise instead of noise − x0");
    }
}
