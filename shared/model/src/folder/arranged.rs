//! Folders that are arranged in a known way: the authors', diffusers', ComfyUI's, or that of mlx-video's converter. Files
//! are told apart by where they lie and what they are called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::Role;
use wanfarm_weights::{ConfigFile, FileError, listing, shards};

use super::one_file;
use super::parts::{Arrangement, Part, Parts};

const DIT_STEM: &str = "diffusion_pytorch_model";
/// The text encoder's official file, preferred where there are several.
const TEXT_ENCODER: &str = "models_t5_umt5-xxl-enc-bf16.pth";
const VAES: [&str; 4] = ["Wan2.1_VAE.pth", "Wan2.2_VAE.pth", "Wan2.1_VAE.safetensors", "Wan2.2_VAE.safetensors"];

/// The parts of a folder that is arranged in a known way, at one look; `None` for any other.
pub(super) fn arranged(folder: &Path) -> Result<Option<Parts>, FileError> {
    Ok(Some(if folder.join("model_index.json").is_file() || folder.join("transformer").is_dir() {
        diffusers(folder)?
    } else if let Some(base) = one_file::comfy_base(folder) {
        one_file::comfy(folder, &base)?
    } else if one_file::is_mlx(folder) {
        one_file::mlx(folder)?
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
    let scheduler = ConfigFile::read_if_there(&folder.join("scheduler/scheduler_config.json"))?;
    let tokenizer = folder.join("tokenizer/tokenizer.json");
    Ok(Parts { model_index, scheduler, ..Parts::new(folder, Arrangement::Diffusers, parts, tokenizer) })
}

/// Whether the transformers are as the authors have them.
fn is_official(folder: &Path) -> Result<bool, FileError> {
    Ok(is_dual(folder) || !shards::find(folder, DIT_STEM)?.is_empty())
}

/// Whether one of the experts' folders is there.
fn is_dual(folder: &Path) -> bool {
    ["high_noise_model", "low_noise_model"].iter().any(|expert| folder.join(expert).is_dir())
}

pub(super) fn official(folder: &Path) -> Result<Parts, FileError> {
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
    Ok(Parts::new(folder, Arrangement::Official, parts, folder.join("google/umt5-xxl/tokenizer.json")))
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

pub(super) fn is_text_encoder(path: &Path) -> bool {
    let name = listing::name(path);
    name.starts_with("models_t5_") && (name.ends_with(".pth") || name.ends_with(".safetensors"))
}

pub(super) fn is_vae(path: &Path) -> bool {
    VAES.contains(&listing::name(path).as_str())
}
