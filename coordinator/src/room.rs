//! How much room a disk has.

use std::io;
use std::path::Path;

use crate::copies::RESERVE;

/// Bytes that may still be written beside or below `path`; `None` where the system does not tell.
#[cfg(unix)]
pub fn free(path: &Path) -> Option<u64> {
    // What does not exist yet will lie on the disk of the nearest folder that does.
    let existing = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Bytes that may still be written beside or below `path`; `None` where the system does not tell.
#[cfg(not(unix))]
pub fn free(_: &Path) -> Option<u64> {
    None
}

/// True when an error, or one that it stands for, says that a disk or a quota is full.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    })
}

/// Whether a file of so many bytes that somebody brings may be written here: what comes from outside must leave the room
/// that the database needs.
///
/// # Errors
/// That there is no room.
pub fn check(path: &Path, bytes: u64) -> Result<(), String> {
    match free(path) {
        Some(free) if free < bytes.saturating_add(RESERVE) => {
            Err(format!("no room for a file of {bytes} bytes in {}", path.display()))
        }
        _ => Ok(()),
    }
}
