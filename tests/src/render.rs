//! A render in one process: noise and text contexts in, latents after every step and frames out.

use anyhow::{Context, Result};
use candle_core::Tensor;
use wanfarm_model::ModelError;
use wanfarm_model::conditioning::Conditioning;
use wanfarm_model::dit::{Blocks, TextContext, WanModel};
use wanfarm_model::vae::{WanVae, rgb8};
use wanfarm_sampling::{Schedule, Solver, SolverState, guide, randn_of_step};
use wanfarm_types::{Guidance, SolverKind};

use crate::files::Experts;

/// A transformer and the texts, with and without the prompt, as it embeds them: each expert has its own.
struct Prepared<'a> {
    model: &'a WanModel,
    texts: [TextContext; 2],
}

impl<'a> Prepared<'a> {
    fn new(model: &'a WanModel, cond: &Tensor, uncond: &Tensor) -> Result<Self> {
        Ok(Self { model, texts: [model.embed_text(cond)?, model.embed_text(uncond)?] })
    }
}

/// What one step did.
pub struct Step {
    /// Velocity with the prompt.
    pub cond: Vec<f32>,
    /// Velocity with the negative prompt; empty where guidance is 1.
    pub uncond: Vec<f32>,
    /// Both combined.
    pub guided: Vec<f32>,
    /// The latents as the solver made them.
    pub stepped: Vec<f32>,
    /// The latents after the step: with a first frame that is known, if there is one.
    pub latents: Vec<f32>,
}

/// Everything that decides how noise becomes latents.
pub struct Denoiser<'a> {
    /// The transformers.
    pub experts: &'a Experts,
    /// How many leading steps are the high expert's.
    pub high_steps: u32,
    /// Which levels to visit.
    pub schedule: &'a Schedule,
    /// How to step between them.
    pub solver: SolverKind,
    /// Guidance of each expert; a single one has `low`.
    pub guidance: Guidance,
    /// The encoded first frame, if there is one.
    pub image: Option<&'a Tensor>,
    /// Of the seed of the noise, where steps draw noise anew.
    pub seed: Option<u64>,
}

impl Denoiser<'_> {
    /// Runs every step. Contexts are f32 `(rows, text_dim)`, unpadded.
    ///
    /// # Errors
    /// Inputs that do not fit the models.
    pub fn run(&self, noise: &Tensor, cond: &Tensor, uncond: &Tensor) -> Result<Vec<Step>> {
        let (shape, device) = (noise.shape(), noise.device());
        let low = Prepared::new(&self.experts.low, cond, uncond)?;
        let high = self.experts.high.as_ref().map(|model| Prepared::new(model, cond, uncond)).transpose()?;
        let solver = Solver::new(self.solver, self.schedule);
        let conditioning = Conditioning::new(self.experts.low.config(), noise.dims4()?.into(), self.image.cloned())?;
        let mut state = SolverState { sample: solver.begin(flat(noise)?), history: vec![] };
        conditioning.hold(&mut state.sample)?;
        let mut steps = Vec::new();
        for (step, &timestep) in (0..).zip(self.schedule.timesteps()) {
            let (Prepared { model, texts }, scale) = match &high {
                Some(high) if step < self.high_steps => (high, self.guidance.high),
                _ => (&low, self.guidance.low),
            };
            let x = Tensor::from_slice(&state.sample, shape, device)?;
            let velocity =
                |text| -> Result<Vec<f32>> { flat(&conditioning.velocity(model, &x, timestep, text, Blocks::Run)?) };
            let cond = velocity(&texts[0])?;
            let (uncond, guided) = if scale == 1.0 {
                (Vec::new(), cond.clone())
            } else {
                let uncond = velocity(&texts[1])?;
                let guided = guide(&cond, &uncond, scale)?;
                (uncond, guided)
            };
            let drawn = self.seed.filter(|_| solver.draws_noise(step));
            let drawn = drawn.map(|seed| randn_of_step(seed, step, state.sample.len()));
            state = solver.advance_with(step, &state, &guided, drawn.as_deref())?;
            let stepped = state.sample.clone();
            conditioning.hold(&mut state.sample)?;
            steps.push(Step { cond, uncond, guided, stepped, latents: state.sample.clone() });
        }
        Ok(steps)
    }
}

/// A decoded video.
pub struct Video {
    /// `(3, frames, height, width)`, not clamped.
    pub pixels: Tensor,
    /// `frames · height · width · 3` bytes.
    pub rgb: Vec<u8>,
}

impl Video {
    /// The pixels as they are shown: clamped to [−1, 1], row-major.
    ///
    /// # Errors
    /// None on the CPU.
    pub fn clamped(&self) -> Result<Vec<f32>> {
        flat(&self.pixels.clamp(-1.0, 1.0)?)
    }
}

/// Decodes latents `(z, T, H, W)`.
///
/// # Errors
/// Latents that do not fit the autoencoder.
pub fn decode(vae: &WanVae, latents: &Tensor) -> Result<Video> {
    let (mut frames, mut rgb) = (Vec::new(), Vec::new());
    vae.decode::<ModelError>(latents, |batch| {
        for frame in batch {
            rgb.extend(rgb8(&frame)?);
            frames.push(frame);
        }
        Ok(())
    })?;
    let pixels = Tensor::stack(&frames, 0).context("no frame was decoded")?.permute((3, 0, 1, 2))?.contiguous()?;
    Ok(Video { pixels, rgb })
}

/// A tensor's values, row-major.
///
/// # Errors
/// It is not f32.
pub fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}
