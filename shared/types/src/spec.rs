//! What a video is asked to be: as written (`VideoRequest`) and with every default filled in (`VideoSpec`).

use serde::{Deserialize, Serialize};

use crate::{
    CacheContext, CacheError, CacheRequest, CacheSettings, Digest, Format, FormatError, FrameRate, GeometryError,
    Guidance, LoraError, LoraRef, ModelInfo, SolverKind, Swept,
};

/// Steps of a distilled render that names none.
const LIGHTNING_STEPS: u32 = 4;
/// Shift of its schedule.
const LIGHTNING_SHIFT: f64 = 5.0;
/// Guidance of a render with one forward pass a step, as a distilled one is.
const NO_GUIDANCE: Guidance = Guidance { high: 1.0, low: 1.0 };

/// A video as its manifest asks for it. `None` means: the model's preset decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoRequest {
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
    /// First frame, by digest of the image file's bytes.
    pub image: Option<Digest>,
    /// The step cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRequest>,
    /// Adapters, in the order in which they are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<LoraRef>,
    /// Files to write.
    pub formats: Vec<Format>,
    /// Path of the outputs relative to the output directory, without extension.
    pub output: String,
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
    /// First frame, by digest of the image file's bytes.
    pub image: Option<Digest>,
    /// The step cache.
    #[serde(default, skip_serializing_if = "CacheSettings::is_none")]
    pub cache: CacheSettings,
    /// Adapters, in the order in which they are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loras: Vec<LoraRef>,
    /// Files to write.
    pub formats: Vec<Format>,
    /// Path of the outputs relative to the output directory, without extension.
    pub output: String,
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
}

/// Method and guidance, with what is absent from the model's defaults.
pub fn method(info: &ModelInfo, solver: Option<SolverKind>, guidance: Option<Guidance>) -> (SolverKind, Guidance) {
    let solver = solver.unwrap_or(info.defaults.solver);
    // A distilled model has its guidance in its weights.
    let usual = if solver == SolverKind::Lightning { NO_GUIDANCE } else { info.defaults.guidance };
    (solver, guidance.unwrap_or(usual))
}

impl VideoSpec {
    /// True when a request of a model asks for this very video, as far as it can be told without the model: what the
    /// request leaves to the model's defaults may be anything, and so may the settings of a step cache.
    pub fn answers(&self, model: &str, request: &VideoRequest) -> bool {
        fn fits<T: PartialEq>(asked: Option<T>, is: T) -> bool {
            asked.is_none_or(|asked| asked == is)
        }
        let loras = request.loras.iter().filter(|lora| lora.strength != 0.0);
        self.model == model
            && (&self.prompt, self.seed, self.image) == (&request.prompt, request.seed, request.image)
            && fits(request.negative.as_ref(), &self.negative)
            && fits(request.width, self.width)
            && fits(request.height, self.height)
            && fits(request.frames, self.frames)
            && fits(request.fps, self.fps)
            && fits(request.steps, self.steps)
            && fits(request.shift, self.shift)
            && fits(request.solver, self.solver)
            && fits(request.guidance, self.guidance)
            && request.cache.as_ref().map_or("none", |cache| cache.name()) == self.cache.name()
            && loras.eq(&self.loras)
    }
}

impl VideoRequest {
    /// Fills what is absent from the model's defaults and checks it against the model.
    ///
    /// # Errors
    /// Every fault at once.
    pub fn resolve(&self, info: &ModelInfo) -> Result<VideoSpec, Vec<SpecError>> {
        let defaults = &info.defaults;
        let (solver, guidance) = method(info, self.solver, self.guidance);
        // The settings of the model that a distilled one was made from are not its.
        let (steps, shift) = match solver {
            SolverKind::Lightning => (LIGHTNING_STEPS, LIGHTNING_SHIFT),
            _ => (defaults.steps, defaults.shift),
        };
        let context = CacheContext { info, has_image: self.image.is_some(), solver, guidance };
        let cache = self.cache.as_ref().map_or(Ok(CacheSettings::None), |cache| cache.resolve(&context));
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
            image: self.image,
            cache: cache.clone().unwrap_or_default(),
            // One of strength 0 changes nothing, so its file is not needed.
            loras: self.loras.iter().filter(|lora| lora.strength != 0.0).cloned().collect(),
            formats: self.formats.clone(),
            output: self.output.clone(),
        };
        let mut faults: Vec<SpecError> =
            info.geometry.check(spec.width, spec.height, spec.frames).into_iter().map(Into::into).collect();
        let unfit = |format: &Format| format.check_size(spec.width, spec.height).err();
        faults.extend(self.formats.iter().filter_map(unfit).map(SpecError::from));
        faults.extend(cache.err().map(SpecError::from));
        faults.extend(self.loras.iter().filter_map(|lora| lora.check(info).err()).map(SpecError::from));
        if faults.is_empty() { Ok(spec) } else { Err(faults) }
    }
}
