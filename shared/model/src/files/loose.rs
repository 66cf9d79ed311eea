//! Networks that are each one file: ComfyUI's folders, what mlx-video's converter writes, GGUF files with what belongs to
//! them, and a file by itself.
//!
//! Source: ComfyUI `folder_paths.py`; city96/ComfyUI-GGUF@795e451 `nodes.py` (`unet/`, `clip/`); Blaizzy/mlx-video@9efdd78 `mlx_video/models/wan_2/convert.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::Role;

use super::config::ConfigFile;
use super::layout::only_one;
use super::loras::FixedLoras;
use super::parts::{Arrangement, Part, Parts};
use crate::error::ModelError;
use crate::weights::Weights;

/// Where a `tokenizer.json` may lie; the first is where it should.
const TOKENIZERS: [&str; 5] = ["", "tokenizer", "text_encoders", "text_encoder", "google/umt5-xxl"];
/// What mlx-video's converter calls its files.
const MLX: [(Role, &str); 5] = [
    (Role::TextEncoder, "t5_encoder.safetensors"),
    (Role::DitHigh, "high_noise_model.safetensors"),
    (Role::DitLow, "low_noise_model.safetensors"),
    (Role::Dit, "model.safetensors"),
    (Role::Vae, "vae.safetensors"),
];

/// What ComfyUI calls the folders of transformers and of text encoders, now and before.
const COMFY: [[&str; 2]; 2] = [["diffusion_models", "unet"], ["text_encoders", "clip"]];

pub(super) fn is_comfy(folder: &Path) -> bool {
    COMFY.iter().flatten().any(|name| folder.join(name).is_dir())
}

pub(super) fn is_mlx(folder: &Path) -> bool {
    MLX.iter().any(|(_, name)| folder.join(name).is_file())
}

/// `diffusion_models/`, `text_encoders/` and `vae/`, each with one file, or one of each expert.
pub(super) fn comfy(folder: &Path) -> Result<Parts, ModelError> {
    let [transformers_in, texts_in] =
        COMFY.map(|names| names.into_iter().find(|name| folder.join(name).is_dir()).unwrap_or(names[0]));
    let transformers = weights_in(&folder.join(transformers_in))?;
    let (experts, others): (Vec<_>, Vec<_>) = transformers.into_iter().partition(|path| expert(path) != Role::Dit);
    let part = |place: &str, files: Vec<PathBuf>, wanted: &str| {
        Ok::<_, ModelError>(Part {
            weights: only_one(&folder.join(place), files)?,
            config: ConfigFile::read_if_there(&folder.join(place).join("config.json"))?,
            wanted: format!("{place}/{wanted}"),
        })
    };
    let mut parts = BTreeMap::from([
        (Role::TextEncoder, part(texts_in, weights_in(&folder.join(texts_in))?, "umt5*.safetensors")?),
        (Role::Vae, part("vae", weights_in(&folder.join("vae"))?, "wan*.safetensors")?),
    ]);
    if experts.is_empty() {
        parts.insert(Role::Dit, part(transformers_in, others, "wan*.safetensors")?);
    } else {
        for (role, wanted) in [(Role::DitHigh, "*high_noise*.safetensors"), (Role::DitLow, "*low_noise*.safetensors")] {
            // A third transformer beside the experts could be meant for either.
            let files = experts.iter().filter(|path| expert(path) == role).chain(&others).cloned().collect();
            parts.insert(role, part(transformers_in, files, wanted)?);
        }
    }
    Ok(parts_of(folder, Arrangement::Comfy, parts))
}

pub(super) fn mlx(folder: &Path) -> Result<Parts, ModelError> {
    let config = ConfigFile::read_if_there(&folder.join("config.json"))?;
    let dual = [MLX[1].1, MLX[2].1].iter().any(|name| folder.join(name).is_file());
    let unused = |role: Role| if dual { role == Role::Dit } else { matches!(role, Role::DitHigh | Role::DitLow) };
    let part = |(role, name): (Role, &str)| {
        let weights = Vec::from_iter(Some(folder.join(name)).filter(|path| path.is_file()));
        // The one config.json is the transformers'.
        let config = if role.expert().is_some() { config.clone() } else { ConfigFile::default() };
        (role, Part { weights, config, wanted: name.to_owned() })
    };
    let parts = MLX.into_iter().filter(|(role, _)| !unused(*role)).map(part).collect();
    Ok(parts_of(folder, Arrangement::Mlx, parts))
}

/// Whether there are GGUF files in a folder, or in a folder in it: the usual way to download one quantisation.
pub(super) fn has_gguf(folder: &Path) -> Result<bool, ModelError> {
    Ok(weights_below(folder)?.iter().any(|path| is_gguf(path)))
}

/// Files of one network each, told by their tensors; of experts, by their names.
pub(super) fn files(folder: &Path) -> Result<Parts, ModelError> {
    let mut found: BTreeMap<Role, Vec<PathBuf>> = BTreeMap::new();
    for path in weights_below(folder)? {
        // Others may lie here as well: adapters, previews.
        if let Some(role) = role(&path, &Weights::open(std::slice::from_ref(&path))?) {
            found.entry(role).or_default().push(path);
        }
    }
    let dual = found.contains_key(&Role::DitHigh) || found.contains_key(&Role::DitLow);
    let transformers = if dual { vec![Role::DitHigh, Role::DitLow] } else { vec![Role::Dit] };
    // A transformer beside the experts that says not which it is could be meant for either.
    let unclear = if dual { found.remove(&Role::Dit).unwrap_or_default() } else { Vec::new() };
    let mut parts = BTreeMap::new();
    for role in [vec![Role::TextEncoder, Role::Vae], transformers].concat() {
        let mut paths = found.remove(&role).unwrap_or_default();
        paths.extend(unclear.iter().filter(|_| role.expert().is_some()).cloned());
        let place = paths.first().and_then(|path| path.parent()).unwrap_or(folder).join("config.json");
        let config = if place.is_file() { place } else { folder.join("config.json") };
        // The folder's own config.json is the transformers'.
        let config = if role.expert().is_some() { ConfigFile::read_if_there(&config)? } else { ConfigFile::default() };
        let wanted = format!("file of the {} (.gguf, .safetensors or .pth)", role.name());
        parts.insert(role, Part { weights: only_one(folder, paths)?, config, wanted });
    }
    Ok(parts_of(folder, Arrangement::Files, parts))
}

/// One network in one file: which, its tensors tell.
pub(super) fn single_file(path: &Path) -> Result<Parts, ModelError> {
    let folder = path.parent().unwrap_or(path);
    let Some(role) = role(path, &Weights::open(&[path.to_owned()])?) else {
        let why = "its tensors are those of no Wan transformer, autoencoder or UMT5 encoder".to_owned();
        return Err(ModelError::NotAModel { folder: path.to_owned(), why });
    };
    let config = ConfigFile::read_if_there(&folder.join("config.json"))?;
    let mut parts = BTreeMap::from([(role, Part { weights: vec![path.to_owned()], config, wanted: String::new() })]);
    // The other expert is not in this file, and the model has it all the same.
    let other = match role {
        Role::DitHigh => Some(Role::DitLow),
        Role::DitLow => Some(Role::DitHigh),
        _ => None,
    };
    parts.extend(other.map(|role| (role, Part { wanted: "second file".to_owned(), ..Part::default() })));
    Ok(parts_of(folder, Arrangement::SingleFile, parts))
}

/// Which network these tensors are; `None` if none of ours.
fn role(path: &Path, weights: &Weights) -> Option<Role> {
    if weights.shape("patch_embedding.weight").is_some() {
        Some(expert(path))
    } else if weights.shape("token_embedding.weight").is_some() {
        Some(Role::TextEncoder)
    } else {
        weights.shape("decoder.conv1.weight").map(|_| Role::Vae)
    }
}

fn parts_of(folder: &Path, arrangement: Arrangement, parts: BTreeMap<Role, Part>) -> Parts {
    let places = TOKENIZERS.map(|place| folder.join(place).join("tokenizer.json"));
    let tokenizer = places.iter().find(|path| path.is_file()).unwrap_or(&places[0]).clone();
    let (model_index, scheduler) = (ConfigFile::default(), ConfigFile::default());
    Parts {
        folder: folder.to_owned(),
        arrangement,
        parts,
        tokenizer,
        model_index,
        scheduler,
        loras: FixedLoras::default(),
    }
}

/// Which expert a transformer's file name says it is, as in `wan2.2_t2v_high_noise_14B_fp16.safetensors`. Nothing else
/// tells them apart: their shapes are the same.
fn expert(path: &Path) -> Role {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match (letters.contains("highnoise"), letters.contains("lownoise")) {
        (true, false) => Role::DitHigh,
        (false, true) => Role::DitLow,
        _ => Role::Dit,
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "gguf")
}

/// What a folder holds, in the order of names; nothing if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(|e| ModelError::io(folder, e))?;
    paths.sort();
    Ok(paths)
}

/// The safetensors and GGUF files of a folder.
fn weights_in(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let is_weights = |path: &PathBuf| is_gguf(path) || path.extension().is_some_and(|end| end == "safetensors");
    Ok(entries(folder)?.into_iter().filter(|path| is_weights(path) && path.is_file()).collect())
}

/// The weights in a folder and in the folders in it, `.pth` files beside GGUF ones included.
fn weights_below(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            files.extend(entries(&path)?);
        } else {
            files.push(path);
        }
    }
    let ends = ["safetensors", "gguf", "pth"];
    files.retain(|path| path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)) && path.is_file());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_tell_the_experts() {
        for (name, role) in [
            ("wan2.2_t2v_high_noise_14B_fp16.safetensors", Role::DitHigh),
            ("Wan2.2-I2V-LowNoise.safetensors", Role::DitLow),
            ("low-noise.safetensors", Role::DitLow),
            ("wan2.2_ti2v_5B_fp16.safetensors", Role::Dit),
            ("high_noise_and_low_noise.safetensors", Role::Dit),
            ("highlights.safetensors", Role::Dit),
        ] {
            assert_eq!(expert(Path::new(name)), role, "{name}");
        }
    }
}
