//! Networks wherever their files lie, told by their tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::Role;
use wanfarm_weights::{ConfigFile, FileError, WeightFiles, listing, shards};

use super::experts;
use super::one_file::{is_text_encoder, is_transformer, is_vae, parts_of};
use super::parts::{Arrangement, Part, Parts};
use super::recognise::is_model;
use super::tiny;

/// The weights in a folder and in the folders in it, which is how one quantisation is usually downloaded; but not those
/// of other models, where models lie in the folder.
pub(super) fn scattered(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut files = listing::weights(folder, 0)?;
    for inner in listing::entries(folder)?.into_iter().filter(|path| path.is_dir() && !is_model(path)) {
        if listing::name(&inner) == tiny::FOLDER {
            continue;
        }
        files.extend(listing::weights(&inner, 0)?);
    }
    Ok(files)
}

/// Networks wherever they lie in a folder, told by their tensors; experts, by their names.
pub(super) fn files(folder: &Path) -> Result<Parts, FileError> {
    let (mut texts, mut vaes, mut transformers) = (Vec::new(), Vec::new(), Vec::new());
    for files in shards::networks(scattered(folder)?)? {
        let weights = open(&files, &ConfigFile::read_if_there(&config_of(folder, &files))?)?;
        // Others may lie here as well: adapters, previews.
        if is_transformer(&weights) {
            transformers.push(files);
        } else if is_text_encoder(&weights) {
            texts.push(files);
        } else if is_vae(&weights) {
            vaes.push(files);
        }
    }
    let mut networks = experts::assign(folder, transformers)?;
    networks.insert(Role::TextEncoder, shards::only(folder, texts)?);
    networks.insert(Role::Vae, shards::only(folder, vaes)?);
    let part = |(role, weights): (Role, Vec<PathBuf>)| {
        // The folder's own config.json is the transformers'.
        let is_expert = role.expert().is_some();
        let config =
            if is_expert { ConfigFile::read_if_there(&config_of(folder, &weights))? } else { ConfigFile::default() };
        let wanted = format!("file of the {} (.gguf, .safetensors or .pth)", role.name());
        Ok((role, Part { weights, config, place: folder.to_owned(), wanted }))
    };
    let parts = networks.into_iter().map(part).collect::<Result<_, FileError>>()?;
    Ok(parts_of(folder, Arrangement::Files, parts))
}

/// The tensors of a network as they tell by themselves, or else as `config` tells, which may be another network's.
fn open(files: &[PathBuf], config: &ConfigFile) -> Result<WeightFiles, FileError> {
    WeightFiles::open(files).or_else(|_| WeightFiles::open_with(files, config))
}

/// The configuration of a network: beside its files, or else in the folder that they were looked for in.
fn config_of(folder: &Path, files: &[PathBuf]) -> PathBuf {
    let beside = files.first().and_then(|path| path.parent()).unwrap_or(folder).join("config.json");
    if beside.is_file() { beside } else { folder.join("config.json") }
}

/// One network in one file: which, its tensors tell.
pub(super) fn single_file(path: &Path) -> Result<Parts, FileError> {
    let folder = path.parent().unwrap_or(path);
    let config = ConfigFile::read_if_there(&folder.join("config.json"))?;
    let weights = open(&[path.to_owned()], &config)?;
    let role = if is_transformer(&weights) {
        experts::of(folder, path)
    } else if is_text_encoder(&weights) {
        Role::TextEncoder
    } else if is_vae(&weights) {
        Role::Vae
    } else {
        let why = "its tensors are those of no Wan transformer, autoencoder or UMT5 encoder".to_owned();
        return Err(FileError::NotAModel { folder: path.to_owned(), why });
    };
    let part = Part { weights: vec![path.to_owned()], config, ..Part::default() };
    let mut parts = BTreeMap::from([(role, part)]);
    // The other expert is not in this file, and the model has it all the same.
    let other = match role {
        Role::DitHigh => Some(Role::DitLow),
        Role::DitLow => Some(Role::DitHigh),
        _ => None,
    };
    parts.extend(other.map(|role| (role, Part { wanted: "second file".to_owned(), ..Part::default() })));
    Ok(parts_of(folder, Arrangement::SingleFile, parts))
}
