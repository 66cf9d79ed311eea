//! How many bytes a disk has left, and whether they suffice for a job.

#![expect(clippy::disallowed_methods, reason = "callers are on threads that may block")]

use std::io;
use std::path::Path;

use wanfarm_client::DiskShortage;

use crate::estimate::Space;

/// Bytes that copies leave free on the disk, for the database beside them: a farm that can still record its state can pause.
pub(crate) const RESERVE: u64 = 64 << 20;

/// Bytes that may still be written beside or below `path`; `None` where the system does not tell. Blocks.
#[cfg(unix)]
pub fn available(path: &Path) -> Option<u64> {
    // What does not exist yet will lie on the disk of the nearest folder that does.
    let existing = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Bytes that may still be written beside or below `path`; `None` where the system does not tell.
#[cfg(not(unix))]
pub fn available(_: &Path) -> Option<u64> {
    None
}

/// True when an error, or one that it stands for, says that a disk or a quota is full.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    })
}

/// A folder on a disk.
struct Disk<'p> {
    folder: &'p Path,
    free: Option<u64>,
    /// The device number; `None` where the system does not tell.
    disk: Option<u64>,
}

impl<'p> Disk<'p> {
    fn look(folder: &'p Path) -> Self {
        Self { folder, free: available(folder), disk: disk(folder) }
    }
}

/// The disks of the output folder and of the data directory that have less room than videos need. Blocks.
pub fn shortages(space: &Space, output: &Path, data: &Path) -> Vec<DiskShortage> {
    compare(space, &Disk::look(output), &Disk::look(data))
}

fn compare(space: &Space, output: &Disk<'_>, data: &Disk<'_>) -> Vec<DiskShortage> {
    let name = |place: &Disk<'_>| place.folder.display().to_string();
    let certain = |free: u64| free < space.least_copy.saturating_add(RESERVE);
    let copies = space.copies.saturating_add(RESERVE);
    let short = |place: String, free: Option<u64>, needs: u64, certain: &dyn Fn(u64) -> bool| {
        let free = free.filter(|&free| free < needs)?;
        let certain = certain(free);
        let needs_bytes = if certain { space.least_copy.saturating_add(RESERVE) } else { needs };
        Some(DiskShortage { place, needs_bytes, free_bytes: free, certain })
    };
    if output.disk == data.disk {
        let both = format!("{} and {}", name(output), name(data));
        return short(both, data.free, space.files.saturating_add(copies), &certain).into_iter().collect();
    }
    let output = short(name(output), output.free, space.files, &|_| false);
    output.into_iter().chain(short(name(data), data.free, copies, &certain)).collect()
}

/// The disk of a folder, or of the nearest one above it that is there.
#[cfg(unix)]
fn disk(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    folder.ancestors().find_map(|path| path.metadata().ok()).map(|found| found.dev())
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const SPACE: Space = Space { files: 12 * GIB, copies: GIB, least_copy: GIB / 8 };

    fn found(output: (u64, u64), data: (u64, u64)) -> Vec<DiskShortage> {
        let place = |folder, (disk, free)| Disk { folder: Path::new(folder), free: Some(free), disk: Some(disk) };
        compare(&SPACE, &place("/renders", output), &place("/data", data))
    }

    #[test]
    fn each_disk_is_held_against_what_goes_there() {
        assert_eq!(found((1, 12 * GIB), (2, 2 * GIB)), []);
        let [files] = &found((1, 3 * GIB), (2, 2 * GIB))[..] else { panic!("one disk is short") };
        let words = files.to_string();
        assert!(words.starts_with("needs about 12.00 GiB in /renders, 3.00 GiB are free"), "{words}");
        let [files, copies] = &found((1, 0), (2, GIB))[..] else { panic!("both are short") };
        assert_eq!((files.certain, copies.certain), (false, false), "files may be small, copies few");
    }

    #[test]
    fn one_disk_has_to_hold_both() {
        assert_eq!(found((1, 14 * GIB), (1, 14 * GIB)), []);
        let [both] = &found((1, 13 * GIB), (1, 13 * GIB))[..] else { panic!("it is short") };
        assert_eq!(
            (both.place.as_str(), both.needs_bytes, both.certain),
            ("/renders and /data", 13 * GIB + RESERVE, false)
        );
    }

    #[test]
    fn only_a_disk_without_room_for_one_state_is_certain_to_be_short() {
        let least = GIB / 8 + RESERVE;
        for (free, certain) in [(least, false), (least - 1, true), (0, true)] {
            for output in [(1, 20 * GIB), (2, free)] {
                let short = found(output, (2, free));
                assert_eq!(short.last().map(|short| short.certain), Some(certain), "{free}");
            }
        }
        let words = found((1, 20 * GIB), (2, 0))[0].to_string();
        assert!(words.contains("needs 192.00 MiB in /data for the state of a single video"), "{words}");
    }

    #[test]
    fn folders_that_are_not_there_yet_lie_where_they_will_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let (output, data) = (dir.path().join("a/b"), dir.path().join("data"));
        assert_eq!(shortages(&Space::default(), &output, &data), []);
        let huge = Space { files: u64::MAX, ..Space::default() };
        let [short] = &shortages(&huge, &output, &data)[..] else { panic!("no disk is so large") };
        assert!(short.place.contains(" and ") && short.free_bytes > 0 && !short.certain, "{short}");
    }
}
