//! The networks of a test's model files, on the CPU.
//!
//! Not here: recognising a model's folder, which is the product's own business (`wanfarm_model::files`).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use wanfarm_model::Weights;
use wanfarm_model::dit::WanModel;
use wanfarm_model::files::ModelFolder;
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::{VaeConfig, WanVae};
use wanfarm_types::Role;

/// The weights files that lie in a folder, in the order of their names.
///
/// # Errors
/// The folder cannot be read, or holds none.
pub fn weights_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "safetensors" || ext == "pth"));
    files.sort();
    ensure!(!files.is_empty(), "{} holds no weights", folder.display());
    Ok(files)
}

/// A text encoder.
///
/// # Errors
/// Weights that are missing or unfit.
pub fn text_encoder(weights: Weights) -> Result<Umt5> {
    Ok(Umt5::load(weights, &Device::Cpu)?)
}

/// An autoencoder.
///
/// # Errors
/// Weights that are missing or unfit.
pub fn vae(weights: &Weights) -> Result<WanVae> {
    Ok(WanVae::load(VaeConfig::from_weights(weights, None)?, weights, &Device::Cpu)?)
}

/// The transformers of a model.
pub struct Experts {
    /// Of the noisy part of the schedule; absent from a single-expert model.
    pub high: Option<WanModel>,
    /// Of the rest, or of everything.
    pub low: WanModel,
}

impl Experts {
    /// Reads those of a folder, to multiply in this type.
    ///
    /// # Errors
    /// No model, or weights that are missing or unfit.
    pub fn in_folder(folder: &Path, dtype: DType) -> Result<Self> {
        let folder = wanfarm_model::files::open(folder)?;
        if folder.roles().contains(&Role::Dit) {
            return Ok(Self { high: None, low: dit(&folder, Role::Dit, dtype)? });
        }
        Ok(Self { high: Some(dit(&folder, Role::DitHigh, dtype)?), low: dit(&folder, Role::DitLow, dtype)? })
    }
}

fn dit(folder: &ModelFolder, role: Role, dtype: DType) -> Result<WanModel> {
    let weights = folder.weights(role)?;
    Ok(WanModel::load(folder.dit_config(role, &weights)?, &weights, dtype, &Device::Cpu)?)
}
