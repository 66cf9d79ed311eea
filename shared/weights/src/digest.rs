//! BLAKE3 of model files: which bytes a result came from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use blake3::Hasher;
use wanfarm_types::{Digest, ModelFile};

use crate::error::FileError;

/// Bytes that are read while as many are hashed: enough for all compute threads, few enough for any cache.
const CHUNK_BYTES: usize = 8 << 20;

/// Hashes files, one after the other, each on all compute threads; paths in the result are relative to `folder`.
///
/// A large model takes minutes: callers cache the result by path, length and modification time.
///
/// # Errors
/// A file cannot be read.
pub fn digest_files(folder: &Path, files: &[PathBuf]) -> Result<Vec<ModelFile>, FileError> {
    let digest = |path: &PathBuf| {
        let blake3 = File::open(path).and_then(digest).map_err(|e| FileError::io(path, e))?;
        let relative = path.strip_prefix(folder).unwrap_or(path);
        let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        Ok(ModelFile { path: parts.join("/"), blake3 })
    };
    files.iter().map(digest).collect()
}

/// Read, not mapped: a mapped file that is truncated meanwhile kills the process on access beyond its end.
fn digest(mut file: impl Read + Send) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    thread::scope(|scope| {
        let ((full, chunks), (back, empty)) = (mpsc::channel::<Vec<u8>>(), mpsc::channel());
        for _ in 0..2 {
            let _ = back.send(Vec::with_capacity(CHUNK_BYTES));
        }
        let reader = scope.spawn(move || -> io::Result<()> {
            for mut chunk in empty {
                if file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? == 0 || full.send(chunk).is_err() {
                    break;
                }
            }
            Ok(())
        });
        for mut chunk in chunks {
            hasher.update_rayon(&chunk);
            chunk.clear();
            // A reader that is at the end wants none.
            let _ = back.send(chunk);
        }
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(Digest(*hasher.finalize().as_bytes()))
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

    #[test]
    fn every_length_is_read_to_its_end() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            assert_eq!(digest(&bytes[..]).unwrap().0, *blake3::hash(&bytes).as_bytes(), "{length}");
        }
    }

    /// Gives one chunk and a half, and what `then` gives.
    struct Cut<F>(usize, F);

    impl<F: FnMut() -> io::Result<usize>> Read for Cut<F> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let given = self.0.min(buffer.len());
            self.0 -= given;
            if given == 0 { (self.1)() } else { Ok(given) }
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_lost_meanwhile_ends_no_process() {
        let length = CHUNK_BYTES + CHUNK_BYTES / 2;
        let lost = digest(Cut(length, || Err(io::ErrorKind::StaleNetworkFileHandle.into())));
        assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::StaleNetworkFileHandle);
        let cut = digest(Cut(length, || Ok(0))).unwrap();
        assert_eq!(cut.0, *blake3::hash(&vec![0; length]).as_bytes(), "a cache of digests compares length and time");
    }
}
