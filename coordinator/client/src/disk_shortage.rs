//! A disk that is too small for a job, as people and programs are told.

use std::fmt;

use indicatif::HumanBytes;
use serde::Serialize;

/// A disk with less room than a job will probably need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskShortage {
    /// The folders that fill it, in words.
    pub place: String,
    /// Bytes that will be needed there, as far as that can be told beforehand.
    pub needs_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Not even one video can be rendered; otherwise files may yet turn out small enough.
    pub certain: bool,
}

impl fmt::Display for DiskShortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, needs_bytes, free_bytes, certain } = self;
        let (needs, free) = (HumanBytes(*needs_bytes), HumanBytes(*free_bytes));
        match certain {
            true => {
                write!(f, "needs {needs} in {place} for the state of a single video, {free} are free; make room there")
            }
            false => {
                write!(f, "needs about {needs} in {place}, {free} are free; the job will pause when they are used up")
            }
        }
    }
}
