//! The networks of a test's model files, and where golden data lies.
//!
//! Not here: recognising a model's folder, which is the product's own business (`wanfarm_model::folder`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device};
use wanfarm_model::Weights;
use wanfarm_model::dit::WanModel;
use wanfarm_model::folder::ModelFolder;
use wanfarm_model::lora::{Adapters, Lora};
use wanfarm_model::umt5::Umt5;
use wanfarm_model::vae::{VaeConfig, WanVae};
use wanfarm_types::{Expert, Role};
use wanfarm_weights::transformer::parameters;

/// The committed golden data.
pub fn golden_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data")
}

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

/// A text encoder on a device.
///
/// # Errors
/// Weights that are missing or unfit.
pub fn text_encoder(weights: Weights, device: &Device) -> Result<Umt5> {
    Ok(Umt5::load(weights, device)?)
}

/// An autoencoder on a device.
///
/// # Errors
/// Weights that are missing or unfit.
pub fn vae(weights: &Weights, device: &Device) -> Result<WanVae> {
    Ok(WanVae::load(VaeConfig::from_weights(weights.files(), None)?, weights, device)?)
}

/// The transformers of a model.
pub struct Experts {
    /// Of the noisy part of the schedule; absent from a single-expert model.
    pub high: Option<WanModel>,
    /// Of the rest, or of everything.
    pub low: WanModel,
}

impl Experts {
    /// Reads those of a folder, to multiply in this type on a device.
    ///
    /// # Errors
    /// No model, or weights that are missing or unfit.
    pub fn in_folder(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::adapted(folder, dtype, device, |_| None)
    }

    /// Reads those of a folder with one LoRA file each, at a strength, merged.
    ///
    /// # Errors
    /// No model, or weights or adapters that are missing or unfit.
    pub fn adapted(
        folder: &Path,
        dtype: DType,
        device: &Device,
        lora: impl Fn(Role) -> Option<(PathBuf, f64)>,
    ) -> Result<Self> {
        let folder = wanfarm_model::folder::open(folder)?;
        let dit = |role| dit(&folder, role, (dtype, device), lora(role));
        if folder.roles().contains(&Role::Dit) {
            return Ok(Self { high: None, low: dit(Role::Dit)? });
        }
        Ok(Self { high: Some(dit(Role::DitHigh)?), low: dit(Role::DitLow)? })
    }
}

fn dit(
    folder: &ModelFolder,
    role: Role,
    (dtype, device): (DType, &Device),
    lora: Option<(PathBuf, f64)>,
) -> Result<WanModel> {
    let mut weights = folder.weights(role)?;
    let config = folder.dit_config(role, &weights)?;
    if let Some((path, strength)) = lora {
        let expert = role.expert().context("no transformer")?;
        let lora = Lora::open(&path, &parameters(&config), expert)?;
        weights.adapt(Adapters::new(vec![(Arc::new(lora), strength)]));
    }
    Ok(WanModel::load(config, &weights, dtype, device)?)
}

/// A folder with everything of a model's, and these LoRA files at their strengths as part of it.
///
/// # Errors
/// Of the file system.
pub fn with_loras(model: &Path, loras: &[(&Path, f64, Option<Expert>)]) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    copy(model, folder.path())?;
    std::fs::create_dir(folder.path().join("loras"))?;
    let mut entries = Vec::new();
    for (file, strength, expert) in loras {
        let name = file.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        std::fs::copy(file, folder.path().join("loras").join(&name))?;
        entries.push(serde_json::json!({ "path": format!("loras/{name}"), "strength": strength, "expert": expert }));
    }
    std::fs::write(folder.path().join("loras.json"), serde_json::json!({ "loras": entries }).to_string())?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
