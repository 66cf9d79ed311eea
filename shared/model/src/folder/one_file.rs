//! Networks that are each one file: ComfyUI's folders and what mlx-video's converter writes.
//!
//! Source: ComfyUI `folder_paths.py`; city96/ComfyUI-GGUF@795e451 `nodes.py` (`unet/`, `clip/`); Blaizzy/mlx-video@9efdd78 `mlx_video/models/wan_2/convert.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::Role;

use super::experts;
use super::parts::{Arrangement, Part, Parts};
use wanfarm_weights::ConfigFile;
use wanfarm_weights::FileError;
use wanfarm_weights::WeightFiles;
use wanfarm_weights::listing::DEPTH;
use wanfarm_weights::{listing, shards};

/// Where a `tokenizer.json` may lie; the first is where it should.
const TOKENIZERS: [&str; 6] =
    ["", "tokenizer", "text_encoders", "text_encoder", "google/umt5-xxl", "split_files/text_encoders"];
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
/// Where its repositories have these folders.
const SPLIT: &str = "split_files";

/// Where ComfyUI's folders lie, if they are here.
pub(super) fn comfy_base(folder: &Path) -> Option<PathBuf> {
    let bases = [folder.to_owned(), folder.join(SPLIT)];
    bases.into_iter().find(|base| COMFY.iter().flatten().any(|name| base.join(name).is_dir()))
}

pub(super) fn is_mlx(folder: &Path) -> bool {
    let others = || listing::weights(folder, 0).is_ok_and(|files| files.len() > 1);
    // Everybody calls an autoencoder vae.safetensors; where it is alone, nothing else is known.
    MLX.iter().any(|(role, name)| folder.join(name).is_file() && (*role != Role::Vae || !others()))
}

/// `diffusion_models/`, `text_encoders/` and `vae/`, each with one network, or one of each expert, sorted into folders
/// or not.
pub(super) fn comfy(folder: &Path, base: &Path) -> Result<Parts, FileError> {
    let [transformers, texts] =
        COMFY.map(|names| names.into_iter().find(|name| base.join(name).is_dir()).unwrap_or(names[0]));
    let part = |place: &str, weights: Vec<PathBuf>, wanted: &str| {
        let place = base.join(place);
        let beside = weights.first().and_then(|file| file.parent()).unwrap_or(&place).join("config.json");
        let config = if beside.is_file() { beside } else { place.join("config.json") };
        let wanted = place.strip_prefix(folder).unwrap_or(&place).join(wanted).display().to_string();
        Ok::<_, FileError>(Part { weights, config: ConfigFile::read_if_there(&config)?, place, wanted })
    };
    let networks = |place: &str, is: fn(&WeightFiles) -> bool| {
        Ok::<_, FileError>(candidates(shards::networks(listing::weights(&base.join(place), DEPTH)?)?, is))
    };
    let one = |place, is| shards::only(&base.join(place), networks(place, is)?);
    let mut parts = BTreeMap::from([
        (Role::TextEncoder, part(texts, one(texts, is_umt5)?, "umt5*.safetensors")?),
        (Role::Vae, part("vae", one("vae", is_vae)?, "wan*.safetensors")?),
    ]);
    for (role, files) in experts::assign(&base.join(transformers), networks(transformers, is_transformer)?)? {
        let wanted = match role {
            Role::DitHigh => "*high_noise*.safetensors",
            Role::DitLow => "*low_noise*.safetensors",
            _ => "wan*.safetensors",
        };
        parts.insert(role, part(transformers, files, wanted)?);
    }
    Ok(parts_of(folder, Arrangement::Comfy, parts))
}

/// Of several networks, those that could be the one: other programs keep theirs in the same folders. What cannot be
/// read stays, for it could be meant.
fn candidates(mut networks: Vec<Vec<PathBuf>>, is: fn(&WeightFiles) -> bool) -> Vec<Vec<PathBuf>> {
    if networks.len() > 1 {
        networks.retain(|files| WeightFiles::open(files).as_ref().map_or(true, is));
    }
    networks
}

pub(super) fn mlx(folder: &Path) -> Result<Parts, FileError> {
    let config = ConfigFile::read_if_there(&folder.join("config.json"))?;
    let dual = [MLX[1].1, MLX[2].1].iter().any(|name| folder.join(name).is_file());
    let unused = |role: Role| if dual { role == Role::Dit } else { matches!(role, Role::DitHigh | Role::DitLow) };
    let part = |(role, name): (Role, &str)| {
        let weights = Vec::from_iter(Some(folder.join(name)).filter(|path| path.is_file()));
        // The one config.json is the transformers'.
        let config = if role.expert().is_some() { config.clone() } else { ConfigFile::default() };
        (role, Part { weights, config, place: folder.to_owned(), wanted: name.to_owned() })
    };
    let parts = MLX.into_iter().filter(|(role, _)| !unused(*role)).map(part).collect();
    Ok(parts_of(folder, Arrangement::Mlx, parts))
}

pub(super) fn is_transformer(weights: &WeightFiles) -> bool {
    weights.shape("patch_embedding.weight").is_some()
}

pub(super) fn is_text_encoder(weights: &WeightFiles) -> bool {
    weights.shape("token_embedding.weight").is_some()
}

/// Unlike other T5 encoders, it has a bias of attention in every block.
fn is_umt5(weights: &WeightFiles) -> bool {
    let later = |name: &str| weights.shape(&format!("blocks.1.{name}.weight")).is_some();
    is_text_encoder(weights) && later("attn.q") == later("pos_embedding.embedding")
}

/// Unlike those of still pictures, it convolves in time.
pub(super) fn is_vae(weights: &WeightFiles) -> bool {
    weights.shape("decoder.conv1.weight").is_some_and(|shape| shape.len() == 5)
}

pub(super) fn parts_of(folder: &Path, arrangement: Arrangement, parts: BTreeMap<Role, Part>) -> Parts {
    let places = TOKENIZERS.map(|place| folder.join(place).join("tokenizer.json"));
    let tokenizer = places.iter().find(|path| path.is_file()).unwrap_or(&places[0]).clone();
    Parts::new(folder, arrangement, parts, tokenizer)
}
