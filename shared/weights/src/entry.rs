//! Where a tensor lies in its file.

use std::ops::Range;

use crate::encoding::Encoding;

/// More dimensions than any tensor has.
pub(crate) const MAX_RANK: usize = 8;

/// A tensor in its file: row-major, dense, little endian.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How its numbers are stored.
    pub encoding: Encoding,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Bytes in the file; readers have checked that they exist and are as many as encoding and shape say.
    pub bytes: Range<usize>,
}

impl Entry {
    /// A tensor of a shape that can be computed with.
    ///
    /// # Errors
    /// Why it cannot: too many dimensions, or strides that cannot be counted, which a tensor without numbers may have.
    pub fn new(encoding: Encoding, shape: Vec<usize>, bytes: Range<usize>) -> Result<Self, String> {
        if shape.len() > MAX_RANK {
            return Err(format!("it has {} dimensions", shape.len()));
        }
        let volume = shape.iter().try_fold(1usize, |volume, &dim| volume.checked_mul(dim.max(1)));
        volume.map(|_| Self { encoding, shape, bytes }).ok_or_else(|| "it is too large".to_owned())
    }
}

/// A tensor, where it is, and what it is called there.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) file: usize,
    pub(crate) name: String,
    pub(crate) entry: Entry,
}
