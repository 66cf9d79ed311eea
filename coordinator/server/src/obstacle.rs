//! Why files cannot be written though nothing is wrong with them: the writer waits until the obstacle is gone.

use std::fmt;
use std::path::PathBuf;

/// Shown as what a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A disk or a quota is full.
    Full {
        /// The folder that was written to.
        path: PathBuf,
        /// How many bytes of room there have to be before another try.
        bytes: u64,
    },
    /// The volume that the output folder was on is not there; what is there now is the disk below its mount point.
    NotMounted {
        /// The output folder.
        folder: PathBuf,
        /// Where its volume was mounted.
        volume: PathBuf,
    },
    /// The output folder takes no files: no permission, read-only, a stale handle, a broken disk.
    Refused {
        /// The output folder.
        folder: PathBuf,
        /// The operation, and the system's error.
        why: String,
    },
    /// The output folder does not answer.
    Silent {
        /// The output folder.
        folder: PathBuf,
        /// For how many seconds at least.
        seconds: u64,
    },
    /// This process may open no more files.
    NoDescriptors,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { path, .. } => write!(f, "room on the disk of {}, which is full", path.display()),
            Self::NotMounted { folder, volume } => {
                write!(f, "the volume {}, which is not mounted: {} lay on it", volume.display(), folder.display())
            }
            Self::Refused { folder, why } => write!(f, "{}, which takes no files: {why}", folder.display()),
            Self::Silent { folder, seconds } => {
                write!(f, "{}, which does not answer: writing there has taken more than {seconds} s", folder.display())
            }
            Self::NoDescriptors => {
                f.write_str("a free file descriptor: this process has as many files and connections open as it may")
            }
        }
    }
}
