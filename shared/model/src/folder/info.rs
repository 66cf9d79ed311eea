//! What a model folder says about rendering with it: the preset its shapes belong to, overridden by its own settings.
//!
//! Later wins: the preset; where folder or files are called like distilled ones (`wanfarm_types::distilled`), what those are
//! rendered with; for models that are not published ones, diffusers' `scheduler/scheduler_config.json`
//! (`flow_shift`) and `model_index.json` (`boundary_ratio`); then `demo_settings.json`, a file that a person
//! may put there, with any of `width`, `height`, `num_frames`, `fps`, `num_inference_steps`, `flow_shift`,
//! `guidance_scale`, `guidance_scale_2` (of the low-noise expert) and `negative_prompt`: the words of diffusers'
//! pipelines. Settings of published models in diffusers folders are not read: several differ from their authors'.

use std::path::Path;

use wanfarm_types::{Defaults, Distilled, Experts, Geometry, ModelInfo, Role, VaeKind};

use super::parts::Parts;
use super::presets::Preset;
use wanfarm_types::Transformer;
use wanfarm_weights::ConfigFile;
use wanfarm_weights::FileError;
use wanfarm_weights::model_name;

pub(super) const SETTINGS: &str = "demo_settings.json";

/// The model in a folder whose transformers have the sizes `cfg`, as read from `file`.
pub(super) fn info(folder: &Path, layout: &Parts, cfg: &Transformer, file: &str) -> Result<ModelInfo, FileError> {
    let dual = layout.parts.contains_key(&Role::DitHigh);
    let preset = Preset::of(cfg, dual).ok_or_else(|| FileError::Unsupported {
        what: format!("{file}: a transformer of {} input and {} output channels", cfg.in_dim, cfg.out_dim),
        why: "the models this program renders have 16 → 16, 36 → 16 or 48 → 48".to_owned(),
    })?;
    let vae = cfg.vae();
    let geometry = geometry(vae);
    let distilled = distilled(folder, layout).and_then(Distilled::solver);
    let defaults = preset.defaults();
    let mut defaults = match distilled {
        Some(solver) => defaults.distilled(solver),
        None => defaults,
    };
    let mut boundary = preset.boundary;
    if !preset.is_published() {
        boundary = layout.model_index.number(&["boundary_ratio"])?.unwrap_or(boundary);
        if !(boundary > 0. && boundary < 1.) {
            return Err(layout.model_index.wrong(format!("boundary_ratio = {boundary} is not between 0 and 1")));
        }
        if distilled.is_none() {
            defaults.shift = shift(&layout.scheduler, defaults.shift)?;
        }
    }
    override_with(&mut defaults, &ConfigFile::read_if_there(&folder.join(SETTINGS))?, &geometry)?;
    Ok(ModelInfo {
        name: name(folder),
        preset: preset.name.to_owned(),
        experts: if dual { Experts::Dual { boundary } } else { Experts::Single },
        transformer: *cfg,
        vae,
        geometry,
        takes_image: preset.takes_image,
        needs_image: preset.needs_image,
        defaults,
        mag_curve: None,
        loras: layout.loras.list().to_vec(),
        tiny_vae: None,
    })
}

/// What a model is distilled as, as far as the names of its folder, its transformers' files and its LoRA files tell.
fn distilled(folder: &Path, layout: &Parts) -> Option<&'static Distilled> {
    let transformers = layout.parts.iter().filter(|(role, _)| role.expert().is_some());
    let files = transformers.flat_map(|(_, part)| &part.weights).filter_map(|file| file.file_name());
    let files = files.map(|file| file.to_string_lossy().into_owned());
    let loras = layout.loras.list().iter().filter(|lora| lora.strength != 0.0).map(|lora| lora.path.clone());
    std::iter::once(name(folder)).chain(files).chain(loras).find_map(|name| Distilled::of(&name))
}

/// What the latents of an autoencoder are like.
pub(super) fn geometry(vae: VaeKind) -> Geometry {
    let (latent_channels, stride_hw) = match vae {
        VaeKind::Wan21 => (16, 8),
        VaeKind::Wan22 => (48, 16),
    };
    Geometry { latent_channels, stride_t: 4, stride_hw, patch: 2 }
}

/// The folder's own name, also of `.`, in the form that manifests name it in.
fn name(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    model_name(&absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy())
}

fn shift(file: &ConfigFile, default: f64) -> Result<f64, FileError> {
    let shift = file.number(&["flow_shift"])?.unwrap_or(default);
    if shift > 0. { Ok(shift) } else { Err(file.wrong(format!("flow_shift = {shift} is not positive"))) }
}

fn override_with(defaults: &mut Defaults, file: &ConfigFile, geometry: &Geometry) -> Result<(), FileError> {
    // Counts are bounded where they are read, far below u32.
    let count = |key: &str, default: u32| Ok::<_, FileError>(file.count(&[key])?.map_or(default, |n| n as u32));
    defaults.width = count("width", defaults.width)?;
    defaults.height = count("height", defaults.height)?;
    defaults.frames = count("num_frames", defaults.frames)?;
    defaults.fps = file.frame_rate("fps")?.unwrap_or(defaults.fps);
    defaults.steps = count("num_inference_steps", defaults.steps)?;
    defaults.shift = shift(file, defaults.shift)?;
    if let Some(high) = file.number(&["guidance_scale"])? {
        defaults.guidance.high = high;
        defaults.guidance.low = high;
    }
    if let Some(low) = file.number(&["guidance_scale_2"])? {
        defaults.guidance.low = low;
    }
    if let Some(negative) = file.text("negative_prompt")? {
        defaults.negative = negative;
    }
    let faults = geometry.check(defaults.width, defaults.height, defaults.frames);
    if faults.is_empty() {
        // What a worker says of its models is refused by the same bounds.
        return defaults.check().map_err(|bad| file.wrong(bad.to_string()));
    }
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Err(file.wrong(faults.join("; ")))
}
