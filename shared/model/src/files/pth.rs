//! The directory of a `.pth` file.

use super::mapped::MappedFile;
use crate::error::ModelError;
use crate::weights::Entry;

/// Every tensor of the file.
pub(crate) fn entries(file: &MappedFile) -> Result<Vec<(String, Entry)>, ModelError> {
    Err(file.corrupt("not read yet"))
}
