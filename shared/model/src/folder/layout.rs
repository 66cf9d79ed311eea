//! Where the parts of a model lie in its folder: the authors' way, diffusers', ComfyUI's, that of mlx-video's converter,
//! or as files of one network each. Files are told apart by where they lie and what they are called, those of the last
//! kind by the tensors in them; which model they make, their shapes tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::Role;

use super::loose;
use super::loras::FixedLoras;
use super::parts::{Arrangement, Part, Parts};
use wanfarm_weights::ConfigFile;
use wanfarm_weights::FileError;
use wanfarm_weights::{listing, shards};

const DIT_STEM: &str = "diffusion_pytorch_model";
/// The text encoder's official file, preferred where there are several.
const TEXT_ENCODER: &str = "models_t5_umt5-xxl-enc-bf16.pth";
const VAES: [&str; 4] = ["Wan2.1_VAE.pth", "Wan2.2_VAE.pth", "Wan2.1_VAE.safetensors", "Wan2.2_VAE.safetensors"];

/// Recognises the layout of a folder.
///
/// # Errors
/// There is no model, or its files are incomplete or ambiguous.
pub fn detect(folder: &Path) -> Result<Parts, FileError> {
    if folder.is_file() {
        return loose::single_file(folder);
    }
    std::fs::read_dir(folder).map_err(|e| FileError::io(folder, e))?;
    let layout = match arranged(folder)? {
        Some(layout) => layout,
        None if only_official(folder)? => official(folder)?,
        None => loose::files(folder)?,
    };
    if layout.parts.values().all(|part| part.weights.is_empty()) {
        let why = "it is no diffusers folder (model_index.json, transformer/, vae/, text_encoder/), no official one \
                   (high_noise_model/ and low_noise_model/, or diffusion_pytorch_model*.safetensors; \
                   models_t5_umt5-xxl-enc-bf16.pth; Wan2.1_VAE.pth or Wan2.2_VAE.pth), none of ComfyUI \
                   (diffusion_models/, text_encoders/, vae/), none converted to MLX (high_noise_model.safetensors \
                   and low_noise_model.safetensors, or model.safetensors; t5_encoder.safetensors; vae.safetensors) \
                   and none with files of Wan's networks under other names";
        return Err(FileError::NotAModel { folder: folder.to_owned(), why: why.to_owned() });
    }
    let loras = FixedLoras::read(folder, layout.parts.keys().copied())?;
    Ok(Parts { loras, ..layout })
}

/// The parts of a folder that is arranged in a known way, at one look; `None` for any other.
pub(super) fn arranged(folder: &Path) -> Result<Option<Parts>, FileError> {
    Ok(Some(if folder.join("model_index.json").is_file() || folder.join("transformer").is_dir() {
        diffusers(folder)?
    } else if let Some(base) = loose::comfy_base(folder) {
        loose::comfy(folder, &base)?
    } else if loose::is_mlx(folder) {
        loose::mlx(folder)?
    } else if is_official(folder)? {
        official(folder)?
    } else {
        return Ok(None);
    }))
}

fn diffusers(folder: &Path) -> Result<Parts, FileError> {
    let model_index = ConfigFile::read_if_there(&folder.join("model_index.json"))?;
    let named = model_index.value("transformer_2").and_then(|value| value.get(1)).is_some_and(|class| !class.is_null());
    let dual = named || folder.join("transformer_2").is_dir();
    let mut parts = BTreeMap::from([
        (Role::TextEncoder, part(folder, "text_encoder", "model")?),
        (Role::Vae, part(folder, "vae", DIT_STEM)?),
    ]);
    if dual {
        parts.insert(Role::DitHigh, part(folder, "transformer", DIT_STEM)?);
        parts.insert(Role::DitLow, part(folder, "transformer_2", DIT_STEM)?);
    } else {
        parts.insert(Role::Dit, part(folder, "transformer", DIT_STEM)?);
    }
    Ok(Parts {
        folder: folder.to_owned(),
        arrangement: Arrangement::Diffusers,
        parts,
        tokenizer: folder.join("tokenizer/tokenizer.json"),
        model_index,
        scheduler: ConfigFile::read_if_there(&folder.join("scheduler/scheduler_config.json"))?,
        loras: FixedLoras::default(),
    })
}

/// Whether the transformers are as the authors have them.
fn is_official(folder: &Path) -> Result<bool, FileError> {
    Ok(is_dual(folder) || !shards::find(folder, DIT_STEM)?.is_empty())
}

/// Whether all weights in a folder without transformers are as the authors have them, however few.
fn only_official(folder: &Path) -> Result<bool, FileError> {
    let is_official = |path: &PathBuf| path.parent() == Some(folder) && (is_text_encoder(path) || is_vae(path));
    Ok(loose::scattered(folder)?.iter().all(is_official))
}

/// Whether one of the experts' folders is there.
fn is_dual(folder: &Path) -> bool {
    ["high_noise_model", "low_noise_model"].iter().any(|expert| folder.join(expert).is_dir())
}

fn official(folder: &Path) -> Result<Parts, FileError> {
    let part_of = |weights, wanted| Part { weights, place: folder.to_owned(), wanted, config: ConfigFile::default() };
    let mut parts = BTreeMap::from([
        (Role::TextEncoder, part_of(text_encoder(folder)?, TEXT_ENCODER.to_owned())),
        (Role::Vae, part_of(vae(folder)?, VAES[..2].join(" or "))),
    ]);
    if is_dual(folder) {
        parts.insert(Role::DitHigh, part(folder, "high_noise_model", DIT_STEM)?);
        parts.insert(Role::DitLow, part(folder, "low_noise_model", DIT_STEM)?);
    } else {
        parts.insert(Role::Dit, part(folder, "", DIT_STEM)?);
    }
    Ok(Parts {
        folder: folder.to_owned(),
        arrangement: Arrangement::Official,
        parts,
        tokenizer: folder.join("google/umt5-xxl/tokenizer.json"),
        model_index: ConfigFile::default(),
        scheduler: ConfigFile::default(),
        loras: FixedLoras::default(),
    })
}

fn part(folder: &Path, name: &str, stem: &str) -> Result<Part, FileError> {
    let path = if name.is_empty() { folder.to_owned() } else { folder.join(name) };
    Ok(Part {
        weights: shards::find(&path, stem)?,
        config: ConfigFile::read_if_there(&path.join("config.json"))?,
        place: path,
        wanted: Path::new(name).join(format!("{stem}*.safetensors")).display().to_string(),
    })
}

fn text_encoder(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let official = folder.join(TEXT_ENCODER);
    if official.is_file() {
        return Ok(vec![official]);
    }
    let files = listing::entries(folder)?.into_iter().filter(|path| is_text_encoder(path) && path.is_file());
    shards::only(folder, files.map(|file| vec![file]).collect())
}

fn vae(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let files = listing::entries(folder)?.into_iter().filter(|path| is_vae(path) && path.is_file());
    shards::only(folder, files.map(|file| vec![file]).collect())
}

fn is_text_encoder(path: &Path) -> bool {
    let name = listing::name(path);
    name.starts_with("models_t5_") && (name.ends_with(".pth") || name.ends_with(".safetensors"))
}

fn is_vae(path: &Path) -> bool {
    VAES.contains(&listing::name(path).as_str())
}
