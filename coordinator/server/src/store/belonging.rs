//! Whose artifacts lie beside a database: both carry the database's id, so that a database that was lost, emptied or
//! exchanged is noticed before its artifacts are taken for rubbish.
//!
//! Deliberately not here: which artifacts a row still names. That is asked only when both belong together.

#![expect(clippy::disallowed_methods, reason = "runs before the loop starts")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;
use wanfarm_types::Digest;

use super::StoreError;

/// The file among the artifacts that names their database.
const MARK: &str = "database-id";

/// The artifacts beside a database.
#[derive(Debug)]
pub(super) struct Belongings {
    database: PathBuf,
    artifacts: PathBuf,
}

impl Belongings {
    pub(super) fn of(database: &Path, artifacts: PathBuf) -> Self {
        Self { database: database.to_owned(), artifacts }
    }

    /// Refuses to begin anew where unfinished work lies. `why`: what the database is instead of its own.
    ///
    /// # Errors
    /// When there are artifacts, or the folder cannot be read.
    pub(super) fn refuse(&self, why: &'static str) -> Result<(), StoreError> {
        let (files, bytes) = self.measure().map_err(|error| self.failed("read", &error))?;
        if files == 0 {
            return Ok(());
        }
        let (database, artifacts) = (self.database.clone(), self.artifacts.clone());
        Err(StoreError::Orphans { database, artifacts, files, bytes, why })
    }

    /// Refuses artifacts of another database; marks those that are to come as this one's.
    ///
    /// # Errors
    /// When they are another's, or the mark cannot be read or written.
    pub(super) fn claim(&self, id: Uuid) -> Result<(), StoreError> {
        let path = self.artifacts.join(MARK);
        let mark = match fs::read_to_string(&path) {
            Ok(mark) => mark.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(self.failed("read", &error)),
        };
        if mark == id.to_string() {
            return Ok(());
        }
        self.refuse("is not the one that they belong to")?;
        self.mark(&path, id).map_err(|error| self.failed("mark", &error))
    }

    /// Whole or not at all: half a mark would part what belongs together.
    fn mark(&self, path: &Path, id: Uuid) -> io::Result<()> {
        fs::create_dir_all(&self.artifacts)?;
        let staged = self.artifacts.join(format!(".{MARK}"));
        wanfarm_durable::write(path, &staged, format!("{id}\n").as_bytes())
    }

    /// How many artifacts there are, and their bytes. What does not belong there does not count.
    fn measure(&self) -> io::Result<(u64, u64)> {
        let shelves = match fs::read_dir(&self.artifacts) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
            shelves => shelves?,
        };
        let (mut files, mut bytes) = (0, 0);
        for shelf in shelves {
            let shelf = shelf?;
            if !shelf.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(shelf.path())? {
                let entry = entry?;
                if entry.file_name().to_str().is_some_and(|name| name.parse::<Digest>().is_ok()) {
                    files += 1;
                    bytes += entry.metadata()?.len();
                }
            }
        }
        Ok((files, bytes))
    }

    fn failed(&self, verb: &'static str, error: &io::Error) -> StoreError {
        StoreError::Artifacts { verb, path: self.artifacts.clone(), why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_go_with_the_database_that_marked_them_and_with_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("artifacts");
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let belongings = Belongings::of(&dir.path().join("rows"), root.clone());
        belongings.refuse("is missing").unwrap();
        belongings.claim(one).unwrap();
        belongings.claim(other).expect("nothing lies there yet");
        let shelf = root.join("00");
        fs::create_dir(&shelf).unwrap();
        fs::write(shelf.join(".DS_Store"), "of the Finder").unwrap();
        fs::write(shelf.join(format!("{}#1", Digest([0; 32]))), "half written").unwrap();
        belongings.claim(one).expect("nothing of it is an artifact");
        fs::write(shelf.join(Digest([0; 32]).to_string()), "work").unwrap();
        belongings.claim(one).unwrap();
        for error in [belongings.claim(other).unwrap_err(), belongings.refuse("is missing").unwrap_err()] {
            assert!(matches!(error, StoreError::Orphans { files: 1, bytes: 4, .. }), "{error}");
        }
        fs::remove_file(root.join(MARK)).unwrap();
        assert!(belongings.claim(one).is_err(), "nobody knows whose they are");
    }
}
