//! What a model folder holds and whether it is sound, for a person or a script. Reads headers only.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wanfarm_types::{Experts, ModelCard, Role, VaeKind};

use super::folder::{ModelFolder, open};
use crate::error::ModelError;

/// A model folder, described.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where it is.
    pub folder: PathBuf,
    /// What others need to know of the model.
    pub card: ModelCard,
    /// Its roles, in the order of a render.
    pub roles: Vec<RoleReport>,
}

/// The files of one role.
#[derive(Debug, Clone, Serialize)]
pub struct RoleReport {
    /// The role.
    pub role: Role,
    /// Whether its network can be loaded.
    pub state: State,
    /// Its files and their lengths in bytes.
    pub files: Vec<(PathBuf, u64)>,
    /// Parameters by element type.
    pub parameters: BTreeMap<String, u64>,
}

/// Whether a role's network can be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum State {
    /// Every tensor is there, with the right shape.
    Sound,
    /// Its files are not on this machine, which may serve other roles.
    Absent,
    /// Its files cannot be used.
    Faulty(String),
}

/// Describes the model in a folder; a role that is faulty is described as such.
///
/// # Errors
/// There is no model, or nothing tells which one it is.
pub fn inspect(folder: &Path) -> Result<Report, ModelError> {
    let model = open(folder)?;
    let roles = model.card().roles().into_iter().map(|role| role_report(&model, role)).collect();
    Ok(Report { folder: folder.to_owned(), card: model.card().clone(), roles })
}

fn role_report(model: &ModelFolder, role: Role) -> RoleReport {
    let length = |path: PathBuf| {
        let length = std::fs::metadata(&path).map_or(0, |data| data.len());
        (path, length)
    };
    let files: Vec<_> = model.files(role).into_iter().map(length).collect();
    if files.is_empty() {
        return RoleReport { role, state: State::Absent, files, parameters: BTreeMap::new() };
    }
    match model.check(role) {
        Ok(weights) => RoleReport { role, state: State::Sound, files, parameters: weights.parameters_by_dtype() },
        Err(e) => RoleReport { role, state: State::Faulty(e.to_string()), files, parameters: BTreeMap::new() },
    }
}

impl Report {
    /// Whether nothing that is here is faulty.
    pub fn is_sound(&self) -> bool {
        self.roles.iter().all(|role| !matches!(role.state, State::Faulty(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModelCard { name, preset, experts, vae, defaults, takes_image, needs_image, .. } = &self.card;
        let experts = match experts {
            Experts::Single => "one transformer".to_owned(),
            Experts::Dual { boundary } => format!("two experts, boundary {boundary}"),
        };
        let vae = match vae {
            VaeKind::Wan21 => "VAE 2.1",
            VaeKind::Wan22 => "VAE 2.2",
        };
        let image = match (takes_image, needs_image) {
            (_, true) => "needs a first frame",
            (true, false) => "takes a first frame",
            (false, false) => "text only",
        };
        writeln!(f, "{name}: {preset}, {experts}, {vae}, {image}")?;
        writeln!(
            f,
            "  defaults: {}x{}, {} frames at {} fps, {} steps, shift {}, {}, guidance {} (high) {} (low)",
            defaults.width,
            defaults.height,
            defaults.frames,
            defaults.fps,
            defaults.steps,
            defaults.shift,
            defaults.solver.name(),
            defaults.guidance.high,
            defaults.guidance.low,
        )?;
        self.roles.iter().try_for_each(|role| role.fmt_in(f, &self.folder))
    }
}

impl RoleReport {
    fn fmt_in(&self, f: &mut fmt::Formatter<'_>, folder: &Path) -> fmt::Result {
        let parameters: Vec<_> =
            self.parameters.iter().map(|(dtype, n)| format!("{n} parameters in {dtype}")).collect();
        match &self.state {
            State::Sound => writeln!(f, "  {}: sound, {}", self.role, parameters.join(", "))?,
            State::Absent => writeln!(f, "  {}: not on this machine", self.role)?,
            State::Faulty(why) => writeln!(f, "  {}: FAULTY: {why}", self.role)?,
        }
        for (path, bytes) in &self.files {
            writeln!(f, "    {} ({bytes} bytes)", path.strip_prefix(folder).unwrap_or(path).display())?;
        }
        Ok(())
    }
}
