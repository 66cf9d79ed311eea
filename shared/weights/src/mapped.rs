//! A file mapped into memory, read by checked ranges only.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use crate::error::FileError;
use crate::gone::Watched;
use crate::mistaken::mistaken_weights;

/// A read-only mapping and the path it came from.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    // Before the map, for it is dropped first.
    _watched: Watched,
    map: Mmap,
}

impl MappedFile {
    /// Maps a file of weights, unless it is clearly none.
    ///
    /// # Errors
    /// It cannot be opened, or is a text, a web page or a pointer of Git LFS.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|e| FileError::io(path, e))?;
        #[expect(
            unsafe_code,
            reason = "a mapping is undefined if the file changes under it; model files are only ever \
            replaced whole, and copying tens of gigabytes instead is not an option"
        )]
        let map = unsafe { Mmap::map(&file) }.map_err(|e| FileError::io(path, e))?;
        match mistaken_weights(path, &map) {
            Some(mistaken) => Err(mistaken),
            None => Ok(Self { path: path.to_owned(), _watched: Watched::new(path, &map), map }),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it begins with these bytes.
    pub fn starts_with(&self, magic: &[u8]) -> bool {
        self.map.starts_with(magic)
    }

    /// Its name without the folder.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// A range of it, or the error that it is truncated.
    ///
    /// # Errors
    /// The file ends before the range does.
    pub fn bytes(&self, range: Range<usize>) -> Result<&[u8], FileError> {
        if range.end > self.len() {
            let (expected, actual) = (range.end as u64, self.len() as u64);
            return Err(FileError::Truncated { file: self.path.clone(), expected, actual });
        }
        let why = || FileError::corrupt(&self.path, format!("bytes {range:?} run backwards"));
        self.map.get(range.clone()).ok_or_else(why)
    }

    /// Error: the file contradicts itself.
    pub fn corrupt(&self, why: impl Into<String>) -> FileError {
        FileError::corrupt(&self.path, why)
    }
}

/// A range of a mapped file, which stays mapped as long as it is needed.
#[derive(Debug, Clone)]
pub struct Piece {
    file: Arc<MappedFile>,
    range: Range<usize>,
}

impl Piece {
    /// A range that a reader has found in the file's directory.
    pub fn new(file: Arc<MappedFile>, range: Range<usize>) -> Self {
        Self { file, range }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// The file ends before it does.
    pub fn bytes(&self) -> Result<&[u8], FileError> {
        self.file.bytes(self.range.clone())
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}
