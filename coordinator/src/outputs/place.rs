//! Files that appear whole: written under a hidden name beside their place, then renamed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wanfarm_durable::{sync, sync_folder};

/// A file or folder on its way to its place. Dropped before [`Placing::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Placing {
    staged: PathBuf,
    target: PathBuf,
    finished: bool,
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
    /// Writing might succeed later: the disk was full or a share was away.
    pub fn is_transient(&self) -> bool {
        !matches!(
            self.source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::InvalidFilename
        )
    }
}

impl Placing {
    /// Prepares to write `target`. Its folder is made; leftovers of an interrupted write are removed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn begin(target: &Path) -> Result<Self, PlaceError> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let staged = folder.join(format!(".{name}.partial"));
        fs::create_dir_all(folder).map_err(fail("make the folder", folder))?;
        remove(&staged).map_err(fail("clear", &staged))?;
        Ok(Self { staged, target: target.to_owned(), finished: false })
    }

    /// Where to write for now.
    pub fn staged(&self) -> &Path {
        &self.staged
    }

    /// Puts what was written in its place, instead of what stood there, and makes that durable.
    ///
    /// # Errors
    /// When the operating system refuses; the old content is then still there, or in the way.
    pub fn finish(mut self) -> Result<PathBuf, PlaceError> {
        if self.staged.is_dir() {
            // A folder cannot be renamed over one with files in it.
            sync_folder(&self.staged).map_err(fail("make durable", &self.staged))?;
            remove(&self.target).map_err(fail("replace", &self.target))?;
        }
        fs::rename(&self.staged, &self.target).map_err(fail("put in its place", &self.target))?;
        self.finished = true;
        let folder = self.target.parent().unwrap_or(Path::new("."));
        sync_folder(folder).map_err(fail("make durable", folder))?;
        Ok(self.target.clone())
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort; the next write of the same file clears it too.
            let _ = remove(&self.staged);
        }
    }
}

/// Writes a file whole.
///
/// # Errors
/// When the operating system refuses.
pub(super) fn write(target: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    use std::io::Write;
    let placing = Placing::begin(target)?;
    let written = fs::File::create(placing.staged()).and_then(|mut file| {
        file.write_all(bytes)?;
        sync(&file, target)
    });
    written.map_err(fail("write", target))?;
    placing.finish().map(drop)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn fail(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError { verb, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("deep/er/a.txt");
        write(&target, b"one").unwrap();
        let placing = Placing::begin(&target).unwrap();
        fs::write(placing.staged(), b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        placing.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let placing = Placing::begin(&dir.path().join("frames")).unwrap();
        fs::create_dir(placing.staged()).unwrap();
        fs::write(placing.staged().join("0.png"), b"x").unwrap();
        drop(placing);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_replaces_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("frames");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), b"x").unwrap();
        let placing = Placing::begin(&target).unwrap();
        fs::create_dir(placing.staged()).unwrap();
        placing.finish().unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }
}
