//! Where the files of an open database lie. An open file can be moved, deleted or replaced, and be written to as before:
//! at the next start nothing of that would be found.

#![expect(clippy::disallowed_methods, reason = "commits on a thread of its own")]

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use wanfarm_durable::FileId;

/// Copies that are kept at most.
const MAX_SAVED: u32 = 99;

/// The files as they were when the database was opened.
#[derive(Debug)]
pub(super) struct Place {
    files: [(PathBuf, FileId); 2],
}

impl Place {
    /// Of a database that is open, with its log.
    pub(super) fn of(database: &Path) -> Result<Self, String> {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let file = |path: PathBuf| {
            let id = FileId::at(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>((path, id))
        };
        Ok(Self { files: [file(database.to_owned())?, file(log.into())?] })
    }

    /// # Errors
    /// The file that is not there any more.
    pub(super) fn check(&self) -> Result<(), PathBuf> {
        for (path, opened) in &self.files {
            if !FileId::at(path).is_ok_and(|found| found == *opened) {
                return Err(path.clone());
            }
        }
        Ok(())
    }

    /// Saves the rows that an open database still has beside where it was, and says where.
    pub(super) fn save(&self, database: &Connection) -> Option<PathBuf> {
        let name = |number| self.files[0].0.with_extension(format!("saved-{number}.sqlite"));
        // One of an earlier mishap stays.
        let target = (1..=MAX_SAVED).map(name).find(|path| !path.exists())?;
        let saved = database.execute("VACUUM INTO ?1", [target.to_str()?]);
        saved.map_err(|error| tracing::error!(%error, "the rows cannot be saved to {}", target.display())).ok()?;
        Some(target)
    }
}
