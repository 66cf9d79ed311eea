//! What a model folder is, from the headers of its files; no weights are read.
//!
//! Not here: opening the folder (`files`) and loading networks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wanfarm_types::{ModelCard, Role};

use crate::error::ModelError;
use crate::files::{self, ModelFolder};
use crate::{dit, umt5, vae};

/// A model folder in figures.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The folder.
    pub path: PathBuf,
    /// What it was recognised as.
    pub model: ModelCard,
    /// Each role the model has.
    pub roles: Vec<RoleInspection>,
}

/// One role's files in figures.
#[derive(Debug, Serialize)]
pub struct RoleInspection {
    /// Which role.
    pub role: Role,
    /// Files whose bytes decide its result, with their sizes.
    pub files: Vec<(PathBuf, u64)>,
    /// Numbers in its tensors.
    pub parameters: u64,
    /// Bytes of its tensors by element type.
    pub bytes: BTreeMap<String, u64>,
    /// Why it cannot be used; absent when it can.
    pub fault: Option<String>,
}

/// Compares the tensors of these roles with what the networks need.
///
/// # Errors
/// The first role whose files are missing, damaged or of another shape; all faults of that role at once.
pub fn check(folder: &ModelFolder, roles: &[Role]) -> Result<(), ModelError> {
    roles.iter().try_for_each(|&role| check_role(folder, role))
}

fn check_role(folder: &ModelFolder, role: Role) -> Result<(), ModelError> {
    let weights = folder.weights(role)?;
    let parameters = match role {
        Role::TextEncoder => {
            let tokenizer = folder.tokenizer();
            if !tokenizer.is_file() {
                let why = format!("there is no {}, which the text encoder needs", tokenizer.display());
                return Err(ModelError::Incomplete { folder: folder.path().to_owned(), why });
            }
            umt5::Config::from_weights(&weights)?.parameters()
        }
        Role::DitHigh | Role::DitLow | Role::Dit => dit::parameters(&folder.dit_config(role, &weights)?),
        Role::Vae => vae::parameters(&folder.vae_config(&weights)?),
    };
    weights.check(&parameters)
}

/// Says what a folder is.
///
/// # Errors
/// It is no model folder. Faults of single roles are part of the answer.
pub fn inspect(path: &Path) -> Result<Inspection, ModelError> {
    let folder = files::open(path)?;
    let roles = folder.card().roles().into_iter().map(|role| inspect_role(&folder, role)).collect();
    Ok(Inspection { path: path.to_owned(), model: folder.card().clone(), roles })
}

fn inspect_role(folder: &ModelFolder, role: Role) -> RoleInspection {
    let size = |path: PathBuf| {
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        (path, bytes)
    };
    let dtypes = folder.weights(role).map(|weights| weights.dtypes()).unwrap_or_default();
    RoleInspection {
        role,
        files: folder.files(role).into_iter().map(size).collect(),
        parameters: dtypes.values().map(|(elements, _)| elements).sum(),
        bytes: dtypes.into_iter().map(|(dtype, (_, bytes))| (dtype, bytes)).collect(),
        fault: check_role(folder, role).err().map(|error| error.to_string()),
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, model, roles } = self;
        let defaults = &model.defaults;
        writeln!(f, "{}: {} ({}, VAE {:?})", path.display(), model.name, model.preset, model.vae)?;
        writeln!(
            f,
            "  {}x{}, {} frames at {} fps, {} steps, shift {}, guidance high {} low {}",
            defaults.width,
            defaults.height,
            defaults.frames,
            defaults.fps,
            defaults.steps,
            defaults.shift,
            defaults.guidance.high,
            defaults.guidance.low
        )?;
        for role in roles {
            let bytes: u64 = role.bytes.values().sum();
            let dtypes: Vec<&str> = role.bytes.keys().map(String::as_str).collect();
            let (millions, mebibytes) = (role.parameters as f64 / 1e6, bytes as f64 / (1 << 20) as f64);
            let name = role.role.name();
            writeln!(f, "  {name:<13} {millions:>9.2} M parameters {mebibytes:>9.1} MiB {}", dtypes.join(", "))?;
            for (file, _) in &role.files {
                writeln!(f, "                {}", file.strip_prefix(path).unwrap_or(file).display())?;
            }
            if let Some(fault) = &role.fault {
                writeln!(f, "                cannot be used: {fault}")?;
            }
        }
        let unusable: Vec<&str> =
            roles.iter().filter(|role| role.fault.is_some()).map(|role| role.role.name()).collect();
        match unusable.as_slice() {
            [] => writeln!(f, "  complete: every role can be served from here"),
            roles => writeln!(f, "  incomplete: {} cannot be served from here", roles.join(", ")),
        }
    }
}
