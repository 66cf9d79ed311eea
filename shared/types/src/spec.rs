//! What a video is asked to be: as written (`VideoRequest`) and with every default filled in (`VideoSpec`).

use serde::{Deserialize, Serialize};

use crate::{
    CacheContext, CacheError, CacheRequest, CacheSettings, ClipSource, Decode, Decoder, Defaults, Digest, Expert,
    FewSteps, Format, FormatError, FrameRate, Geometry, GeometryError, Guidance, ImageSource, LoraError, LoraRef,
    ModelInfo, Nag, Need, NoTinyVae, SolverKind, Swept,
};

/// Strength of a video from a clip that names none.
///
/// Source: diffusers 0.42.1 `WanVideoToVideoPipeline.__call__`.
pub const DEFAULT_STRENGTH: f64 = 0.8;
/// Guidance of a render with one forward pass a step, as a distilled one is.
const NO_GUIDANCE: Guidance = Guidance { high: 1.0, low: 1.0 };

/// A video as its manifest asks for it. `None` means: the model's preset decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoRequest {
    /// What people call it, and its job alone so; a video that others start from needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Text to render.
    pub prompt: String,
    /// Text to avoid; absent → the preset's, empty → empty.
    pub negative: Option<String>,
    /// Seed of the initial noise.
    pub seed: u64,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Count, 4n+1.
    pub frames: Option<u32>,
    /// Frames per second of the files.
    pub fps: Option<FrameRate>,
    /// Denoising steps.
    pub steps: Option<u32>,
    /// Shift of the flow schedule.
    pub shift: Option<f64>,
    /// Sampling method.
    pub solver: Option<SolverKind>,
    /// Guidance per expert.
    pub guidance: Option<Guidance>,
    /// Normalized attention guidance, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nag: Option<Nag>,
    /// First frame.
    pub image: Option<ImageSource>,
    /// How many frames of another video it starts from, of which `image` is the last. Only beside a frame of a video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<u32>,
    /// Last frame; only beside a first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_image: Option<ImageSource>,
    /// The clip that it is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<ClipSource>,
    /// How much of the schedule the clip goes through: 1 leaves nothing of it. Only beside `video`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// The step cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRequest>,
    /// What makes frames of its latents.
    #[serde(default, skip_serializing_if = "Decode::is_full")]
    pub decode: Decode,
    /// Adapters, in the order in which they are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<LoraRef>,
    /// Files to write.
    pub formats: Vec<Format>,
    /// Path of the outputs relative to the output directory, without extension.
    pub output: String,
    /// Path, relative to the output directory, of the film that it ends: an mp4 file of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// What its manifest swept, as people tell it by.
    #[serde(default, skip_serializing_if = "Swept::is_empty")]
    pub swept: Swept,
}

/// A video with nothing left open. Two equal specs on one device kind give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoSpec {
    /// Name of the model.
    pub model: String,
    /// Text to render.
    pub prompt: String,
    /// Text to avoid.
    pub negative: String,
    /// Seed of the initial noise.
    pub seed: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Count, 4n+1.
    pub frames: u32,
    /// Frames per second of the files.
    pub fps: FrameRate,
    /// Denoising steps.
    pub steps: u32,
    /// Shift of the flow schedule.
    pub shift: f64,
    /// Sampling method.
    pub solver: SolverKind,
    /// Guidance per expert.
    pub guidance: Guidance,
    /// Normalized attention guidance, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nag: Option<Nag>,
    /// First frame; to a worker and in a sidecar always a file, a clip where `overlap` is more than one.
    pub image: Option<ImageSource>,
    /// How many frames it starts from, of which `image` is the last.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub overlap: u32,
    /// Last frame; only beside a first one, and to a worker and in a sidecar always a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_image: Option<ImageSource>,
    /// The clip that it is made from; to a worker and in a sidecar always a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<ClipSource>,
    /// How much of the schedule the clip goes through; there if `video` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// The step cache.
    #[serde(default, skip_serializing_if = "CacheSettings::is_none")]
    pub cache: CacheSettings,
    /// What makes frames of its latents.
    #[serde(default, skip_serializing_if = "Decoder::is_full")]
    pub decode: Decoder,
    /// Adapters, in the order in which they are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<LoraRef>,
    /// Files to write.
    pub formats: Vec<Format>,
    /// Path of the outputs relative to the output directory, without extension.
    pub output: String,
    /// Path, relative to the output directory, of the film that it ends: an mp4 file of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
}

/// A video that its model cannot render.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// By its size.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// By a file that cannot hold its size.
    #[error("{0}; ask for another size, or for other formats such as png")]
    Format(#[from] FormatError),
    /// By its step cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// By an adapter.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// By a tiny autoencoder.
    #[error(transparent)]
    TinyVae(#[from] NoTinyVae),
    /// By how little it leaves to do.
    #[error("strength {strength} of {steps} steps leaves none to run; raise one of them")]
    NoStep {
        /// As asked for.
        strength: f64,
        /// Of the whole schedule.
        steps: u32,
    },
    /// By a strength that has nothing to work on.
    #[error("strength says how much a clip is changed, and there is none; add video, or remove strength")]
    NoClip,
    /// By frames that it cannot start from.
    #[error(
        "overlap {overlap} of {frames} frames is not one, or one more than a multiple of {stride}, with some left to render"
    )]
    Overlap {
        /// As asked for.
        overlap: u32,
        /// Of the video.
        frames: u32,
        /// Frames of a latent frame.
        stride: u32,
    },
    /// By frames of a video that it does not start from.
    #[error(
        "overlap says how many frames of another video are carried on from, and it starts from none; give it image = {{ from = \"…\" }}, or remove overlap"
    )]
    NothingBefore,
}

fn one() -> u32 {
    1
}

fn is_one(frames: &u32) -> bool {
    *frames == 1
}

/// Method and guidance, with what is absent from the model's defaults.
pub fn method(info: &ModelInfo, solver: Option<SolverKind>, guidance: Option<Guidance>) -> (SolverKind, Guidance) {
    let solver = solver.unwrap_or(info.defaults.solver);
    // Distilled weights have their guidance in them.
    let usual = if is_distilled_here(info, solver) { NO_GUIDANCE } else { info.defaults.guidance };
    (solver, guidance.unwrap_or(usual))
}

/// Steps and shift of a render that names none, by this method.
pub fn pace(info: &ModelInfo, solver: SolverKind) -> (u32, f64) {
    let usual = (info.defaults.steps, info.defaults.shift);
    match solver.few_steps().filter(|_| is_distilled_here(info, solver)) {
        Some(FewSteps { steps, shift }) => (steps, shift),
        None => usual,
    }
}

/// How many of these steps a clip goes through at this strength: the last ones.
///
/// Source: diffusers 0.42.1 `WanVideoToVideoPipeline.get_timesteps`.
pub fn steps_run(steps: u32, strength: f64) -> u32 {
    // Truncated as Python's int() does it, from the same product.
    ((f64::from(steps) * strength) as u32).min(steps)
}

/// Whether a render is of distilled weights that the model's defaults are not for: those of the model that it was distilled
/// from are not its own.
fn is_distilled_here(info: &ModelInfo, solver: SolverKind) -> bool {
    solver.few_steps().is_some() && info.defaults.solver != solver
}

impl Defaults {
    /// Those of the same model distilled for this solver.
    pub fn distilled(self, solver: SolverKind) -> Self {
        match solver.few_steps() {
            Some(FewSteps { steps, shift }) => Self { steps, shift, solver, guidance: NO_GUIDANCE, ..self },
            None => self,
        }
    }
}

impl VideoSpec {
    /// Its first frame, and its last.
    pub fn pictures(&self) -> [Option<ImageSource>; 2] {
        [self.image, self.last_image]
    }

    /// The files that are encoded for it: the image of the first frame, that of the last, the clip.
    pub fn files(&self) -> impl Iterator<Item = Digest> + use<> {
        self.pictures()
            .into_iter()
            .flatten()
            .filter_map(|picture| picture.file())
            .chain(self.video.and_then(|clip| clip.file()))
    }

    /// What it needs of other videos: to start from, to end at, to be made from.
    pub fn needs(&self) -> [Option<Need>; 3] {
        Need::of_all(self.pictures(), self.overlap, self.video)
    }

    /// Whether there is something to encode before the first step.
    pub fn is_encoded(&self) -> bool {
        self.image.is_some() || self.video.is_some()
    }

    /// Why it cannot start from as many frames: they are whole latent frames, and not all of it.
    pub fn overlap_fault(&self, geometry: &Geometry) -> Option<SpecError> {
        let Self { overlap, frames, .. } = *self;
        let stride = geometry.stride_t;
        let is_whole = overlap.checked_sub(1).is_some_and(|further| further.is_multiple_of(stride));
        let fits = is_whole && (overlap == 1 || overlap < frames);
        (!fits).then_some(SpecError::Overlap { overlap, frames, stride })
    }

    /// How many steps are run: the last ones of the schedule, if it is made from a clip.
    pub fn steps_run(&self) -> u32 {
        steps_run(self.steps, self.strength.filter(|_| self.video.is_some()).unwrap_or(1.0))
    }

    /// Whether an expert reads the negative prompt: in a pass of its own, or in that with the prompt.
    pub fn has_negative(&self, expert: Expert) -> bool {
        self.guidance.passes(expert) == 2 || self.nag.is_some()
    }

    /// True when a request of a model asks for this very video, as far as it can be told without the model: what the
    /// request leaves to the model's defaults may be anything, and so may the settings of a step cache and a frame of another
    /// video.
    pub fn answers(&self, model: &str, request: &VideoRequest) -> bool {
        fn fits<T: PartialEq>(asked: Option<T>, is: T) -> bool {
            asked.is_none_or(|asked| asked == is)
        }
        let loras = request.loras.iter().filter(|lora| lora.strength != 0.0);
        self.model == model
            && (&self.prompt, self.seed) == (&request.prompt, request.seed)
            && request.pictures().into_iter().zip(self.pictures()).all(|(asked, is)| match asked {
                Some(ImageSource::Frame(_)) => is.is_some(),
                asked => asked == is,
            })
            && match request.video {
                Some(ClipSource::Video(_)) => self.video.is_some(),
                asked => asked == self.video,
            }
            && request.overlap.unwrap_or(1) == self.overlap
            && fits(request.strength.filter(|_| request.video.is_some()), self.strength.unwrap_or_default())
            && fits(request.negative.as_ref(), &self.negative)
            && fits(request.width, self.width)
            && fits(request.height, self.height)
            && fits(request.frames, self.frames)
            && fits(request.fps, self.fps)
            && fits(request.steps, self.steps)
            && fits(request.shift, self.shift)
            && fits(request.solver, self.solver)
            && fits(request.guidance, self.guidance)
            && request.nag == self.nag
            && request.cache.as_ref().map_or("none", |cache| cache.name()) == self.cache.name()
            && request.decode == self.decode.kind()
            && loras.eq(&self.loras)
    }
}

impl VideoRequest {
    /// Its first frame, and its last.
    pub fn pictures(&self) -> [Option<ImageSource>; 2] {
        [self.image, self.last_image]
    }

    /// The files that it names: the image of the first frame, that of the last, the clip.
    pub fn files(&self) -> impl Iterator<Item = Digest> + use<> {
        self.pictures()
            .into_iter()
            .flatten()
            .filter_map(|picture| picture.file())
            .chain(self.video.and_then(|clip| clip.file()))
    }

    /// What it needs of other videos: to start from, to end at, to be made from.
    pub fn needs(&self) -> [Option<Need>; 3] {
        Need::of_all(self.pictures(), self.overlap.unwrap_or(1), self.video)
    }

    /// What people are told it is: its name with what was swept, or else its place in the job.
    pub fn label(&self, place: u32) -> String {
        let Some(name) = &self.name else { return format!("video {place}") };
        let values: Vec<&str> = self.swept.iter().map(|(_, value)| value).collect();
        if values.is_empty() { name.clone() } else { format!("{name} ({})", values.join(", ")) }
    }

    /// Fills what is absent from the model's defaults and checks it against the model.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn resolve(&self, info: &ModelInfo) -> Result<VideoSpec, Vec<SpecError>> {
        let defaults = &info.defaults;
        let (solver, guidance) = method(info, self.solver, self.guidance);
        let (steps, shift) = pace(info, solver);
        let context =
            CacheContext { info, has_image: self.image.is_some(), has_clip: self.video.is_some(), solver, guidance };
        let cache = self.cache.as_ref().map_or(Ok(CacheSettings::None), |cache| cache.resolve(&context));
        let decode = self.decode.resolve(info);
        let spec = VideoSpec {
            model: info.name.clone(),
            prompt: self.prompt.clone(),
            negative: self.negative.clone().unwrap_or_else(|| defaults.negative.clone()),
            seed: self.seed,
            width: self.width.unwrap_or(defaults.width),
            height: self.height.unwrap_or(defaults.height),
            frames: self.frames.unwrap_or(defaults.frames),
            fps: self.fps.unwrap_or(defaults.fps),
            steps: self.steps.unwrap_or(steps),
            shift: self.shift.unwrap_or(shift),
            solver,
            guidance,
            nag: self.nag,
            image: self.image,
            overlap: self.overlap.unwrap_or(1),
            last_image: self.last_image,
            video: self.video,
            strength: self.video.map(|_| self.strength.unwrap_or(DEFAULT_STRENGTH)),
            cache: cache.clone().unwrap_or_default(),
            decode: decode.clone().unwrap_or_default(),
            // One of strength 0 changes nothing, so its file is not needed.
            loras: self.loras.iter().filter(|lora| lora.strength != 0.0).cloned().collect(),
            formats: self.formats.clone(),
            output: self.output.clone(),
            join: self.join.clone(),
        };
        let mut faults: Vec<SpecError> = Vec::new();
        if self.strength.is_some() && self.video.is_none() {
            faults.push(SpecError::NoClip);
        }
        if let Some(strength) = spec.strength.filter(|_| spec.steps_run() == 0 && spec.steps > 0) {
            faults.push(SpecError::NoStep { strength, steps: spec.steps });
        }
        if self.overlap.is_some() && self.image.is_none() {
            faults.push(SpecError::NothingBefore);
        }
        faults.extend(spec.overlap_fault(&info.geometry));
        faults.extend(info.geometry.check(spec.width, spec.height, spec.frames).into_iter().map(SpecError::from));
        let unfit = |format: &Format| format.check_size(spec.width, spec.height).err();
        faults.extend(self.formats.iter().filter_map(unfit).map(SpecError::from));
        faults.extend(cache.err().map(SpecError::from));
        faults.extend(decode.err().map(SpecError::from));
        faults.extend(self.loras.iter().filter_map(|lora| lora.check(info).err()).map(SpecError::from));
        if faults.is_empty() { Ok(spec) } else { Err(faults) }
    }
}
