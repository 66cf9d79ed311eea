//! What can go wrong between frames and files, with the file's name in every message.

use std::io;
use std::path::{Path, PathBuf};

use wanfarm_image::ImageError;
use wanfarm_types::FormatError;

/// A file that could not be written or read, or frames that cannot become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The bytes are not a clip of the stated shape.
    #[error(
        "a clip of {frames} frames of {width}x{height} RGB has not {got} bytes; every dimension must be at least 1"
    )]
    Shape {
        /// Frames stated.
        frames: usize,
        /// Height stated, in pixels.
        height: usize,
        /// Width stated, in pixels.
        width: usize,
        /// Bytes at hand.
        got: usize,
    },
    /// The format has no room for this size.
    #[error("{path}: {source}")]
    Size {
        /// The file asked for.
        path: PathBuf,
        /// The rule it breaks.
        source: FormatError,
    },
    /// No room for the file.
    #[error("{path}: the disk or quota is full; free some space and retry ({source})")]
    DiskFull {
        /// The file being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be written for another reason.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The video encoder refused a frame.
    #[error("{path}: the H.264 encoder failed at frame {frame}: {why}")]
    Encode {
        /// The file being written.
        path: PathBuf,
        /// Which frame, from 0.
        frame: usize,
        /// What the encoder said.
        why: String,
    },
    /// A picture that cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A video that cannot be read back.
    #[error("cannot read {path}: {why}")]
    Clip {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two clips that cannot be compared frame by frame.
    #[error("clips of {left:?} and {right:?} (frames, height, width) cannot be compared")]
    Unequal {
        /// Frames, height, width.
        left: [usize; 3],
        /// Frames, height, width.
        right: [usize; 3],
    },
}

impl MediaError {
    /// An error of the file system, told apart by whether space would cure it.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            _ => Self::Write { path, source },
        }
    }

    /// A clip that cannot be read.
    pub(crate) fn clip(path: &Path, why: impl ToString) -> Self {
        Self::Clip { path: path.to_owned(), why: why.to_string() }
    }

    /// True when the same call may succeed later without a change of input: the disk was full or the system failed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Write { .. })
    }
}
