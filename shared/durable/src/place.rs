//! Files that appear whole: written under a hidden name beside their place, then renamed.
//!
//! Nothing that stands at a place is touched unless the caller says so, and of a folder only numbered frames ever are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;
use wanfarm_types::is_frame_name;

use crate::{sync, sync_folder};

/// How the hidden names of all writers begin and end.
const HIDDEN: [&str; 2] = [".wanfarm-", ".partial"];

/// One writer's hidden names: no two are alike, and its own of an earlier life are told from everybody else's.
#[derive(Debug)]
pub struct Stage {
    owner: String,
    /// The owner, and which life of it.
    prefix: String,
    next: AtomicU64,
}

/// A file or folder on its way to its place. Dropped before it is there, it leaves nothing.
#[derive(Debug)]
pub struct Placing {
    staged: PathBuf,
    target: PathBuf,
}

/// A file could not be put in its place.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub struct PlaceError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl PlaceError {
    /// Something stands in the place.
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Writing might succeed later: the disk was full or a share was away.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self.source.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::DirectoryNotEmpty
        )
    }
}

impl Stage {
    /// For a writer that has this id all its life, and that lives once at a time.
    pub fn new(owner: Uuid) -> Self {
        let owner = format!("{}{}-", HIDDEN[0], owner.simple());
        let prefix = format!("{owner}{:08x}-", rand::random::<u32>());
        Self { owner, prefix, next: AtomicU64::new(0) }
    }

    /// Prepares to write `target`. Its folder is made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn begin(&self, target: &Path) -> Result<Placing, PlaceError> {
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(fail("make the folder", folder))?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(Placing { staged: folder.join(format!("{}{number}{}", self.prefix, HIDDEN[1])), target: target.to_owned() })
    }

    /// Clears from a folder what this writer had begun when it was last killed.
    pub fn clear(&self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&self.owner) && name.ends_with(HIDDEN[1]) && !name.starts_with(&self.prefix) {
                // Best effort: it is never read.
                let _ = remove(&entry.path());
            }
        }
    }
}

impl Placing {
    /// Where to write for now.
    pub fn staged(&self) -> &Path {
        &self.staged
    }

    /// Where it goes.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts what was written in its place, where nothing may stand, and makes that durable.
    ///
    /// # Errors
    /// When something stands there, or the operating system refuses.
    pub fn finish(self) -> Result<(), PlaceError> {
        rename_to_nothing(&self.staged, &self.target).map_err(fail("put in its place", &self.target))?;
        self.settle()
    }

    /// Puts what was written in its place, instead of what stands there, and makes that durable. A folder is only
    /// replaced by a folder, and a file by a file.
    ///
    /// # Errors
    /// When the operating system refuses; the old content is then still there, or beside it.
    pub fn replace(self) -> Result<(), PlaceError> {
        let stands = match fs::symlink_metadata(&self.target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.finish(),
            Err(error) => return Err(fail("look at", &self.target)(error)),
            Ok(stands) => stands,
        };
        if self.staged.is_dir() != stands.is_dir() {
            return Err(fail("replace", &self.target)(io::ErrorKind::AlreadyExists.into()));
        }
        if stands.is_dir() {
            sync_folder(&self.staged).map_err(fail("make durable", &self.staged))?;
            self.exchange().map_err(fail("replace", &self.target))?;
        } else {
            fs::rename(&self.staged, &self.target).map_err(fail("put in its place", &self.target))?;
        }
        self.settle()
    }

    /// Lets two folders change places; the old one, now under the hidden name, is cleared of its frames.
    fn exchange(&self) -> io::Result<()> {
        match exchange(&self.staged, &self.target) {
            Err(error) if is_unsupported(&error) => {
                // No such call on this file system: for a moment neither stands there.
                let aside = self.staged.with_extension("replaced");
                fs::rename(&self.target, &aside)?;
                if let Err(error) = fs::rename(&self.staged, &self.target) {
                    fs::rename(&aside, &self.target)?;
                    return Err(error);
                }
                fs::rename(&aside, &self.staged)?;
            }
            exchanged => exchanged?,
        }
        if let Err(error) = remove(&self.staged) {
            let (folder, kept) = (self.target.display(), self.staged.display());
            tracing::warn!(%error, "{folder} was replaced; what else it held is kept in {kept}");
        }
        Ok(())
    }

    fn settle(&self) -> Result<(), PlaceError> {
        let folder = self.target.parent().unwrap_or(Path::new("."));
        sync_folder(folder).map_err(fail("make durable", folder))
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        // Best effort; the next start clears it too.
        let _ = remove(&self.staged);
    }
}

/// Writes a file to where it waits to be put in its place.
///
/// # Errors
/// When the operating system refuses.
pub fn write(placing: &Placing, bytes: &[u8]) -> Result<(), PlaceError> {
    use std::io::Write;
    let written = fs::File::create_new(placing.staged()).and_then(|mut file| {
        file.write_all(bytes)?;
        sync(&file, placing.target())
    });
    written.map_err(fail("write", placing.target()))
}

/// Renames where nothing stands; where the file system cannot promise that, after a look.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match exclusive(from, to) {
        Err(error) if is_unsupported(&error) => match fs::symlink_metadata(to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        },
        renamed => renamed,
    }
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exclusive(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, rustix::fs::RenameFlags::NOREPLACE)?)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, rustix::fs::RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exclusive(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Shares and memory sticks know plain renames only, and say so in more than one way.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

/// Removes a file, or a folder of frames; a folder with anything else in it is left with that.
fn remove(path: &Path) -> io::Result<()> {
    let stands = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        stands => stands?,
    };
    if !stands.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if is_frame(&entry) {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// A file with the name of a frame, as only folders of frames hold.
pub fn is_frame(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    entry.file_type().is_ok_and(|kind| kind.is_file()) && name.to_str().is_some_and(is_frame_name)
}

fn fail(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError { verb, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn staged(stage: &Stage, target: &Path, bytes: &[u8]) -> Placing {
        let placing = stage.begin(target).unwrap();
        write(&placing, bytes).unwrap();
        placing
    }

    fn staged_folder(stage: &Stage, target: &Path, files: &[&str]) -> Placing {
        let placing = stage.begin(target).unwrap();
        fs::create_dir(placing.staged()).unwrap();
        files.iter().for_each(|file| fs::write(placing.staged().join(file), "new").unwrap());
        placing
    }

    #[test]
    fn a_file_appears_whole_where_nothing_stands_and_replaces_only_when_told_to() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let target = dir.path().join("deep/er/a.txt");
        staged(&stage, &target, b"one").finish().unwrap();
        let error = staged(&stage, &target, b"two").finish().unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("a.txt"), "{error}");
        assert_eq!(fs::read(&target).unwrap(), b"one");
        staged(&stage, &target, b"two").replace().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(names(target.parent().unwrap()), ["a.txt"]);
    }

    #[test]
    fn an_abandoned_write_leaves_nothing_and_two_writers_share_no_path() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let target = dir.path().join("frames");
        let (one, other) = (staged_folder(&stage, &target, &["00000.png"]), stage.begin(&target).unwrap());
        assert_ne!(one.staged(), other.staged());
        drop((one, other));
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_folder_of_frames_is_replaced_and_nothing_else_goes_with_it() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let target = dir.path().join("frames");
        staged_folder(&stage, &target, &["00000.png", "00001.png"]).finish().unwrap();
        staged_folder(&stage, &target, &["00000.png"]).replace().unwrap();
        assert_eq!((names(&target), names(dir.path())), (vec!["00000.png".into()], vec!["frames".into()]));
        // Another program has put a note there after the last look.
        fs::write(target.join("notes.txt"), "mine").unwrap();
        staged_folder(&stage, &target, &["00000.png"]).replace().unwrap();
        assert_eq!(names(&target), ["00000.png"]);
        let kept = dir.path().join(names(dir.path()).swap_remove(0));
        assert_eq!(names(&kept), ["notes.txt"]);
        Stage::new(Uuid::nil()).clear(dir.path());
        assert_eq!(names(&kept), ["notes.txt"], "not even after a restart");
    }

    #[test]
    fn a_file_never_replaces_a_folder_nor_a_folder_a_file() {
        let (dir, stage) = (tempfile::tempdir().unwrap(), Stage::new(Uuid::nil()));
        let (folder, file) = (dir.path().join("folder"), dir.path().join("file"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "mine").unwrap();
        staged(&stage, &folder, b"x").replace().unwrap_err();
        staged_folder(&stage, &file, &["00000.png"]).replace().unwrap_err();
        assert_eq!(names(dir.path()), ["file", "folder"]);
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn only_what_this_writer_left_in_an_earlier_life_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let (killed, other) = (Stage::new(Uuid::nil()), Stage::new(Uuid::max()));
        let leave = |stage: &Stage| std::mem::forget(staged(stage, &dir.path().join("a.mp4"), b"half"));
        leave(&killed);
        leave(&other);
        std::mem::forget(staged_folder(&killed, &dir.path().join("a"), &["00000.png"]));
        fs::write(dir.path().join(".a.mp4.partial"), "somebody's").unwrap();
        let again = Stage::new(Uuid::nil());
        let current = staged(&again, &dir.path().join("a.mp4"), b"whole");
        again.clear(dir.path());
        let left = names(dir.path());
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.contains(&".a.mp4.partial".to_owned()) && current.staged().exists());
    }
}
