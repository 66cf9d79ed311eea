//! Making files and folders survive a power cut, on every volume that can.
//!
//! A full flush comes first: `F_FULLFSYNC` on macOS, which alone empties a disk's own cache. Network shares, exFAT and
//! FUSE volumes may refuse that, or any synchronisation of folders; there the ordinary one counts, and where even that is
//! refused, work goes on with one warning per volume. Errors of a disk stay errors.
//!
//! Deliberately not here: where files go, and what has to survive (callers that cannot go without ask
//! [`refusal`] first).

mod file_id;
pub mod place;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub use file_id::FileId;

/// Makes what was written to a file last, as far as its volume can. `path` is for the warning.
///
/// # Errors
/// When the disk fails; not when the volume has no such operation.
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    if !synchronised(|| file.sync_all(), || ordinary(file))? {
        warn_once(file, path);
    }
    Ok(())
}

/// Makes the names in a folder last, as far as its volume can. Only Unix can, and only Unix needs it.
///
/// # Errors
/// When the folder cannot be opened or the disk fails; not when the volume has no such operation.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { sync(&File::open(path)?, path) } else { Ok(()) }
}

/// Makes a folder that nobody but its owner may look into, and those above it as usual. One that is there stays as it is.
///
/// # Errors
/// When the operating system refuses, or a file is in its place.
pub fn private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut folder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    match folder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Writes a file as [`write()`] does, which only its owner may read.
///
/// # Errors
/// As for [`write()`].
pub fn write_private(path: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(draft)?;
    // A file that is there keeps its mode.
    write(path, draft, bytes)
}

/// Writes a file that is there whole and durable, or not at all: under `draft`, a name beside its own, and then renamed.
///
/// # Errors
/// When the operating system refuses; the draft is then gone, the old file still there.
pub fn write(path: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write;
    let written = File::create(draft)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            sync(&file, path)
        })
        .and_then(|()| fs::rename(draft, path));
    if let Err(error) = written {
        // A draft is never read; a leftover one is no second error.
        let _ = fs::remove_file(draft);
        return Err(error);
    }
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// What a folder's volume says if it cannot keep files and names through a power cut, without any allowance. Whatever
/// else stands in the way of the trial, such as a full disk, is no answer.
pub fn refusal(folder: &Path) -> Option<io::Error> {
    let trial = folder.join(format!(".trial-{}", std::process::id()));
    let kept = File::create(&trial).and_then(|file| file.sync_all());
    // It is empty and hidden, and the next trial takes its place.
    let _ = fs::remove_file(&trial);
    let named = || if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) };
    kept.and_then(|()| named()).err().filter(is_refusal)
}

/// False when the volume has neither operation.
fn synchronised(full: impl FnOnce() -> io::Result<()>, ordinary: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
    match full() {
        Err(error) if is_refusal(&error) => {}
        done => return done.map(|()| true),
    }
    match ordinary() {
        Err(error) if is_refusal(&error) => Ok(false),
        done => done.map(|()| true),
    }
}

#[cfg(unix)]
fn ordinary(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

#[cfg(not(unix))]
fn ordinary(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// True when an error says that the volume has no such operation, and not that a disk has failed.
fn is_refusal(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let refusals = [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::NOTTY];
        Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
    }
    #[cfg(not(unix))]
    {
        matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
    }
}

/// Volumes that have been warned of.
static WARNED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

fn warn_once(file: &File, path: &Path) {
    if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(volume(file)) {
        tracing::warn!(
            path = %path.display(),
            "this volume offers no way to make files durable: what was written to it just before a power cut may be lost"
        );
    }
}

/// What tells the volumes of a machine apart; one for all where that cannot be told.
fn volume(file: &File) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().map_or(0, |found| found.dev())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_refused_full_flush_is_followed_by_an_ordinary_one_and_broken_disks_are_told() {
        use rustix::io::Errno;
        let fails = |errno: Errno| move || Err::<(), io::Error>(errno.into());
        for refusal in [Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::NOTTY] {
            assert!(synchronised(fails(refusal), || Ok(())).unwrap(), "{refusal}: the ordinary one will do");
            assert!(!synchronised(fails(refusal), fails(refusal)).unwrap(), "{refusal}: and so will none");
            assert!(synchronised(fails(refusal), fails(Errno::IO)).is_err());
        }
        for fault in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::BADF, Errno::STALE, Errno::ROFS] {
            let error = synchronised(fails(fault), || panic!("a disk that fails is not asked again")).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(fault));
        }
        assert!(synchronised(|| Ok(()), || panic!("once is enough")).unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_volume_that_knows_no_synchronisation_is_warned_of_and_used_all_the_same() {
        let proc = Path::new("/proc/self");
        assert!(File::open(proc).unwrap().sync_all().is_err(), "it refuses, as some shares do");
        sync_folder(proc).unwrap();
        let known = WARNED.lock().unwrap().contains(&volume(&File::open(proc).unwrap()));
        assert!(known);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_folder_is_its_owner_s_alone_and_one_that_is_there_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (above, data) = (dir.path().join("a"), dir.path().join("a/data"));
        private_folder(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        fs::create_dir(dir.path().join("usual")).unwrap();
        assert_eq!(mode(&above), mode(&dir.path().join("usual")), "others may have more in it");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
        private_folder(&data).unwrap();
        assert_eq!(mode(&data), 0o750);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(private_folder(&dir.path().join("file")).is_err());
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (path, draft) = (dir.path().join("a"), dir.path().join("a.new"));
        write(&path, &draft, b"one").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        fs::create_dir(&draft).unwrap();
        write(&path, &draft, b"two").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        fs::remove_dir(&draft).unwrap();
        assert!(refusal(dir.path()).is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a trial leaves nothing");
    }
}
