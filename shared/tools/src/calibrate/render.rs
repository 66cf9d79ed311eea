//! Renders to measure by: all videos through one transformer after the other, with no more in memory than one network.
//!
//! Not here: frames. Nothing is decoded.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use wanfarm_sampling::cache::Branch;
use wanfarm_sampling::{Schedule, Solver, SolverState, Spread, guide, randn};
use wanfarm_types::{CalibratedStage, Calibration, Expert, Guidance, Role, SolverKind};

use super::magnitude::{Magnitudes, Measured, mean};
use wanfarm_image::RgbImage;
use wanfarm_model::ModelError;
use wanfarm_model::conditioning::{self, Anchors, Conditioning};
use wanfarm_model::dit::{Blocks, WanModel};
use wanfarm_model::folder::ModelFolder;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_model::text::Tokenizer;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::WanVae;
use wanfarm_weights::digest_files;

/// What is rendered. Settings that resolve a video of this model the same way give the curve that it will follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Videos {
    /// One video each.
    pub prompts: Vec<String>,
    /// Text to avoid.
    pub negative: String,
    /// Of the first video's noise; each further one has the next.
    pub seed: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Count, 4n+1.
    pub frames: u32,
    /// Denoising steps.
    pub steps: u32,
    /// Shift of the flow schedule.
    pub shift: f64,
    /// Sampling method.
    pub solver: SolverKind,
    /// Guidance per expert.
    pub guidance: Guidance,
}

/// How far a measurement is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Which video, from 0.
    pub video: usize,
    /// The step it has done, from 0.
    pub step: u32,
}

/// A measurement to be made.
#[derive(Debug)]
pub struct Calibrator<'a> {
    /// Folder of the model.
    pub folder: &'a ModelFolder,
    /// Where to compute.
    pub device: DeviceKind,
    /// Whether transformers multiply in bf16 or in f32.
    pub bf16: bool,
    /// What to render.
    pub videos: Videos,
    /// The first frame of each video, for models that start from one.
    pub image: Option<&'a RgbImage>,
}

/// A video under way.
struct Video {
    /// With the prompt and without.
    texts: [Tensor; 2],
    state: SolverState,
    stages: Vec<CalibratedStage>,
}

impl Calibrator<'_> {
    /// Renders every video and measures each step; says so after each.
    ///
    /// # Errors
    /// Settings that make no video of this model, its files, the device, or latents that are not finite.
    pub fn run(&self, progress: &mut dyn FnMut(Progress)) -> Result<Measured, ModelError> {
        let (info, settings) = (self.folder.info(), &self.videos);
        let wrong = |what: &'static str, why: String| ModelError::input(what, why);
        let faults = info.geometry.check(settings.width, settings.height, settings.frames);
        if !faults.is_empty() {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return Err(wrong("size", faults.join("; ")));
        }
        if settings.prompts.is_empty() {
            return Err(wrong("prompts", "there is none to render".to_owned()));
        }
        let schedule = Schedule::new(settings.solver, settings.steps, settings.shift)
            .map_err(|error| wrong("schedule", error.to_string()))?;
        let device = self.device.open()?;
        let shape = info.geometry.latent_shape(settings.width, settings.height, settings.frames);
        let image = self.image.map(|image| self.encoded(image, &device)).transpose()?;
        let mut videos = self.begin(&device, shape)?;
        let mut files = Vec::new();
        for (expert, steps) in schedule.split(info.experts).into_iter().filter(|(_, steps)| !steps.is_empty()) {
            let role = expert.stage().role();
            let weights = self.folder.weights(role)?;
            let dtype = if self.bf16 { DType::BF16 } else { DType::F32 };
            let model = WanModel::load(self.folder.dit_config(role, &weights)?, &weights, dtype, &device)?;
            files.extend(digest_files(self.folder.path(), &self.folder.files(role))?);
            let stage = Stage { model: &model, schedule: &schedule, solver: settings.solver, expert, steps, shape };
            for (index, video) in videos.iter_mut().enumerate() {
                stage
                    .run(video, settings.guidance, image.as_ref(), |step| progress(Progress { video: index, step }))?;
            }
        }
        let videos: Vec<Vec<CalibratedStage>> = videos.into_iter().map(|video| video.stages).collect();
        let calibration = Calibration {
            version: Calibration::VERSION,
            steps: settings.steps,
            shift: settings.shift,
            solver: settings.solver,
            guidance: settings.guidance,
            width: settings.width,
            height: settings.height,
            frames: settings.frames,
            image: self.image.is_some(),
            device: self.device.name().to_owned(),
            dtype: if self.bf16 { "bf16" } else { "f32" }.to_owned(),
            prompts: settings.prompts.clone(),
            files,
            stages: mean(&videos),
        };
        calibration.curve().map_err(|error| wrong("curve", error.to_string()))?;
        Ok(Measured { calibration, videos })
    }

    /// The first frame as the transformers get it.
    fn encoded(&self, image: &RgbImage, device: &Device) -> Result<Tensor, ModelError> {
        let weights = self.folder.weights(Role::Vae)?;
        let vae = WanVae::load(self.folder.vae_config(&weights)?, &weights, device)?;
        let size = [self.videos.width, self.videos.height].map(|side| side as usize);
        let encoded = conditioning::encode(
            &vae,
            Anchors { first: std::slice::from_ref(image), last: None },
            size,
            self.videos.frames as usize,
            || false,
        )?;
        encoded.ok_or_else(|| ModelError::input("first frame", "its encoding was stopped"))
    }

    /// Each video's texts and noise.
    fn begin(&self, device: &Device, shape: [usize; 4]) -> Result<Vec<Video>, ModelError> {
        let tokenizer = Tokenizer::load(self.folder.tokenizer())?;
        let umt5 = Umt5::load(self.folder.weights(Role::TextEncoder)?, device)?;
        let encode =
            |text: &str| Ok::<_, ModelError>(umt5.encode(&tokenizer.encode(text)?.ids)?.to_device(&Device::Cpu)?);
        let negative = encode(&self.videos.negative)?;
        let begin = |(prompt, seed): (&String, u64)| {
            let sample = randn(seed, shape.iter().product());
            let state = SolverState { sample, history: Vec::new() };
            Ok(Video { texts: [encode(prompt)?, negative.clone()], state, stages: Vec::new() })
        };
        self.videos.prompts.iter().zip(self.videos.seed..).map(begin).collect()
    }
}

/// One expert's steps.
struct Stage<'a> {
    model: &'a WanModel,
    schedule: &'a Schedule,
    solver: SolverKind,
    expert: Expert,
    steps: Range<u32>,
    shape: [usize; 4],
}

impl Stage<'_> {
    fn run(
        &self,
        video: &mut Video,
        guidance: Guidance,
        image: Option<&Tensor>,
        mut done: impl FnMut(u32),
    ) -> Result<(), ModelError> {
        let scale = guidance.of(self.expert);
        let conditioning = Conditioning::new(self.model.config(), self.shape, image.cloned())?;
        if self.steps.start == 0 {
            conditioning.hold(&mut video.state.sample)?;
        }
        let solver = Solver::new(self.solver, self.schedule);
        let texts = [self.model.embed_text(&video.texts[0])?, self.model.embed_text(&video.texts[1])?];
        let mut magnitudes = Magnitudes::new();
        for step in self.steps.clone() {
            let latents = Tensor::from_slice(&video.state.sample, &self.shape[..], &Device::Cpu)?;
            let timestep = self.schedule.timesteps()[step as usize];
            let mut pass = |branch: Branch| -> Result<Vec<f32>, ModelError> {
                let (text, mut kept) = (&texts[branch as usize], None);
                let velocity = conditioning.velocity(self.model, &latents, timestep, text, Blocks::Keep(&mut kept))?;
                let kept = kept.ok_or_else(|| ModelError::input("residual", "a pass kept none"))?;
                magnitudes.take(branch, kept.norms()?)?;
                Ok(velocity.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?)
            };
            let mut velocity = pass(Branch::Cond)?;
            if scale != 1.0 {
                velocity = guide(&velocity, &pass(Branch::Uncond)?, scale)
                    .map_err(|error| ModelError::input("velocities", error.to_string()))?;
            }
            video.state = solver
                .advance(step, &video.state, &velocity)
                .map_err(|error| ModelError::input("step", error.to_string()))?;
            conditioning.hold(&mut video.state.sample)?;
            let spread = Spread::of(&video.state.sample);
            if !spread.is_finite() {
                let why = format!("are not finite after step {step}: {spread}; run `coordinator doctor`");
                return Err(ModelError::input("latents", why));
            }
            done(step);
        }
        video.stages.push(magnitudes.into_stage(self.expert));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
