//! The data directory: made if needed, held by one coordinator at a time, on a disk of this machine.
//!
//! Locks and memory maps do not hold across machines, so a directory on a network share is refused rather than
//! corrupted some night.

#![expect(clippy::disallowed_methods, reason = "runs before the loop starts")]

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A data directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

/// A data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The directory cannot be made or opened.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Unusable {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another coordinator holds it.
    #[error("another coordinator is using the data directory {}; stop it, or give this one its own with --data", .0.display())]
    InUse(PathBuf),
    /// The directory is on a network file system.
    #[error(
        "the data directory {} lies on a network file system ({kind}), where the database would be damaged sooner or \
         later; name a directory on a disk of this machine with --data",
        path.display()
    )]
    Network {
        /// The path.
        path: PathBuf,
        /// The file system.
        kind: String,
    },
    /// What is written there may be gone after a power cut.
    #[error(
        "the volume of the data directory {} has no way to make files durable ({source}), so a power cut could take \
         the whole queue; name a directory on a disk of this machine with --data",
        path.display()
    )]
    Fleeting {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl DataDirectory {
    /// Makes and takes the directory.
    ///
    /// # Errors
    /// When it cannot be made, lies on a network share or on a volume that keeps nothing, or belongs to another
    /// coordinator.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let fail = |source| DirectoryError::Unusable { path: path.to_owned(), source };
        wanfarm_durable::private_folder(path).map_err(fail)?;
        if let Some(kind) = network_file_system(path).map_err(fail)? {
            return Err(DirectoryError::Network { path: path.to_owned(), kind });
        }
        if let Some(source) = wanfarm_durable::refusal(path) {
            return Err(DirectoryError::Fleeting { path: path.to_owned(), source });
        }
        let lock = File::create(path.join("coordinator.lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the farm's authority lies.
    pub fn authority(&self) -> PathBuf {
        self.path.join("authority")
    }

    /// Where models lie that the coordinator hands on.
    pub fn models(&self) -> PathBuf {
        self.path.join("models")
    }

    /// Where the durable copies of unfinished work lie.
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }
}

/// The name of the network file system that a path lies on; `None` for a local one, and where it cannot be told.
#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> io::Result<Option<String>> {
    // `f_type` is of another width on every architecture; the numbers themselves are all below 2³².
    Ok(network_name(rustix::fs::statfs(path)?.f_type as u32).map(str::to_owned))
}

/// The numbers of `statfs(2)` and of the kernel's `magic.h`. FUSE is left out: it stands for local disks as well.
#[cfg(target_os = "linux")]
fn network_name(kind: u32) -> Option<&'static str> {
    match kind {
        0x6969 => Some("NFS"),
        0x517b | 0xfe53_4d42 => Some("SMB"),
        0xff53_4d42 => Some("CIFS"),
        0x0102_1997 => Some("9P"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x00c3_6400 => Some("Ceph"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x4750_4653 => Some("GPFS"),
        0x7375_7245 => Some("Coda"),
        0x564c => Some("NCP"),
        _ => None,
    }
}

#[cfg(target_os = "macos")]
fn network_file_system(path: &Path) -> io::Result<Option<String>> {
    /// `MNT_LOCAL` of `sys/mount.h`: stored on this machine.
    const LOCAL: u32 = 0x1000;
    let found = rustix::fs::statfs(path)?;
    if found.f_flags & LOCAL != 0 {
        return Ok(None);
    }
    let name = found.f_fstypename.iter().take_while(|&&byte| byte != 0).map(|&byte| char::from(byte as u8));
    Ok(Some(name.collect()))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn network_file_system(_: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/data");
        let first = DataDirectory::open(&path).unwrap();
        assert!(matches!(DataDirectory::open(&path), Err(DirectoryError::InUse(_))));
        drop(first);
        assert_eq!(DataDirectory::open(&path).unwrap().path(), path);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn network_shares_are_told_from_local_disks() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xff53_4d42), Some("CIFS"));
        let local = [("ext4", 0xef53), ("btrfs", 0x9123_683e), ("tmpfs", 0x0102_1994), ("overlay", 0x794c_7630)];
        assert!(local.iter().all(|&(_, kind)| network_name(kind).is_none()));
    }
}
