//! A model's networks and the files of each, whatever the layout they were found in.
//!
//! Not here: finding them (`layout`), and which model they make (`info`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wanfarm_types::{Role, Transformer};

use super::loras::FixedLoras;
use crate::error::ModelError;
use crate::lora::Adapters;
use crate::text::Tokenizer;
use crate::umt5;
use crate::vae::{self, LatentStatistics, VaeConfig};
use crate::weights::Weights;
use wanfarm_weights::ConfigFile;
use wanfarm_weights::WeightFiles;
use wanfarm_weights::listing;
use wanfarm_weights::transformer;
use wanfarm_weights::{FileError, listed};

/// One network's files.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Its weights; empty if they are not on this machine.
    pub(super) weights: Vec<PathBuf>,
    /// Its `config.json`; empty if there is none.
    pub(super) config: ConfigFile,
    /// Where its files were looked for.
    pub(super) place: PathBuf,
    /// What was looked for, for messages.
    pub(super) wanted: String,
}

impl Part {
    /// Its tensors.
    pub(super) fn open(&self) -> Result<WeightFiles, FileError> {
        WeightFiles::open_with(&self.weights, &self.config)
    }
}

/// How a model's files are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// The authors' repositories.
    Official,
    /// diffusers' repositories.
    Diffusers,
    /// ComfyUI's folders of single files.
    Comfy,
    /// What mlx-video's converter writes.
    Mlx,
    /// A folder of files of one network each, wherever they lie in it.
    Files,
    /// One file of one network.
    SingleFile,
}

impl Arrangement {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::Diffusers => "diffusers",
            Self::Comfy => "comfy",
            Self::Mlx => "mlx",
            Self::Files => "files",
            Self::SingleFile => "single-file",
        }
    }
}

/// A model's parts.
#[derive(Debug)]
pub struct Parts {
    pub(super) folder: PathBuf,
    /// How its files are arranged.
    pub arrangement: Arrangement,
    pub(super) parts: BTreeMap<Role, Part>,
    pub(super) tokenizer: PathBuf,
    /// diffusers: settings of the pipeline.
    pub(super) model_index: ConfigFile,
    /// diffusers: settings of the schedule.
    pub(super) scheduler: ConfigFile,
    /// LoRA files that are part of the model.
    pub(super) loras: FixedLoras,
}

impl Parts {
    /// Parts without settings of a pipeline and without LoRA files.
    pub(super) fn new(
        folder: &Path,
        arrangement: Arrangement,
        parts: BTreeMap<Role, Part>,
        tokenizer: PathBuf,
    ) -> Self {
        let (model_index, scheduler, loras) = Default::default();
        Self { folder: folder.to_owned(), arrangement, parts, tokenizer, model_index, scheduler, loras }
    }

    /// The roles that a model of this layout has, whether or not their files are here.
    pub fn roles(&self) -> Vec<Role> {
        self.parts.keys().copied().collect()
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The part of a role.
    pub(super) fn part(&self, role: Role) -> Result<&Part, FileError> {
        self.parts.get(&role).ok_or_else(|| {
            let roles: Vec<&str> = self.parts.keys().map(|role| role.name()).collect();
            let what = format!("{}: the role {role}", self.folder.display());
            FileError::Unsupported { what, why: format!("this model's roles are {}", roles.join(", ")) }
        })
    }

    /// The files whose bytes decide a role's result; empty if its weights are not here.
    pub fn files(&self, role: Role) -> Vec<PathBuf> {
        let Some(part) = self.parts.get(&role).filter(|part| !part.weights.is_empty()) else {
            return Vec::new();
        };
        let mut files = part.weights.clone();
        if !part.config.is_empty() {
            files.push(part.config.path().to_owned());
        }
        if role == Role::TextEncoder && self.arrangement != Arrangement::SingleFile {
            files.push(self.tokenizer.clone());
        }
        files.extend(self.loras.files(role));
        files
    }

    /// The tensors of a role, with the LoRA files that are part of the model.
    pub fn weights(&self, role: Role) -> Result<Weights, ModelError> {
        let part = self.part(role)?;
        if part.weights.is_empty() {
            return Err(self.absent(role, part).into());
        }
        let files = part.open()?;
        let fixed = match role.expert().filter(|_| !self.loras.list().is_empty()) {
            Some(expert) => {
                let network = transformer::parameters(&transformer::sizes(&files, &part.config)?);
                self.loras.adapters(expert, &network)?
            }
            None => Adapters::default(),
        };
        Ok(Weights::new(files, fixed))
    }

    /// Error: a network's files are not here, or not under the names that are looked for.
    fn absent(&self, role: Role, part: &Part) -> FileError {
        let used: Vec<&PathBuf> = self.parts.values().flat_map(|part| &part.weights).collect();
        let found = listing::candidates(&part.place).unwrap_or_default();
        let found = found.into_iter().filter(|path| !used.contains(&path));
        let (there, gone): (Vec<PathBuf>, Vec<PathBuf>) = found.partition(|path| path.is_file());
        let names = |paths: &[PathBuf]| listed(&listing::names(&self.folder, paths));
        let advice = match (&*there, &*gone) {
            ([], []) => "; download it".to_owned(),
            ([], gone) => format!("; {} leads to a file that is not there: download it again", names(gone)),
            (there, _) => format!("; if it is what lies there as {}, give it that name", names(there)),
        };
        let why = format!("there is no {}, which the role {role} needs{advice}", part.wanted);
        FileError::Incomplete { folder: self.folder.clone(), why }
    }

    /// The sizes of a transformer whose tensors are `weights`.
    pub fn dit_config(&self, role: Role, weights: &WeightFiles) -> Result<Transformer, FileError> {
        transformer::sizes(weights, &self.part(role)?.config)
    }

    /// The dimensions of the autoencoder whose tensors are `weights`.
    pub fn vae_config(&self, weights: &WeightFiles) -> Result<VaeConfig, FileError> {
        let file = &self.part(Role::Vae)?.config;
        let channels = weights.shape("conv2.weight").and_then(|shape| shape.first().copied());
        let statistics = match (file.numbers("latents_mean")?, file.numbers("latents_std")?) {
            (Some(mean), Some(std)) => {
                if let Some(channels) = channels.filter(|&channels| mean.len() != channels || std.len() != channels) {
                    let (means, stds) = (mean.len(), std.len());
                    return Err(file.wrong(format!(
                        "{means} numbers in latents_mean and {stds} in latents_std for the {channels} latent channels of {}",
                        weights.place()
                    )));
                }
                let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
                Some(LatentStatistics { mean: narrow(mean), std: narrow(std) })
            }
            (None, None) => None,
            _ => return Err(file.wrong("of latents_mean and latents_std only one is there")),
        };
        VaeConfig::from_weights(weights, statistics)
    }

    /// Compares the tensors of a role with what its network needs, and reads the tokenizer.
    pub fn check(&self, role: Role) -> Result<(), ModelError> {
        let weights = self.weights(role)?;
        let parameters = match role {
            Role::TextEncoder => {
                self.check_tokenizer()?;
                umt5::Config::from_weights(weights.files())?.parameters()
            }
            Role::DitHigh | Role::DitLow | Role::Dit => {
                transformer::parameters(&self.dit_config(role, weights.files())?)
            }
            Role::Vae => vae::parameters(&self.vae_config(weights.files())?),
        };
        Ok(weights.files().check(&parameters)?)
    }

    fn check_tokenizer(&self) -> Result<(), FileError> {
        if self.arrangement == Arrangement::SingleFile {
            return Ok(());
        }
        if self.tokenizer.is_file() {
            return Tokenizer::load(&self.tokenizer).map(drop);
        }
        let remark = match self.arrangement {
            Arrangement::Comfy => "; the one ComfyUI keeps inside the weights is of another form",
            Arrangement::Mlx => "; the converter leaves it out",
            Arrangement::Files => "; that of a GGUF file is not read",
            _ => "",
        };
        let why = format!(
            "there is no {}, which the text encoder needs{remark}; put the tokenizer.json of google/umt5-xxl there",
            self.tokenizer.display()
        );
        Err(FileError::Incomplete { folder: self.folder.clone(), why })
    }
}
