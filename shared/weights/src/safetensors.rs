//! The directory of a safetensors file: where each tensor lies. The header's own rules are checked by the
//! `safetensors` crate; that the file is as long as its header says is checked here, to name the bytes missing.

use safetensors::tensor::Metadata;

use crate::encoding::Encoding;
use crate::entry::Entry;
use crate::error::FileError;
use crate::mapped::MappedFile;

/// Larger headers than any model has are refused unread.
const MAX_HEADER: usize = 100 << 20;

/// Whether the header begins where it must.
pub(crate) fn begins(file: &MappedFile) -> bool {
    file.bytes(8..9).is_ok_and(|byte| byte == b"{")
}

/// Every tensor of the file.
pub(crate) fn entries(file: &MappedFile) -> Result<Vec<(String, Entry)>, FileError> {
    let length = file.bytes(0..8)?;
    let length = length.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let header = usize::try_from(length)
        .ok()
        .filter(|&header| header <= MAX_HEADER)
        .ok_or_else(|| file.corrupt(format!("a header of {length} bytes; this is no safetensors file")))?;
    let data = 8 + header;
    let metadata: Metadata = serde_json::from_slice(file.bytes(8..data)?)
        .map_err(|e| file.corrupt(format!("the safetensors header is invalid: {e}")))?;
    // Metadata has checked that tensors are dense, in order, and sized as dtype and shape say.
    let end = data
        .checked_add(metadata.data_len())
        .ok_or_else(|| file.corrupt("the safetensors header promises more bytes than can be addressed"))?;
    file.bytes(data..end)?;
    if end < file.len() {
        return Err(file.corrupt(format!("{} bytes more than its header says", file.len() - end)));
    }
    let names = metadata.offset_keys();
    let entry = |name: String| {
        let info = metadata.info(&name)?;
        let bytes = data + info.data_offsets.0..data + info.data_offsets.1;
        let entry = Entry::new(Encoding::Plain(info.dtype), info.shape.clone(), bytes);
        Some(
            entry
                .map_err(|why| file.corrupt(format!("{name}, of shape {:?}: {why}", info.shape)))
                .map(|entry| (name, entry)),
        )
    };
    names.into_iter().filter_map(entry).collect()
}
