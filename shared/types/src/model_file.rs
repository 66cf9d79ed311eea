//! A file of a model, by what is in it.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// One file whose bytes decide the result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelFile {
    /// Path relative to the model folder, with `/`.
    pub path: String,
    /// BLAKE3 of the file.
    pub blake3: Digest,
}
