//! Files for what reads paths: one folder for a process, in the folder of temporary files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The folder. The processes of a fuzzer end without cleaning up: whoever starts them names a `TMPDIR`, and removes it.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder for temporary files")).path()
}

/// A file of that name in it, with these bytes.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("room for a file");
    path
}

/// An empty folder of that name in it.
pub fn empty(name: &str) -> PathBuf {
    let path = folder().join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("room for a folder");
    path
}
