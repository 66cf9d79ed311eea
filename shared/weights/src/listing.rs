//! What lies in folders of model files. Names that begin with a dot are never models: `.DS_Store`, caches, and the
//! companions `._name` that macOS writes beside every file on volumes of other systems.

use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::error::FileError;

/// Files of weights that are read, by how their names end.
const READ: [&str; 4] = ["safetensors", "sft", "gguf", "pth"];
/// Files that are weights as well, and in no layout of these.
const OTHERS: [&str; 4] = ["pt", "bin", "ckpt", "onnx"];
/// How many folders deep weights lie in folders that are for them: people sort them by model and version.
pub const DEPTH: usize = 3;

/// What a folder holds, in the order of names; nothing if there is no such folder.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).map_err(|e| FileError::io(folder, e))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(|e| FileError::io(folder, e))?;
    paths.retain(|path| !name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

/// The weights in a folder and in the folders in it, so many levels deep.
pub fn weights(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, FileError> {
    let mut files = below(folder, depth)?;
    files.retain(|path| ends(path, &READ) && path.is_file());
    Ok(files)
}

/// Whatever could be weights, also under names that are not read, and links to files that are not there.
pub fn candidates(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut files = below(folder, DEPTH)?;
    files.retain(|path| ends(path, &READ) || ends(path, &OTHERS));
    Ok(files)
}

/// The files in a folder and in the folders in it, so many levels deep.
fn below(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, FileError> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if !path.is_dir() {
            files.push(path);
        } else if depth > 0 {
            files.extend(below(&path, depth - 1)?);
        }
    }
    Ok(files)
}

/// A model's name as all parts of a farm write it: NFC.
pub fn model_name(name: &str) -> String {
    name.nfc().collect()
}

/// A path's last name.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Paths as seen from a folder, for messages.
pub fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string()).collect()
}

fn ends(path: &Path, known: &[&str]) -> bool {
    path.extension().is_some_and(|end| known.iter().any(|known| end.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn weights_are_found_below_and_what_the_system_wrote_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, file) in [
            ("", "b.GGUF"),
            ("", "._b.GGUF"),
            ("", ".DS_Store"),
            ("", "notes.txt"),
            ("WanVideo/2_2", "a.safetensors"),
            ("WanVideo/2_2", "._a.safetensors"),
            (".cache", "c.safetensors"),
            ("old", "d.bin"),
        ] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join(file), "x").unwrap();
        }
        let shown = |paths: Vec<PathBuf>| names(dir.path(), &paths);
        assert_eq!(shown(weights(dir.path(), DEPTH).unwrap()), ["WanVideo/2_2/a.safetensors", "b.GGUF"]);
        assert_eq!(shown(candidates(dir.path()).unwrap()), ["WanVideo/2_2/a.safetensors", "b.GGUF", "old/d.bin"]);
        assert_eq!(shown(weights(dir.path(), 1).unwrap()), ["b.GGUF"]);
        assert!(entries(&dir.path().join("nowhere")).unwrap().is_empty());
    }
}
