//! Tensors by name: what travels instead of the bytes.

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::bounds::BadMessage;

/// Element type of a tensor on the wire and on disk; always little endian, row-major, dense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// Brain float.
    Bf16,
    /// Bytes: frames.
    U8,
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> u64 {
        match self {
            DType::F32 => 4,
            DType::Bf16 => 2,
            DType::U8 => 1,
        }
    }
}

/// A tensor's content, named by its digest. Where to read it from is kept beside it, not in it:
/// two refs with one digest are the same tensor wherever they lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorRef {
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<u64>,
}

/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

impl TensorRef {
    /// Checks the form of one that came from outside.
    ///
    /// # Errors
    /// When no tensor has this shape.
    pub fn check(&self) -> Result<(), BadMessage> {
        if self.shape.len() > MAX_RANK || self.byte_len().is_none() {
            return Err(BadMessage::new("tensor shape", format!("is {:?} of {:?}", self.shape, self.dtype)));
        }
        Ok(())
    }

    /// Length in bytes; `None` if the shape overflows, which only a hostile ref does.
    pub fn byte_len(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.dtype.size(), |bytes, &dim| bytes.checked_mul(dim))
    }
}
