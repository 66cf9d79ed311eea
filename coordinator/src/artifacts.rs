//! Durable copies of tensors: a directory of files named by their BLAKE3 digest.
//!
//! A file appears under its final name only when its bytes are on disk, so whatever is found is whole.
//! Deliberately not here: what a tensor means, and when it may be forgotten.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wanfarm_proto::tensors::TensorSource;
use wanfarm_types::Digest;

/// A content-addressed directory: `root/ab/abcdef…`.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: PathBuf,
}

/// An artifact could not be stored, read or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} artifact {}: {source}{}", path.display(), hint(source))]
pub struct ArtifactError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (free space on this volume; nothing was lost)",
        io::ErrorKind::PermissionDenied => " (the data directory must be writable)",
        _ => "",
    }
}

impl ArtifactError {
    /// True when the volume is full: waiting and trying again makes sense.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl Artifacts {
    /// Opens the directory, making it if needed, and clears what an interrupted write left.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn open(root: &Path) -> Result<Self, ArtifactError> {
        let fail = |verb, path: &Path| {
            let path = path.to_owned();
            move |source| ArtifactError { verb, path, source }
        };
        fs::create_dir_all(root).map_err(fail("make the directory of", root))?;
        for shelf in fs::read_dir(root).map_err(fail("list", root))?.flatten() {
            for entry in fs::read_dir(shelf.path()).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with('.') {
                    fs::remove_file(entry.path()).map_err(fail("clear", &entry.path()))?;
                }
            }
        }
        Ok(Self { root: root.to_owned() })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(name)
    }

    /// True when the tensor is here, whole.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Stores bytes whose digest the caller has checked; on return they survive a power cut. Blocks.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left behind.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        if path.is_file() {
            return Ok(());
        }
        let shelf = path.parent().unwrap_or(&self.root);
        let staged = shelf.join(format!(".{digest}"));
        let write = || -> io::Result<()> {
            let new_shelf = !shelf.is_dir();
            fs::create_dir_all(shelf)?;
            let mut file = File::create(&staged)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&staged, &path)?;
            // The name must be as durable as the bytes.
            sync_directory(shelf)?;
            if new_shelf { sync_directory(&self.root) } else { Ok(()) }
        };
        write().map_err(|source| {
            // Best effort: a leftover is cleared at the next start.
            let _ = fs::remove_file(&staged);
            ArtifactError { verb: "store", path, source }
        })
    }

    /// Reads a tensor's bytes; `None` when it is not here. Blocks.
    pub fn get(&self, digest: &Digest) -> Option<Bytes> {
        fs::read(self.path(digest)).ok().map(Bytes::from)
    }

    /// Forgets a tensor; one that is not here is no error.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ArtifactError { verb: "remove", path, source })
            }
            _ => Ok(()),
        }
    }
}

impl TensorSource for Artifacts {
    fn tensor(&self, digest: &Digest) -> Option<Bytes> {
        self.get(digest)
    }
}

/// Makes a directory's entries survive a power cut.
///
/// # Errors
/// When the directory cannot be opened or synchronised.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    #[test]
    fn what_is_put_is_got_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let bytes = b"latents".as_slice();
        let name = digest(bytes);
        assert!(artifacts.get(&name).is_none());
        artifacts.put(&name, bytes).unwrap();
        artifacts.put(&name, bytes).unwrap();
        assert_eq!(artifacts.get(&name).as_deref(), Some(bytes));
        artifacts.remove(&name).unwrap();
        artifacts.remove(&name).unwrap();
        assert!(!artifacts.contains(&name));
    }

    #[test]
    fn an_interrupted_write_is_cleared_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let name = digest(b"x");
        artifacts.put(&name, b"x").unwrap();
        let half = artifacts.path(&name).with_file_name(".half");
        fs::write(&half, b"ha").unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        assert!(!half.exists());
        assert!(artifacts.contains(&name));
    }

    #[test]
    fn a_refused_write_names_the_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let name = digest(b"y");
        let shelf = artifacts.path(&name).parent().unwrap().to_owned();
        fs::write(&shelf, b"a file where a directory must be").unwrap();
        let error = artifacts.put(&name, b"y").unwrap_err();
        assert!(error.to_string().contains(&name.to_string()), "{error}");
    }
}
