//! BLAKE3 of model files: which bytes a result came from.

use std::path::{Path, PathBuf};

use blake3::Hasher;
use wanfarm_types::{Digest, ModelFile};

use crate::error::ModelError;

/// Hashes files, one after the other, each on all compute threads; paths in the result are relative to `folder`.
///
/// A large model takes minutes: whoever calls this often remembers the result by path, length and time of change.
///
/// # Errors
/// A file cannot be read.
pub fn digest_files(folder: &Path, files: &[PathBuf]) -> Result<Vec<ModelFile>, ModelError> {
    let digest = |path: &PathBuf| {
        let mut hasher = Hasher::new();
        hasher.update_mmap_rayon(path).map_err(|e| ModelError::io(path, e))?;
        let relative = path.strip_prefix(folder).unwrap_or(path);
        let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        Ok(ModelFile { path: parts.join("/"), blake3: Digest(*hasher.finalize().as_bytes()) })
    };
    files.iter().map(digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_digest_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("vae")).unwrap();
        let path = dir.path().join("vae/a.bin");
        let bytes = vec![7u8; 1 << 20];
        std::fs::write(&path, &bytes).unwrap();
        let files = digest_files(dir.path(), std::slice::from_ref(&path)).unwrap();
        assert_eq!(files[0].path, "vae/a.bin");
        assert_eq!(files[0].blake3.0, *blake3::hash(&bytes).as_bytes());
        let missing = digest_files(dir.path(), &[dir.path().join("b")]).unwrap_err().to_string();
        assert!(missing.contains("/b"), "{missing}");
    }
}
