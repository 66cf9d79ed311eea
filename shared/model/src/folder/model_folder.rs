//! A model folder: its `ModelInfo`, and the files of each role.

use std::path::{Path, PathBuf};

use candle_core::DType;
use wanfarm_types::{Calibration, Footprint, ModelInfo, Role, Transformer};

use super::calibration;
use super::footprint;
use super::info;
use super::layout;
use super::parts::Parts;
use super::recognise::recognise;
use super::tiny::{self, TinyFile};
use crate::error::ModelError;
use crate::ops::device::DeviceKind;
use crate::vae::VaeConfig;
use crate::weights::Weights;
use wanfarm_weights::FileError;

/// A model on disk. A machine need not hold all of it: what it does not hold is an error when it is asked for.
#[derive(Debug)]
pub struct ModelFolder {
    parts: Parts,
    info: ModelInfo,
    calibration: Option<Calibration>,
    tiny: Option<TinyFile>,
}

/// Recognises the model in a folder, from the headers of its files; no weights are read but those of a tiny autoencoder.
///
/// # Errors
/// There is none, its files are incomplete or damaged, nothing tells the sizes of its transformers, or its networks do
/// not belong together.
pub fn open(folder: &Path) -> Result<ModelFolder, FileError> {
    let parts = layout::detect(folder)?;
    let (info, calibration, tiny) = completed(recognise(&parts)?, &parts)?;
    Ok(ModelFolder { parts, info, calibration, tiny })
}

/// Adds to `info` what lies beside the networks, and returns that as well: the magnitude curve with the calibration, the tiny
/// autoencoder with its file.
///
/// # Errors
/// These cannot be read, or what they make is no model that a worker could announce.
pub fn completed(
    info: ModelInfo,
    parts: &Parts,
) -> Result<(ModelInfo, Option<Calibration>, Option<TinyFile>), FileError> {
    let (calibration, mag_curve) = calibration::read(&parts.folder)?.unzip();
    let (tiny, tiny_vae) = tiny::find(parts, info.vae)?;
    let info = ModelInfo { mag_curve, tiny_vae, ..info };
    info.check().map_err(|bad| FileError::config(&parts.folder, bad.to_string()))?;
    Ok((info, calibration, tiny))
}

impl ModelFolder {
    /// What others need to know of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// What was measured with this model, if anything was.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Goes on without what was measured: it was with other weights than those that are here.
    pub fn forget_calibration(&mut self) {
        (self.calibration, self.info.mag_curve) = (None, None);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.parts.folder
    }

    /// The roles whose files are here.
    pub fn roles(&self) -> Vec<Role> {
        self.info.roles().into_iter().filter(|role| !self.files(*role).is_empty()).collect()
    }

    /// The files whose bytes decide a role's result: weights, configuration and, for text, the tokenizer. Empty if the
    /// model has no such role, or its weights are not here.
    pub fn files(&self, role: Role) -> Vec<PathBuf> {
        self.parts.files(role)
    }

    /// The files that say what the model is and how it is rendered, beside those of its roles: settings, a curve that was measured, a
    /// tiny autoencoder. Only what lies in its folder.
    pub fn beside(&self) -> Vec<PathBuf> {
        let (settings, folder) = (info::SETTINGS, self.path());
        let names = ["model_index.json", "config.json", "scheduler/scheduler_config.json", "mag_ratios.json", settings];
        let tiny = self.tiny.iter().map(|tiny| tiny.path.clone()).filter(|path| path.starts_with(folder));
        names.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).chain(tiny).collect()
    }

    /// The tensors of a role under their official names.
    ///
    /// # Errors
    /// The model has no such role, its files are not here, or one of them is damaged.
    pub fn weights(&self, role: Role) -> Result<Weights, ModelError> {
        self.parts.weights(role)
    }

    /// The sizes of a transformer whose tensors are `weights`.
    ///
    /// # Errors
    /// The model has no such role, or its tensors and `config.json` make no transformer.
    pub fn dit_config(&self, role: Role, weights: &Weights) -> Result<Transformer, FileError> {
        self.parts.dit_config(role, weights.files())
    }

    /// The dimensions of the autoencoder whose tensors are `weights`; the statistics of its latents are those of its
    /// `config.json`, if it has them, and else the published ones.
    ///
    /// # Errors
    /// The tensors make no autoencoder, or the statistics do not fit it.
    pub fn vae_config(&self, weights: &Weights) -> Result<VaeConfig, FileError> {
        self.parts.vae_config(weights.files())
    }

    /// The tiny autoencoder for its latents, if one lies with it.
    pub fn tiny_vae(&self) -> Option<&TinyFile> {
        self.tiny.as_ref()
    }

    /// What a role takes of the memory of a device, its matrices multiplied in `dtype` if it is a transformer.
    ///
    /// # Errors
    /// As of [`Self::weights`]; the tensors make no such network, or the tiny autoencoder cannot be read any more.
    pub fn footprint(&self, role: Role, device: DeviceKind, dtype: DType) -> Result<Footprint, ModelError> {
        let own = self.parts.footprint(role, &self.weights(role)?, device, dtype)?;
        match self.tiny.as_ref().filter(|_| role == Role::Vae) {
            Some(tiny) => Ok(footprint::with_tiny(own, &tiny.path)?),
            None => Ok(own),
        }
    }

    /// The tokenizer's file, where it is or should be.
    pub fn tokenizer(&self) -> PathBuf {
        self.parts.tokenizer.clone()
    }

    /// Compares the tensors of a role with what its network needs.
    ///
    /// # Errors
    /// Its files are missing, damaged or of another shape; all faults at once.
    pub fn check(&self, role: Role) -> Result<(), ModelError> {
        self.parts.check(role)
    }
}
