//! Where the files of an open database lie. An open file can be moved, deleted or replaced, and be written to as before:
//! at the next start nothing of that would be found.

#![expect(clippy::disallowed_methods, reason = "commits on a thread of its own")]

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use wanfarm_durable::FileId;

use super::Fault;

/// Copies that are kept at most.
const MAX_SAVED: u32 = 99;

/// Copies the rows of an open database into a new file, which is whole once it has its name.
pub(super) fn copy(database: &Connection, target: &Path) -> Result<(), Fault> {
    let fault = |error: std::io::Error| Fault::Value(format!("cannot make {}: {error}", target.display()));
    let draft = target.with_extension("draft");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let name = draft.to_str().ok_or_else(|| Fault::Value(format!("{} is not UTF-8", draft.display())))?;
    database.execute("VACUUM INTO ?1", [name])?;
    std::fs::File::open(&draft).and_then(|file| wanfarm_durable::sync(&file, &draft)).map_err(fault)?;
    std::fs::rename(&draft, target).map_err(fault)?;
    wanfarm_durable::sync_folder(target.parent().unwrap_or(Path::new("."))).map_err(fault)
}

/// A name beside a database for a copy of it; one of an earlier mishap stays.
pub(super) fn free_name(database: &Path) -> Option<PathBuf> {
    let name = |number| database.with_extension(format!("saved-{number}.sqlite"));
    (1..=MAX_SAVED).map(name).find(|path| !path.exists())
}

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
        let target = free_name(&self.files[0].0)?;
        let told = |fault| tracing::error!(?fault, "the rows cannot be saved to {}", target.display());
        copy(database, &target).map_err(told).ok()?;
        Some(target)
    }
}
