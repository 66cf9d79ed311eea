//! What a model folder, one file of a model, or a LoRA file is: from the headers of its files; no weights are read.
//!
//! Not here: recognising folders (`files`) and loading networks.

mod lora;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wanfarm_types::{Defaults, Footprint, ModelFile, ModelInfo, Role};

use wanfarm_model::ModelError;
use wanfarm_model::folder::{self, ModelFolder, Parts};
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_weights::Share;
use wanfarm_weights::{FileError, digest_files};

pub use lora::{LoraInspection, inspect_lora, is_lora};

/// A model in figures.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The folder or file.
    pub path: PathBuf,
    /// How its files are arranged: `official`, `diffusers`, `comfy`, `mlx`, `files` or `single-file`.
    pub layout: &'static str,
    /// What it was recognised as; absent where no transformer's sizes tell.
    pub model: Option<ModelInfo>,
    /// Why its networks make no model together, each for itself being whole; absent when they do.
    pub fault: Option<String>,
    /// The device that memory is counted for.
    pub device: &'static str,
    /// Each role the model has.
    pub roles: Vec<RoleInspection>,
    /// What the model can be used for, and what is missing for it; nothing, if its networks make none together.
    pub tasks: Vec<Task>,
}

/// Whether a role can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All tensors are there and fit.
    Usable,
    /// Files are not here.
    Missing,
    /// Files are here and cannot be used.
    Damaged,
}

/// One role's files in figures.
#[derive(Debug, Serialize)]
pub struct RoleInspection {
    /// The role within the model.
    pub role: Role,
    /// Whether it can be served.
    pub state: State,
    /// Why it cannot be; absent when it can.
    pub fault: Option<String>,
    /// Files whose bytes decide its result, with their sizes.
    pub files: Vec<(PathBuf, u64)>,
    /// BLAKE3 of these files, if asked for.
    pub digests: Vec<ModelFile>,
    /// Tensors of the network.
    pub tensors: usize,
    /// Numbers in its tensors.
    pub parameters: u64,
    /// Its tensors by element type.
    pub dtypes: BTreeMap<String, Share>,
    /// What it needs of the device's memory; absent when it cannot be used.
    pub memory: Option<Memory>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

/// Bytes of the device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Weights, as they are held.
    pub weights: u64,
    /// An estimate of everything else, for a video of the model's default size; absent where the model is not known.
    pub activations: Option<u64>,
}

impl Memory {
    fn of(footprint: &Footprint, info: Option<&ModelInfo>) -> Self {
        let item = |info: &ModelInfo| {
            let Defaults { width, height, frames, .. } = info.defaults;
            footprint.of_item(info.geometry.item_size(width, height, frames))
        };
        Self { weights: footprint.weights, activations: info.map(item) }
    }
}

/// Something a model is used for.
#[derive(Debug, Serialize)]
pub struct Task {
    /// `text-to-video` or `image-to-video`.
    pub task: &'static str,
    /// Roles it needs and that cannot be served from here.
    pub missing: Vec<Role>,
}

/// What to find out.
#[derive(Debug, Clone, Copy)]
pub struct Questions {
    /// The device that memory is counted for.
    pub device: DeviceKind,
    /// Whether to hash all files, which takes minutes.
    pub digests: bool,
}

/// Compares the tensors of these roles with what the networks need.
///
/// # Errors
/// The first role whose files are missing, damaged or of another shape; all faults of that role at once.
pub fn check(folder: &ModelFolder, roles: &[Role]) -> Result<(), ModelError> {
    roles.iter().try_for_each(|&role| folder.check(role))
}

/// Says what a folder or a file is.
///
/// # Errors
/// It holds nothing of a model, or a file could not be hashed. Faults of single roles are part of the answer.
pub fn inspect(path: &Path, questions: Questions) -> Result<Inspection, ModelError> {
    let parts = folder::detect(path)?;
    let (model, fault) = match folder::recognise(&parts) {
        Ok(info) => (Some(folder::completed(info, &parts)?.0), None),
        // Without a transformer the model is unknown; its other networks are inspected all the same.
        Err(FileError::NotAModel { .. }) => (None, None),
        Err(fault) => (None, Some(fault.to_string())),
    };
    let roles = model.as_ref().map_or_else(|| parts.roles(), ModelInfo::roles);
    let roles = roles.into_iter().map(|role| inspect_role(&parts, role, model.as_ref(), questions));
    let roles = roles.collect::<Result<Vec<_>, _>>()?;
    Ok(Inspection {
        path: path.to_owned(),
        layout: parts.arrangement.name(),
        device: questions.device.name(),
        tasks: model.as_ref().map_or_else(Vec::new, |info| tasks(info, &roles)),
        model,
        fault: fault.filter(|fault| roles.iter().all(|role| role.fault.as_ref() != Some(fault))),
        roles,
    })
}

impl Inspection {
    /// Whether something can be served from here, and nothing that is here is damaged.
    pub fn is_usable(&self) -> bool {
        let any = |state| self.roles.iter().any(|role| role.state == state);
        any(State::Usable) && !any(State::Damaged) && self.fault.is_none()
    }
}

fn inspect_role(
    parts: &Parts,
    role: Role,
    info: Option<&ModelInfo>,
    questions: Questions,
) -> Result<RoleInspection, ModelError> {
    let size = |path: PathBuf| {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        (path, bytes)
    };
    let files = parts.files(role);
    let there: Vec<PathBuf> = files.iter().filter(|path| path.is_file()).cloned().collect();
    let digests = if questions.digests { digest_files(parts.folder(), &there)? } else { Vec::new() };
    let fault = parts.check(role).err();
    let state = match &fault {
        None => State::Usable,
        // A single file's other roles are not said to be unsupported: they are in other files.
        Some(_) if files.is_empty() => State::Missing,
        Some(ModelError::File(FileError::Incomplete { .. })) => State::Missing,
        Some(_) => State::Damaged,
    };
    let weights = parts.weights(role).ok();
    let dtypes = weights.as_ref().map(|weights| weights.files().dtypes()).unwrap_or_default();
    let memory = weights.as_ref().filter(|_| state == State::Usable);
    let footprint = |weights| parts.footprint(role, weights, questions.device, questions.device.dtype());
    let memory = memory.map(footprint).transpose()?.map(|footprint| Memory::of(&footprint, info));
    let mut notes = Vec::new();
    if weights.as_ref().is_some_and(|weights| weights.files().is_channels_last()) {
        notes.push("convolutions are stored channels last, as MLX does, and turned round when loaded".to_owned());
    }
    if weights.as_ref().is_some_and(|weights| weights.keeps_fixed_beside()) {
        notes.push("its LoRA files stand beside the compact matrices, which nothing can be merged into".to_owned());
    }
    notes.extend(weights.iter().flat_map(|weights| weights.fixed_remarks()));
    Ok(RoleInspection {
        role,
        state,
        fault: fault.map(|error| error.to_string()),
        files: files.into_iter().map(size).collect(),
        digests,
        tensors: weights.as_ref().map_or(0, |weights| weights.files().names().count()),
        parameters: dtypes.values().map(|share| share.elements).sum(),
        dtypes,
        memory,
        notes,
    })
}

fn tasks(info: &ModelInfo, roles: &[RoleInspection]) -> Vec<Task> {
    let unusable = roles.iter().filter(|role| role.state != State::Usable).map(|role| role.role);
    let missing: Vec<Role> = unusable.collect();
    let text = (!info.needs_image).then_some("text-to-video");
    let image = info.takes_image.then_some("image-to-video");
    text.into_iter().chain(image).map(|task| Task { task, missing: missing.clone() }).collect()
}
