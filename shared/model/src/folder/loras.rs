//! `loras.json` in a model folder: LoRA files that are part of the model, merged into its weights whenever they are
//! loaded.
//!
//! ```json
//! { "loras": [{ "path": "loras/lightning_high.safetensors", "strength": 1.0, "expert": "high" }] }
//! ```
//!
//! A merged matrix is rounded otherwise than one with the same adapters beside it, so whether they are merged is a
//! property of the model and not of a worker: this file and those it names are among the files whose digests tell one
//! model from another. Not here: what is in a LoRA file (`lora`), and the files that single videos name.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, from_value};
use wanfarm_types::{Expert, FixedLora, MAX_STRENGTH, Role};

use crate::error::ModelError;
use crate::lora::{Adapters, Lora};
use wanfarm_weights::ConfigFile;
use wanfarm_weights::FileError;
use wanfarm_weights::Param;

const FILE: &str = "loras.json";
/// Each is added to every matrix.
const MAX_LORAS: usize = 16;

/// The LoRA files that are part of a model.
#[derive(Debug, Clone, Default)]
pub(crate) struct FixedLoras {
    file: Option<PathBuf>,
    folder: PathBuf,
    list: Vec<FixedLora>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    #[serde(default = "one")]
    strength: f64,
    expert: Option<Expert>,
}

fn one() -> f64 {
    1.0
}

impl FixedLoras {
    /// Reads the file of a folder whose transformers have these roles, if it is there.
    pub(super) fn read(folder: &Path, roles: impl Iterator<Item = Role>) -> Result<Self, FileError> {
        let file = ConfigFile::read_if_there(&folder.join(FILE))?;
        let experts: Vec<Expert> = roles.filter_map(Role::expert).collect();
        let Some(entries) = file.value("loras") else {
            if file.is_empty() {
                return Ok(Self::default());
            }
            return Err(file.wrong("there is no list \"loras\" in it"));
        };
        // Objects, which serde alone would also read from lists of their values in their order.
        let entries: Vec<Map<String, Value>> = from_value(entries.clone()).map_err(|e| file.wrong(e.to_string()))?;
        let entries: Vec<Entry> = from_value(entries.into()).map_err(|e| file.wrong(e.to_string()))?;
        if entries.is_empty() || entries.len() > MAX_LORAS {
            return Err(file.wrong(format!("{} LoRA files are not between 1 and {MAX_LORAS}", entries.len())));
        }
        let entry = |Entry { path, strength, expert }: Entry| {
            let wrong = |why: &str| file.wrong(format!("{path:?}: {why}"));
            let inside = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || path.is_empty() {
                return Err(wrong("is no path inside the model folder; put the file there"));
            }
            if !folder.join(&path).is_file() {
                return Err(wrong("is not there"));
            }
            if !strength.is_finite() || strength.abs() > MAX_STRENGTH {
                return Err(wrong(&format!("strength = {strength} is not between -{MAX_STRENGTH} and {MAX_STRENGTH}")));
            }
            if expert.is_some_and(|expert| !experts.contains(&expert)) {
                return Err(wrong("is for an expert that the model does not have"));
            }
            Ok(FixedLora { path, strength, expert })
        };
        let list = entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { file: Some(file.path().to_owned()), folder: folder.to_owned(), list })
    }

    pub(super) fn list(&self) -> &[FixedLora] {
        &self.list
    }

    fn of(&self, expert: Expert) -> impl Iterator<Item = (PathBuf, f64)> {
        let list = self.list.iter().filter(move |lora| lora.expert.is_none_or(|of| of == expert));
        list.map(|lora| (self.folder.join(&lora.path), lora.strength))
    }

    /// The files that decide a role's result.
    pub(super) fn files(&self, role: Role) -> Vec<PathBuf> {
        let Some(expert) = role.expert() else { return Vec::new() };
        self.file.iter().cloned().chain(self.of(expert).map(|(path, _)| path)).collect()
    }

    /// The adapters of an expert with these parameters.
    pub(super) fn adapters(&self, expert: Expert, network: &[Param]) -> Result<Adapters, ModelError> {
        let open = |(path, strength): (PathBuf, f64)| {
            Ok::<_, ModelError>((Arc::new(Lora::open(&path, network, expert)?), strength))
        };
        Ok(Adapters::new(self.of(expert).map(open).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: [Role; 4] = [Role::TextEncoder, Role::DitHigh, Role::DitLow, Role::Vae];

    /// A folder with two LoRA files and this `loras.json`.
    fn read(text: &str) -> (tempfile::TempDir, Result<FixedLoras, String>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("loras")).unwrap();
        for name in ["loras/a.safetensors", "b.safetensors"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let read = FixedLoras::read(folder.path(), MODEL.into_iter()).map_err(|error| error.to_string());
        (folder, read)
    }

    #[test]
    fn each_expert_has_its_own_and_all_decide_its_result() {
        let (folder, loras) = read(
            r#"{"loras": [{"path": "loras/a.safetensors", "expert": "high"}, {"path": "b.safetensors", "strength": -0.5}]}"#,
        );
        let loras = loras.unwrap();
        assert_eq!((loras.list()[0].strength, loras.list()[1].strength), (1.0, -0.5));
        let files = |role| -> Vec<String> {
            let files = loras.files(role).into_iter();
            files.map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(files(Role::DitHigh), ["loras.json", "loras/a.safetensors", "b.safetensors"]);
        assert_eq!(files(Role::DitLow), ["loras.json", "b.safetensors"]);
        assert!(files(Role::Vae).is_empty());
    }

    #[test]
    fn what_cannot_be_part_of_a_model_is_refused_with_the_reason() {
        for (text, says) in [
            (r#"{"lora": []}"#, "no list \"loras\""),
            (r#"{"loras": []}"#, "0 LoRA files"),
            (r#"{"loras": [{"path": "../a.safetensors"}]}"#, "inside the model folder"),
            (r#"{"loras": [{"path": "/etc/passwd"}]}"#, "inside the model folder"),
            (r#"{"loras": [{"path": ""}]}"#, "inside the model folder"),
            (r#"{"loras": [{"path": "c.safetensors"}]}"#, "\"c.safetensors\": is not there"),
            (r#"{"loras": [{"path": "b.safetensors", "strength": 1e9}]}"#, "strength = 1000000000"),
            (r#"{"loras": [{"path": "b.safetensors", "expert": "single"}]}"#, "does not have"),
            (r#"{"loras": [{"path": "b.safetensors", "experts": "high"}]}"#, "unknown field"),
            (r#"{"loras": [["b.safetensors", 1.0, "high"]]}"#, "expected a map"),
        ] {
            let error = read(text).1.unwrap_err();
            assert!(error.contains(FILE) && error.contains(says), "{error}\ndoes not say: {says}");
        }
        assert!(FixedLoras::read(tempfile::tempdir().unwrap().path(), MODEL.into_iter()).unwrap().list().is_empty());
    }
}
