//! `dit`, `dit-high`, `dit-low`: steps of one expert, from a state (or the seed's noise) to the state after each.
//! Nothing is carried from item to item but embedded texts, and a step cache lives as long as its item, so any worker
//! can go on from any other's state.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tracing::warn;
use wanfarm_model::conditioning::Conditioning;
use wanfarm_model::dit::{Blocks, TextContext, WanModel};
use wanfarm_model::lora::{Adapters, Lora};
use wanfarm_model::step_cache::{ExpertSteps, Kept, StepCache};
use wanfarm_model::{ModelError, Weights};
use wanfarm_sampling::cache::Branch;
use wanfarm_sampling::{Schedule, Solver, SolverState, history_len, randn, randn_of_step};
use wanfarm_types::{Digest, Expert, Failure, LoraRef, ModelInfo};
use wanfarm_weights::FileError;
use wanfarm_weights::transformer::parameters;

use super::{explain, finite, values};
use crate::models::Catalog;
use crate::runner::{Control, HostTensor, Output, PreparedItem, RoleRunner, State, abandoned};

/// Embedded texts kept: those of the video at hand. The negative prompt, used last, stays for the next video.
/// For the largest models each is hundreds of megabytes.
const TEXTS: usize = 2;

/// One expert of one model.
#[derive(Debug)]
pub(crate) struct Denoiser {
    model: WanModel,
    /// The files, mapped: what adapters change and is small is read again from them.
    weights: Weights,
    info: ModelInfo,
    catalog: Arc<Catalog>,
    /// The adapters beside the model; unknown after a failed change.
    adapted: Option<Vec<LoraRef>>,
    /// Files that are known to be applied in part.
    remarked: BTreeSet<(Digest, Expert)>,
    /// The least recently used first.
    texts: VecDeque<(Digest, Arc<TextContext>)>,
}

impl Denoiser {
    /// `model` is of these `weights`, without adapters.
    pub(crate) fn new(model: WanModel, weights: Weights, info: ModelInfo, catalog: Arc<Catalog>) -> Self {
        Self {
            model,
            weights,
            info,
            catalog,
            adapted: Some(Vec::new()),
            remarked: BTreeSet::new(),
            texts: VecDeque::new(),
        }
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

    /// Puts these adapters beside the model, in place of those it had. They are never merged into it: videos of one
    /// worker may differ in them, and a merged model's bytes are not those of one with the same adapters beside it.
    /// Those that are part of the model stay in it.
    fn adapt(&mut self, wanted: Vec<LoraRef>, expert: Expert, item: &PreparedItem) -> Result<(), Failure> {
        if self.adapted.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let parameters = parameters(self.model.config());
        let mut loras = Vec::new();
        for lora in &wanted {
            // It was there when the inputs were fetched; what is in it is the same everywhere.
            let missing = |why: String| Failure::transient(format!("{}: {why}", item.item.stage));
            let path = self.catalog.loras().find(lora).map_err(missing)?;
            let path =
                path.ok_or_else(|| missing(format!("there is no LoRA file {} of BLAKE3 {}", lora.name, lora.blake3)))?;
            let file = Lora::open(&path, &parameters, expert).map_err(|error| {
                // Of its place on this machine, people know nothing.
                let why = format!("{}: cannot use the LoRA {}: {}", item.item.stage, lora.name, error.why());
                if matches!(error, ModelError::File(FileError::Io { .. })) {
                    Failure::transient(why)
                } else {
                    Failure::deterministic(why)
                }
            })?;
            if let Some(remark) = file.remark().filter(|_| self.remarked.insert((lora.blake3, expert))) {
                warn!(lora = %lora.name, "{remark}");
            }
            loras.push((Arc::new(file), lora.strength));
        }
        self.adapted = None;
        self.texts.clear();
        self.weights.adapt(Adapters::new(loras));
        self.model.adapt(&self.weights).map_err(|error| explain(item, error))?;
        self.adapted = Some(wanted);
        Ok(())
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
        let impossible = |why: String| Failure::deterministic(format!("{}: {why}", work.stage));
        let schedule = Schedule::of(spec).map_err(|error| impossible(error.to_string()))?;
        let solver = Solver::new(spec.solver, &schedule);
        let expert = work.stage.expert().ok_or_else(|| impossible("it does not denoise".to_owned()))?;
        let scale = spec.guidance.of(expert);
        let (prompt, negative) = match &contexts[..] {
            [prompt, ..] if !spec.has_negative(expert) => (prompt, None),
            [prompt, negative] => (prompt, Some(negative)),
            _ => return Err(impossible(format!("{} text contexts for guidance {scale}", contexts.len()))),
        };
        self.adapt(spec.loras.iter().filter(|lora| lora.is_for(expert)).cloned().collect(), expert, item)?;
        let mut cond = self.text(prompt).map_err(failed)?;
        let uncond = negative.map(|negative| self.text(negative)).transpose().map_err(failed)?;
        if let Some((nag, negative)) = spec.nag.zip(uncond.as_ref()) {
            cond = Arc::new(cond.avoiding(negative, nag));
        }

        let shape = self.info.geometry.latent_shape(spec.width, spec.height, spec.frames);
        // What a clip became comes last, and only the first step reads it.
        let has_clip = spec.video.is_some() && item.state.is_none();
        let (image, clip) = item.image.split_at(item.image.len().saturating_sub(has_clip.into()));
        let conditioning = self.conditioning(image, shape).map_err(failed)?;
        let steps = schedule.steps_of(expert, self.info.experts);
        let steps = steps.ok_or_else(|| impossible(format!("{} has no such expert", self.info.name)))?;
        let part = ExpertSteps { schedule: &schedule, expert, steps, shape, scale };
        let mut cache = StepCache::new(&spec.cache, part, &self.model, &conditioning).map_err(failed)?;
        let mut state = match &item.state {
            Some(state) => {
                let (latents, kept) = resume(state, 1 + history_len(spec.solver, state.steps_done, schedule.steps()));
                cache.resume(state.steps_done, kept).map_err(failed)?;
                latents
            }
            None => {
                let noise = randn(spec.seed, shape.iter().product());
                let mut sample = match clip {
                    [clip] => schedule.noised(&clip.to_f32(), &noise),
                    _ if has_clip => return Err(impossible("the clip is not there".to_owned())),
                    _ => solver.begin(noise),
                };
                conditioning.hold(&mut sample).map_err(failed)?;
                SolverState { sample, history: Vec::new() }
            }
        };
        let mut done = None;
        for step in work.steps.first..work.steps.end {
            let mut forward_passes = 0;
            let mut pass = |branch: Branch, latents: &[f32], timestep: f64, blocks: Blocks<'_>| {
                if control.abandoned() {
                    return Ok(None);
                }
                let text = match branch {
                    Branch::Cond => &cond,
                    Branch::Uncond => uncond.as_ref().unwrap_or(&cond),
                };
                forward_passes += u32::from(!matches!(blocks, Blocks::Reuse(_)));
                let latents = Tensor::from_slice(latents, &shape[..], &Device::Cpu)?;
                values(&conditioning.velocity(&self.model, &latents, timestep, text, blocks)?).map(Some)
            };
            let guided = cache.velocity(step, &state.sample, &mut pass).map_err(failed)?.ok_or_else(abandoned)?;
            let drawn = solver.draws_noise(step).then(|| randn_of_step(spec.seed, step, state.sample.len()));
            let next = solver.advance_with(step, &state, &guided, drawn.as_deref());
            state = next.map_err(|error| impossible(error.to_string()))?;
            conditioning.hold(&mut state.sample).map_err(failed)?;
            let kept = cache.kept(step + 1);
            let cached = kept.iter().map(|(_, tensor)| tensor);
            for tensor in std::iter::once(&state.sample).chain(&state.history).chain(cached) {
                finite(tensor, || format!("the latents after step {step} of {}", schedule.steps()))?;
            }
            let result = freeze(&state, step + 1, &shape, &kept);
            control.step_done(&result, forward_passes);
            done = Some(result);
            if control.should_stop_after_step() {
                break;
            }
        }
        done.map(State::into_output).ok_or_else(|| impossible("the range of steps is empty".to_owned()))
    }

    fn rest(&mut self) {
        self.texts.clear();
    }
}

/// Latents and history, as many tensors as the solver has; what the step cache keeps is behind them.
fn resume(state: &State, of_solver: usize) -> (SolverState, Vec<Kept>) {
    let (solver, cache) = state.tensors.split_at(of_solver.min(state.tensors.len()));
    let mut tensors = solver.iter().map(HostTensor::to_f32);
    let state = SolverState { sample: tensors.next().unwrap_or_default(), history: tensors.collect() };
    (state, cache.iter().map(|tensor| (tensor.shape(), tensor.to_f32())).collect())
}

fn freeze(state: &SolverState, steps_done: u32, shape: &[usize], kept: &[Kept]) -> State {
    let of_solver = std::iter::once(&state.sample).chain(&state.history);
    let of_solver = of_solver.map(|tensor| HostTensor::from_f32(shape, tensor));
    let of_cache = kept.iter().map(|(shape, tensor)| HostTensor::from_f32(shape, tensor));
    State { steps_done, tensors: of_solver.chain(of_cache).collect() }
}
