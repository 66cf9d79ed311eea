//! Creating a file, filling it, and not returning before it is on the disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::MediaError;

/// Creates or replaces `path`, lets `body` fill it, and syncs it to the disk. Returns what `body` does.
pub(crate) fn write_file<T>(
    path: &Path,
    body: impl FnOnce(&mut BufWriter<File>) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    let io = |error| MediaError::io(path, error);
    let mut writer = BufWriter::with_capacity(1 << 18, File::create(path).map_err(io)?);
    let told = body(&mut writer)?;
    writer.flush().map_err(io)?;
    wanfarm_durable::sync(writer.get_ref(), path).map_err(io)?;
    Ok(told)
}
