//! `dit`, `dit-high`, `dit-low`: steps of one expert, from a state (or the seed's noise) to the state after each.
//! Nothing is carried from item to item but embedded texts, so any worker can go on from any other's state.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use wanfarm_model::ModelError;
use wanfarm_model::conditioning::Conditioning;
use wanfarm_model::dit::{TextContext, WanModel};
use wanfarm_sampling::{Schedule, Solver, SolverState, guide, randn};
use wanfarm_types::{Digest, Failure, Geometry};

use super::{explain, finite, values};
use crate::admission::scale;
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner, State, abandoned};

/// Embedded texts kept: those of the video at hand. The negative prompt, used last, stays for the next video.
/// For the largest models each is hundreds of megabytes.
const TEXTS: usize = 2;

/// One expert of one model.
#[derive(Debug)]
pub(crate) struct Denoiser {
    model: WanModel,
    geometry: Geometry,
    /// The least recently used first.
    texts: VecDeque<(Digest, Arc<TextContext>)>,
}

impl Denoiser {
    pub(crate) fn new(model: WanModel, geometry: Geometry) -> Self {
        Self { model, geometry, texts: VecDeque::new() }
    }

    /// The text as this expert sees it; embedded once per text and not per step.
    fn text(&mut self, context: &HostTensor) -> Result<Arc<TextContext>, ModelError> {
        let digest = context.name.digest;
        let known = self.texts.iter().position(|(known, _)| *known == digest);
        if let Some(entry) = known.and_then(|index| self.texts.remove(index)) {
            self.texts.push_back(entry.clone());
            return Ok(entry.1);
        }
        if self.texts.len() >= TEXTS {
            self.texts.pop_front();
        }
        let rows = Tensor::from_vec(context.to_f32(), context.shape(), &Device::Cpu)?;
        let text = Arc::new(self.model.embed_text(&rows)?);
        self.texts.push_back((digest, text.clone()));
        Ok(text)
    }

    /// What this expert makes of the encoded first frame, or of there being none.
    fn conditioning(&self, image: &[HostTensor], latents: [usize; 4]) -> Result<Conditioning, ModelError> {
        let image = match image {
            [] => None,
            [image] => Some(Tensor::from_vec(image.to_f32(), image.shape(), &Device::Cpu)?),
            _ => return Err(ModelError::input("first frame", format!("{} tensors are one too many", image.len()))),
        };
        Conditioning::new(self.model.config(), latents, image)
    }
}

impl RoleRunner for Denoiser {
    fn run(&mut self, item: &PreparedItem, control: &mut dyn Control) -> Result<Output, Failure> {
        let PreparedItem { item: work, spec, contexts, .. } = item;
        let failed = |error| explain(item, error);
        let impossible = |why: String| Failure::deterministic(format!("{} of {}: {why}", work.stage, work.video));
        let schedule =
            Schedule::new(spec.solver, spec.steps, spec.shift).map_err(|error| impossible(error.to_string()))?;
        let solver = Solver::new(spec.solver, &schedule);
        let expert = work.stage.expert().ok_or_else(|| impossible("it does not denoise".to_owned()))?;
        let scale = scale(spec.guidance, expert);
        let (prompt, negative) = match &contexts[..] {
            [prompt, ..] if scale == 1.0 => (prompt, None),
            [prompt, negative] => (prompt, Some(negative)),
            _ => return Err(impossible(format!("{} text contexts for guidance {scale}", contexts.len()))),
        };
        let cond = self.text(prompt).map_err(failed)?;
        let uncond = negative.map(|negative| self.text(negative)).transpose().map_err(failed)?;

        let shape = self.geometry.latent_shape(spec.width, spec.height, spec.frames);
        let conditioning = self.conditioning(&item.image, shape).map_err(failed)?;
        let velocity = |latents: &Tensor, timestep, text: &TextContext| {
            values(&conditioning.velocity(&self.model, latents, timestep, text)?)
        };
        let mut state = match &item.state {
            Some(state) => resume(state),
            None => {
                let mut noise = randn(spec.seed, shape.iter().product());
                conditioning.hold(&mut noise).map_err(failed)?;
                SolverState { sample: noise, history: Vec::new() }
            }
        };
        let mut done = None;
        for step in work.steps.first..work.steps.end {
            let timestep = schedule.timesteps().get(step as usize).copied();
            let timestep = timestep.ok_or_else(|| impossible(format!("there is no step {step}")))?;
            let latents =
                Tensor::from_slice(&state.sample, &shape[..], &Device::Cpu).map_err(|error| failed(error.into()))?;
            if control.abandoned() {
                return Err(abandoned());
            }
            let mut guided = velocity(&latents, timestep, &cond).map_err(failed)?;
            if let Some(uncond) = &uncond {
                if control.abandoned() {
                    return Err(abandoned());
                }
                let uncond = velocity(&latents, timestep, uncond).map_err(failed)?;
                guided = guide(&guided, &uncond, scale).map_err(|error| impossible(error.to_string()))?;
            }
            state = solver.advance(step, &state, &guided).map_err(|error| impossible(error.to_string()))?;
            conditioning.hold(&mut state.sample).map_err(failed)?;
            for tensor in std::iter::once(&state.sample).chain(&state.history) {
                finite(tensor, || format!("the latents of {} after step {step} of {}", work.video, spec.steps))?;
            }
            let result = freeze(&state, step + 1, &shape);
            control.step_done(&result);
            done = Some(result);
            if control.should_stop_after_step() {
                break;
            }
        }
        done.map(Output::State).ok_or_else(|| impossible("the range of steps is empty".to_owned()))
    }
}

/// Latents first, then history.
fn resume(state: &State) -> SolverState {
    let mut tensors = state.tensors.iter().map(HostTensor::to_f32);
    SolverState { sample: tensors.next().unwrap_or_default(), history: tensors.collect() }
}

fn freeze(state: &SolverState, steps_done: u32, shape: &[usize]) -> State {
    let tensors = std::iter::once(&state.sample).chain(&state.history);
    State { steps_done, tensors: tensors.map(|tensor| HostTensor::from_f32(shape, tensor)).collect() }
}
