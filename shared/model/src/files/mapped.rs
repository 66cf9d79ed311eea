//! A file mapped into memory, read by checked ranges only.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::mistaken::mistaken_weights;
use crate::error::ModelError;

/// A read-only mapping and the path it came from.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

impl MappedFile {
    /// Maps a file of weights, unless it is clearly none.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = File::open(path).map_err(|e| ModelError::io(path, e))?;
        #[expect(
            unsafe_code,
            reason = "a mapping is undefined if the file changes under it; model files are only ever \
            replaced whole, and copying tens of gigabytes instead is not an option"
        )]
        let map = unsafe { Mmap::map(&file) }.map_err(|e| ModelError::io(path, e))?;
        match mistaken_weights(path, &map) {
            Some(mistaken) => Err(mistaken),
            None => Ok(Self { path: path.to_owned(), map }),
        }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it begins with these bytes.
    pub(crate) fn starts_with(&self, magic: &[u8]) -> bool {
        self.map.starts_with(magic)
    }

    /// Its name without the folder.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// A range of it, or the error that it is truncated.
    pub(crate) fn bytes(&self, range: Range<usize>) -> Result<&[u8], ModelError> {
        if range.end > self.len() {
            let (expected, actual) = (range.end as u64, self.len() as u64);
            return Err(ModelError::Truncated { file: self.path.clone(), expected, actual });
        }
        let why = || ModelError::corrupt(&self.path, format!("bytes {range:?} run backwards"));
        self.map.get(range.clone()).ok_or_else(why)
    }

    /// Error: the file contradicts itself.
    pub(crate) fn corrupt(&self, why: impl Into<String>) -> ModelError {
        ModelError::corrupt(&self.path, why)
    }
}
