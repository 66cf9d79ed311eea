//! A model folder: its card, and the files of each role.

use std::path::{Path, PathBuf};

use wanfarm_types::{ModelCard, Role};

use super::card;
use super::config::ConfigFile;
use super::layout::{self, Layout, Part};
use crate::dit;
use crate::error::ModelError;
use crate::vae::{LatentStatistics, VaeConfig};
use crate::weights::Weights;

/// A model on disk. A machine need not hold all of it: what it does not hold is an error when it is asked for.
#[derive(Debug)]
pub struct ModelFolder {
    folder: PathBuf,
    layout: Layout,
    card: ModelCard,
}

/// Recognises the model in a folder, from the headers of its files; no weights are read.
///
/// # Errors
/// There is none, its files are incomplete or damaged, or nothing tells the sizes of its transformers.
pub fn open(folder: &Path) -> Result<ModelFolder, ModelError> {
    let layout = layout::detect(folder)?;
    let cfg = transformer(folder, &layout)?;
    let card = card::card(folder, &layout, &cfg)?;
    Ok(ModelFolder { folder: folder.to_owned(), layout, card })
}

/// The sizes of the model's transformers, of whichever there is.
fn transformer(folder: &Path, layout: &Layout) -> Result<dit::Config, ModelError> {
    let parts = || layout.parts.iter().filter(|(role, _)| role.expert().is_some()).map(|(_, part)| part);
    if let Some(part) = parts().find(|part| !part.weights.is_empty()) {
        return dit::Config::from_weights(&Weights::open(&part.weights)?, &part.config);
    }
    if let Some(part) = parts().find(|part| !part.config.is_empty()) {
        return dit::Config::from_file(&part.config);
    }
    let wanted: Vec<&str> = parts().map(|part| part.wanted.as_str()).collect();
    let why = format!(
        "nothing tells which model it is: there is no {}, and no config.json beside where it would be; \
         the config.json is small and enough on a machine that runs no transformer",
        wanted.join(" or ")
    );
    Err(ModelError::NotAModel { folder: folder.to_owned(), why })
}

impl ModelFolder {
    /// What others need to know of the model.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The roles whose files are here.
    pub fn roles(&self) -> Vec<Role> {
        self.card.roles().into_iter().filter(|role| !self.files(*role).is_empty()).collect()
    }

    /// The files whose bytes decide a role's result: weights, configuration and, for text, the tokenizer. Empty if the
    /// model has no such role, or its weights are not here.
    pub fn files(&self, role: Role) -> Vec<PathBuf> {
        let Some(part) = self.layout.parts.get(&role).filter(|part| !part.weights.is_empty()) else {
            return Vec::new();
        };
        let mut files = part.weights.clone();
        if !part.config.is_empty() {
            files.push(part.config.path().to_owned());
        }
        if role == Role::TextEncoder {
            files.push(self.tokenizer());
        }
        files
    }

    /// The tensors of a role under their official names.
    ///
    /// # Errors
    /// The model has no such role, its files are not here, or one of them is damaged.
    pub fn weights(&self, role: Role) -> Result<Weights, ModelError> {
        let part = self.part(role)?;
        if part.weights.is_empty() {
            let why = format!("there is no {}, which the role {role} needs; download it", part.wanted);
            return Err(ModelError::Incomplete { folder: self.folder.clone(), why });
        }
        Weights::open(&part.weights)
    }

    /// The `config.json` of a role; empty in official folders, where text encoder and VAE have none.
    ///
    /// # Errors
    /// The model has no such role.
    pub fn config(&self, role: Role) -> Result<&ConfigFile, ModelError> {
        Ok(&self.part(role)?.config)
    }

    /// The sizes of a transformer whose tensors are `weights`.
    ///
    /// # Errors
    /// The model has no such role, or its tensors and `config.json` make no transformer.
    pub fn dit_config(&self, role: Role, weights: &Weights) -> Result<dit::Config, ModelError> {
        dit::Config::from_weights(weights, self.config(role)?)
    }

    /// The dimensions of the autoencoder whose tensors are `weights`; the statistics of its latents are those of its
    /// `config.json`, if it has them, and else the published ones.
    ///
    /// # Errors
    /// The tensors make no autoencoder, or the statistics do not fit it.
    pub fn vae_config(&self, weights: &Weights) -> Result<VaeConfig, ModelError> {
        let file = self.config(Role::Vae)?;
        let statistics = match (file.numbers("latents_mean")?, file.numbers("latents_std")?) {
            (Some(mean), Some(std)) => {
                let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
                Some(LatentStatistics { mean: narrow(mean), std: narrow(std) })
            }
            (None, None) => None,
            _ => return Err(file.wrong("of latents_mean and latents_std only one is there")),
        };
        VaeConfig::from_weights(weights, statistics)
    }

    /// The tokenizer's file, where it is or should be.
    pub fn tokenizer(&self) -> PathBuf {
        self.layout.tokenizer.clone()
    }

    fn part(&self, role: Role) -> Result<&Part, ModelError> {
        self.layout.parts.get(&role).ok_or_else(|| {
            let roles: Vec<&str> = self.card.roles().into_iter().map(Role::name).collect();
            let what = format!("{}: the role {role}", self.folder.display());
            ModelError::Unsupported { what, why: format!("this model's roles are {}", roles.join(", ")) }
        })
    }
}
