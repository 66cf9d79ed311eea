//! Digests of model files, remembered in the data folder by path, length, and what changes with every write: hashing
//! tens of gigabytes at every start would take minutes. What cannot be remembered is computed again; nothing here is
//! needed to be right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use tracing::warn;
use wanfarm_model::folder::ModelFolder;
use wanfarm_types::{Digest, ModelFile, Role};
use wanfarm_weights::{FileError, digest_files};

/// The digests, and where they are kept.
#[derive(Debug)]
pub(crate) struct KnownDigests {
    store: PathBuf,
    known: BTreeMap<PathBuf, Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    state: FileState,
    blake3: Digest,
}

/// What differs after a file was written to, or another was put in its place. A copy may keep the time of
/// modification, but not that of the change. The device's number is not among it: it changes with the order of mounting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FileState {
    length: u64,
    /// Nanoseconds since 1970.
    modified: u64,
    /// Of content, name or rights, by the system's clock, in nanoseconds since 1970.
    changed: i128,
    inode: u64,
}

impl FileState {
    fn of(metadata: &fs::Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            (i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec()), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = (0, 0);
        let modified = modified.map_or(0, |since| since.as_nanos() as u64);
        Self { length: metadata.len(), modified, changed, inode }
    }
}

/// A file as it was before its bytes were read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Absolute.
    path: PathBuf,
    state: FileState,
}

impl Seen {
    /// As it is now.
    pub(crate) fn of(path: &Path) -> Result<Self, FileError> {
        let io = |source| FileError::io(path, source);
        let state = FileState::of(&fs::metadata(path).map_err(io)?);
        Ok(Self { path: std::path::absolute(path).map_err(io)?, state })
    }
}

/// The files behind a role of a model with their digests, as the worker of this data folder will find them: what it does
/// not know is hashed, and remembered for it.
///
/// # Errors
/// A file cannot be read.
pub fn role_files(model: &ModelFolder, role: Role, data: &Path) -> Result<Vec<ModelFile>, FileError> {
    // A folder that cannot be made is one where nothing is remembered.
    let _ = wanfarm_durable::private_folder(data);
    KnownDigests::load(data).of(model.path(), &model.files(role))
}

/// The digest of a file's bytes, all of which are read.
pub(crate) fn hash(path: &Path) -> Result<Digest, FileError> {
    let file = digest_files(path.parent().unwrap_or(path), &[path.to_owned()])?.pop();
    file.map(|file| file.blake3).ok_or_else(|| FileError::corrupt(path, "it has no digest"))
}

impl KnownDigests {
    /// Those of model files.
    pub(crate) fn load(data: &Path) -> Self {
        Self::read(data.join("digests.json"))
    }

    /// Those of LoRA files.
    pub(crate) fn of_loras(data: &Path) -> Self {
        Self::read(data.join("lora-digests.json"))
    }

    fn read(store: PathBuf) -> Self {
        let known = fs::read(&store).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { store, known }
    }

    /// The digests of a model's files, with their paths relative to its folder.
    pub(crate) fn of(&mut self, folder: &Path, files: &[PathBuf]) -> Result<Vec<ModelFile>, FileError> {
        files.iter().map(|file| self.digest(folder, file)).collect()
    }

    fn digest(&mut self, folder: &Path, path: &Path) -> Result<ModelFile, FileError> {
        let seen = Seen::of(path)?;
        let blake3 = match self.known(&seen) {
            Some(blake3) => blake3,
            None => {
                let blake3 = hash(path)?;
                self.learn(seen, blake3);
                blake3
            }
        };
        let relative = path.strip_prefix(folder).unwrap_or(path);
        let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        Ok(ModelFile { path: parts.join("/"), blake3 })
    }

    /// The digest of a file that has not changed since it was hashed.
    pub(crate) fn known(&self, seen: &Seen) -> Option<Digest> {
        self.known.get(&seen.path).filter(|entry| entry.state == seen.state).map(|entry| entry.blake3)
    }

    /// Remembers the digest of a file that was hashed after it was seen: if it changed meanwhile, it is hashed again
    /// next time.
    pub(crate) fn learn(&mut self, seen: Seen, blake3: Digest) {
        let Seen { path, state } = seen;
        self.known.insert(path, Entry { state, blake3 });
        self.save();
    }

    fn save(&self) {
        let saved = serde_json::to_vec_pretty(&self.known)
            .map_err(std::io::Error::other)
            .and_then(|bytes| wanfarm_durable::write(&self.store, &self.store.with_extension("new"), &bytes));
        if let Err(error) = saved {
            warn!("{}: {error}; file digests will be computed again", self.store.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_again_when_it_changed_also_if_its_time_is_kept() {
        let (data, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("vae")).unwrap();
        let path = folder.path().join("vae/a.bin");
        fs::write(&path, b"one").unwrap();
        let digest = |expected: &[u8]| {
            let mut digests = KnownDigests::load(data.path());
            let files = digests.of(folder.path(), std::slice::from_ref(&path)).unwrap();
            assert_eq!(files[0].path, "vae/a.bin");
            assert_eq!(files[0].blake3.0, *blake3::hash(expected).as_bytes());
        };
        digest(b"one");
        // Another digest is believed for the same file, which shows that it was not read.
        let mut known = KnownDigests::load(data.path());
        known.known.values_mut().for_each(|entry| entry.blake3.0 = *blake3::hash(b"believed").as_bytes());
        known.save();
        digest(b"believed");
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let keep_time = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        // Written to in place.
        fs::write(&path, b"two").unwrap();
        keep_time(&path);
        digest(b"two");
        // Replaced by another file.
        let other = folder.path().join("vae/b.bin");
        fs::write(&other, b"six").unwrap();
        keep_time(&other);
        fs::rename(&other, &path).unwrap();
        digest(b"six");
    }

    #[test]
    fn a_damaged_store_is_started_anew() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("model.bin");
        fs::write(&path, b"weights").unwrap();
        fs::write(data.path().join("digests.json"), b"{\"half").unwrap();
        let files = KnownDigests::load(data.path()).of(data.path(), &[path]).unwrap();
        assert_eq!(files[0].blake3.0, *blake3::hash(b"weights").as_bytes());
        assert_eq!(KnownDigests::load(data.path()).known.len(), 1);
    }
}
