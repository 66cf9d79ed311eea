//! The files of one network in one folder: a single file, or shards with or without an index.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::config::ConfigFile;
use crate::error::ModelError;

/// Finds `{stem}.safetensors`, the shards that `{stem}.safetensors.index.json` names, or `{stem}-00001-of-000NN.safetensors`.
///
/// Empty if there are none at all, which is how a machine looks that holds other parts of the model.
///
/// # Errors
/// Some shards are there and others are not; or the index is damaged.
pub(super) fn find(folder: &Path, stem: &str) -> Result<Vec<PathBuf>, ModelError> {
    let single = folder.join(format!("{stem}.safetensors"));
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    let names = if index.is_file() { indexed(&index)? } else { numbered(folder, stem)? };
    let (there, missing): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| folder.join(name).is_file());
    if !there.is_empty() && !missing.is_empty() {
        let why = format!("{} of its shards are missing: {}; download them", missing.len(), missing.join(", "));
        return Err(ModelError::Incomplete { folder: folder.to_owned(), why });
    }
    Ok(there.into_iter().map(|name| folder.join(name)).collect())
}

/// The shards an index names.
fn indexed(index: &Path) -> Result<BTreeSet<String>, ModelError> {
    let file = ConfigFile::read(index)?;
    let map = file.value("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| file.wrong("there is no weight_map"))?;
    let plain = |name: &str| Path::new(name).file_name().is_some_and(|plain| plain == name);
    let shard = |(tensor, name): (&String, &serde_json::Value)| match name.as_str() {
        Some(name) if plain(name) => Ok(name.to_owned()),
        _ => Err(file.wrong(format!("{tensor} is said to be in {name}, which is not a file name"))),
    };
    map.iter().map(shard).collect()
}

/// All the shards of a numbered set of which at least one is there.
fn numbered(folder: &Path, stem: &str) -> Result<BTreeSet<String>, ModelError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(BTreeSet::new()) };
    for entry in entries {
        let name = entry.map_err(|e| ModelError::io(folder, e))?.file_name();
        let count = || {
            let rest = name.to_str()?.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".safetensors")?;
            let (number, count) = rest.split_once("-of-")?;
            (number.len() == 5 && count.len() == 5).then_some(count.parse::<u32>().ok()?)
        };
        if let Some(count) = count() {
            return Ok((1..=count).map(|i| format!("{stem}-{i:05}-of-{count:05}.safetensors")).collect());
        }
    }
    Ok(BTreeSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(files: Vec<PathBuf>) -> Vec<String> {
        files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn numbered_shards_are_complete_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(dir.path(), "m").unwrap().is_empty());
        assert!(find(&dir.path().join("nowhere"), "m").unwrap().is_empty());
        for name in ["m-00001-of-00003.safetensors", "m-00002-of-00003.safetensors", "other.safetensors"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let message = find(dir.path(), "m").unwrap_err().to_string();
        assert!(message.contains("m-00003-of-00003.safetensors") && !message.contains("00001-of"), "{message}");
        fs::write(dir.path().join("m-00003-of-00003.safetensors"), "").unwrap();
        assert_eq!(find(dir.path(), "m").unwrap().len(), 3);
        fs::write(dir.path().join("m.safetensors"), "").unwrap();
        assert_eq!(names(find(dir.path(), "m").unwrap()), ["m.safetensors"]);
    }

    #[test]
    fn an_index_names_its_shards() {
        let dir = tempfile::tempdir().unwrap();
        let index = dir.path().join("m.safetensors.index.json");
        fs::write(&index, r#"{"weight_map": {"a": "x.safetensors", "b": "y.safetensors", "c": "x.safetensors"}}"#)
            .unwrap();
        assert!(find(dir.path(), "m").unwrap().is_empty());
        fs::write(dir.path().join("y.safetensors"), "").unwrap();
        assert!(find(dir.path(), "m").unwrap_err().to_string().contains("x.safetensors"));
        fs::write(dir.path().join("x.safetensors"), "").unwrap();
        assert_eq!(names(find(dir.path(), "m").unwrap()), ["x.safetensors", "y.safetensors"]);
        fs::write(&index, r#"{"weight_map": {"a": "../x.safetensors"}}"#).unwrap();
        assert!(find(dir.path(), "m").unwrap_err().to_string().contains("not a file name"));
    }
}
