//! A transformer, by the velocities it gives for a clip that the autoencoder has encoded.

mod noise_levels;
mod positions;
mod prediction;
mod text;

use candle_core::Tensor;
use wanfarm_types::{Expert, Role};

use super::finding::{Recorder, Section};
use super::numbers::host;
use prediction::{Noised, error};
use wanfarm_model::ModelError;
use wanfarm_model::dit::{Timesteps, WanModel};

/// What transformers are shown.
pub(super) struct Scene<'a> {
    /// The clip's latents, `(z, frames, height, width)`.
    pub(super) latents: &'a Tensor,
    /// What follows the latents' channels, in models that need a first frame.
    pub(super) channels: Option<&'a Tensor>,
    /// Rows of the clip's prompt, and of the empty one.
    pub(super) texts: [&'a Tensor; 2],
    /// Noise levels: where the first expert works, and where the second does.
    pub(super) levels: [f64; 2],
}

impl Scene<'_> {
    /// The transformer's input.
    pub(super) fn input(&self, latents: &Tensor) -> Result<Tensor, ModelError> {
        Ok(match self.channels {
            Some(channels) => Tensor::cat(&[latents, channels], 0)?,
            None => latents.clone(),
        })
    }
}

/// What is kept of a transformer when another takes its place.
#[derive(Debug, Clone)]
pub(super) struct Response {
    /// The embedded prompt.
    text_rows: Vec<f64>,
    /// Error of its prediction at each of the levels.
    errors: [f64; 2],
}

/// Runs all checks of one transformer.
pub(super) fn check(model: &WanModel, role: Role, scene: &Scene<'_>, recorder: &mut Recorder<'_>) -> Option<Response> {
    let section = Section::Transformers;
    let own = usize::from(role.expert() == Some(Expert::Low));
    let response = recorder.yielding(section, format!("{role}: prediction"), || {
        let text = model.embed_text(scene.texts[0])?;
        let mut errors = [0.; 2];
        for (error_, level) in errors.iter_mut().zip(scene.levels) {
            let noised = Noised::new(scene.latents, level)?;
            let velocity = model.forward(&scene.input(&noised.latents)?, noised.timestep(), &text)?;
            *error_ = error(&velocity, &noised)?;
        }
        let text_rows = host(&model.text_rows(scene.texts[0])?)?;
        Ok((prediction::check(errors[own]), Response { text_rows, errors }))
    })?;
    let noised = Noised::new(scene.latents, scene.levels[own]);
    let velocity = |x: &Tensor, t: Timesteps<'_>, text: &Tensor| model.forward(x, t, &model.embed_text(text)?);
    recorder.check(section, format!("{role}: answer to the text"), || {
        let noised = noised.as_ref().map_err(|error| ModelError::input("latents", error.to_string()))?;
        let x = scene.input(&noised.latents)?;
        text::check_effect(|text| velocity(&x, noised.timestep(), text), scene.texts)
    });
    recorder.check(section, format!("{role}: sense of place"), || {
        let noised = noised.as_ref().map_err(|error| ModelError::input("latents", error.to_string()))?;
        let x = scene.input(&noised.latents)?;
        positions::check(|x| velocity(x, noised.timestep(), scene.texts[0]), &x)
    });
    Some(response)
}

/// Compares the two experts.
pub(super) fn compare(high: &Response, low: &Response, recorder: &mut Recorder<'_>) {
    let section = Section::Transformers;
    recorder.check(section, "text embeddings", || Ok(text::check_own(&high.text_rows, &low.text_rows)));
    let [[high_at_high, high_at_low], [low_at_high, low_at_low]] = [high.errors, low.errors];
    recorder.check(section, "experts at high noise", || Ok(noise_levels::check(high_at_high, low_at_high)));
    recorder.check(section, "experts at low noise", || Ok(noise_levels::check(low_at_low, high_at_low)));
}
