//! What one file is told from another by: an open file keeps it when it is moved, and what takes its place has another.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// The device and the number on it; elsewhere than on Unix nothing, and an open file cannot be moved there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(#[cfg(unix)] (u64, u64));

impl FileId {
    /// Of whatever lies at a path.
    ///
    /// # Errors
    /// When nothing does, or it cannot be looked at.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|file| Self::of(&file))
    }

    /// Of an open file.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn of_open(file: &File) -> io::Result<Self> {
        file.metadata().map(|file| Self::of(&file))
    }

    #[cfg(unix)]
    fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self((file.dev(), file.ino()))
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self()
    }
}
