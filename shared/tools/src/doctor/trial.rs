//! A small render: from noise to frames in few steps, its latents watched.
//!
//! Not here: judging the frames.

use candle_core::{Device, Tensor};
use wanfarm_sampling::{Schedule, Solver, SolverState, Spread, guide, randn};
use wanfarm_types::{Defaults, Expert, Experts, ModelInfo, SolverKind};

use super::clip::Size;
use super::dit::Scene;
use super::finding::{Limit, Measure};
use super::numbers::host_f32;
use wanfarm_model::ModelError;
use wanfarm_model::dit::{Timesteps, WanModel};
use wanfarm_model::vae::{WanVae, rgb8};

/// Enough for a picture.
const STEPS: u32 = 10;
/// Of the initial noise.
const SEED: u64 = 1;

/// Frames of the render: `frames · height · width · 3` bytes, row by row, RGB.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Number of frames.
    pub frames: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// RGB samples, frame by frame and row by row.
    pub rgb: Vec<u8>,
}

/// A render under way.
pub(super) struct Trial {
    size: Size,
    shape: [usize; 4],
    experts: Experts,
    defaults: Defaults,
    schedule: Schedule,
    solver: Solver,
    state: SolverState,
    /// After each step.
    spreads: Vec<Spread>,
}

impl Trial {
    pub(super) fn new(info: &ModelInfo, size: Size) -> Result<Self, ModelError> {
        let defaults = info.defaults.clone();
        // Distilled weights have few steps of their own; here only whether they compute is asked.
        let solver = if defaults.solver.few_steps().is_some() { SolverKind::Euler } else { defaults.solver };
        let schedule = Schedule::new(solver, STEPS, defaults.shift)
            .map_err(|error| ModelError::input("schedule", error.to_string()))?;
        let shape = size.latent_shape(info);
        let sample = randn(SEED, shape.iter().product());
        Ok(Self {
            size,
            shape,
            experts: info.experts,
            solver: Solver::new(solver, &schedule),
            schedule,
            defaults,
            state: SolverState { sample, history: Vec::new() },
            spreads: Vec::new(),
        })
    }

    /// Takes the steps of an expert.
    pub(super) fn advance(mut self, model: &WanModel, expert: Expert, scene: &Scene<'_>) -> Result<Self, ModelError> {
        let scale = self.defaults.guidance.of(expert);
        let [cond, uncond] = [model.embed_text(scene.texts[0])?, model.embed_text(scene.texts[1])?];
        let steps = self.schedule.steps_of(expert, self.experts);
        let steps =
            steps.ok_or_else(|| ModelError::input("expert", format!("the model has none called {expert:?}")))?;
        for step in steps {
            let latents = Tensor::from_slice(&self.state.sample, &self.shape[..], &Device::Cpu)?;
            let (x, timestep) = (scene.input(&latents)?, Timesteps::Scalar(self.schedule.timesteps()[step as usize]));
            let velocity = |text| host_f32(&model.forward(&x, timestep, text)?);
            let guided = guide(&velocity(&cond)?, &velocity(&uncond)?, scale);
            let next = guided.and_then(|velocity| self.solver.advance(step, &self.state, &velocity));
            self.state = next.map_err(|error| ModelError::input("step", error.to_string()))?;
            self.spreads.push(Spread::of(&self.state.sample));
        }
        Ok(self)
    }

    /// The deviation of the latents after the step where it is least usual.
    pub(super) fn check(&self) -> Measure {
        check_spreads(&self.spreads)
    }

    /// Decodes the latents.
    pub(super) fn decode(&self, vae: &WanVae) -> Result<Rendered, ModelError> {
        let latents = Tensor::from_slice(&self.state.sample, &self.shape[..], &Device::Cpu)?;
        let Size { height, width, .. } = self.size;
        let (mut frames, mut rgb) = (0, Vec::new());
        vae.decode::<ModelError>(&latents, |decoded| {
            for frame in decoded {
                if !Spread::of(&host_f32(&frame)?).is_finite() {
                    return Err(ModelError::input("decoded frames", format!("frame {frames} is not finite")));
                }
                rgb.extend(rgb8(&frame)?);
                frames += 1;
            }
            Ok(())
        })?;
        Ok(Rendered { frames, height: height as usize, width: width as usize, rgb })
    }
}

fn check_spreads(spreads: &[Spread]) -> Measure {
    let deviation = |spread: &Spread| if spread.is_finite() { spread.std } else { f64::NAN };
    let farther = |a: f64, b: f64| if a.is_nan() || a.ln().abs() >= b.ln().abs() { a } else { b };
    Measure {
        figure: spreads.iter().map(deviation).reduce(farther).unwrap_or(f64::NAN),
        limit: Limit::Between(0.2, 3.),
        otherwise: "latents leave the range of pictures while they are denoised, or are not finite: look at the schedule, \
                    the solver's history and half-precision overflow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_step_is_enough() {
        let spread = |std, not_finite| Spread { std, not_finite, ..Spread::default() };
        assert!(check_spreads(&[spread(1., 0), spread(0.7, 0)]).holds());
        assert_eq!(check_spreads(&[spread(1., 0), spread(0.7, 0), spread(1.1, 0)]).figure, 0.7);
        for bad in [spread(9., 0), spread(0., 0), spread(1., 1)] {
            assert!(!check_spreads(&[spread(1., 0), bad, spread(1.1, 0)]).holds(), "{bad}");
        }
        assert!(!check_spreads(&[]).holds());
    }
}
