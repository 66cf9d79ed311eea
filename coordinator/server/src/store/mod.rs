//! What survives: rows, committed whole batches at a time before anything follows from them.

mod belonging;
mod directory;
mod patience;
mod row;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;

use wanfarm_types::{AttemptId, JobId};

pub use directory::{DataDirectory, DirectoryError};
pub use patience::when_unlocked;
pub(crate) use row::MAX_EVENTS;
pub use row::{EventRow, JobEnd, JobRow, Row, WebhookRow};
pub use sqlite::{Asked, AskedAttempts, History, Repaired, SqliteStore, Start, repair};

/// An engine that keeps rows. Each [`Row`] inserts or replaces what has its key; what a key is, the row says.
///
/// What is asked of an engine, and held by one suite of tests for all of them (`store/tests/conformance.rs`):
/// - A batch is committed whole or not at all, and in order: after any crash the rows are those of all batches up to
///   some batch, and of no later one. When [`Store::commit`] returns `Ok`, the batch survives a power cut.
/// - A row that refers to something that is not there (a video of no job) refuses its whole batch.
pub trait Store: Send {
    /// Writes a batch. Blocks until it is durable.
    ///
    /// # Errors
    /// When nothing of the batch was written, or not to where it will be looked for. After an error that
    /// [`StoreError::may_pass`] the same batch may be tried again.
    fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError>;

    /// Reads everything but events, parents before children: an order in which the rows could have been committed.
    ///
    /// # Errors
    /// When the rows cannot be read, or are not what this version writes.
    fn load(&mut self) -> Result<Loaded, StoreError>;
}

/// Everything in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The rows.
    pub rows: Vec<Row>,
    /// Greater than every attempt there ever was, forgotten ones included.
    pub next_attempt: AttemptId,
    /// Greater than every job there ever was, forgotten ones included.
    pub next_job: JobId,
    /// Greater than every event there ever was.
    pub next_event: u64,
}

/// A store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room for the batch.
    #[error("the disk of {} is full: nothing more can be recorded until there is room", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Another program holds the database.
    #[error(
        "another program has the database {} locked: nothing can be recorded until it lets go; close what has it open \
         (an sqlite3 shell, a backup)",
        path.display()
    )]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The file that is written to is not where the next start will look for it.
    #[error(
        "{} was moved, deleted or replaced while the coordinator was writing to it, and nothing was acted on that came \
         after; {}",
        path.display(),
        rescue(saved.as_deref())
    )]
    Moved {
        /// The database, or its log.
        path: PathBuf,
        /// Where a copy of the rows lies, if one could be made.
        saved: Option<PathBuf>,
    },
    /// There is unfinished work, and the database is not the one that knows what it is.
    #[error(
        "{} holds {files} files of unfinished work ({} MiB), but the database {} {why}; nothing was touched. \
         Put the right database in its place (a backup is as good), or move {} away to begin with an empty farm",
        artifacts.display(),
        bytes.div_ceil(1 << 20),
        database.display(),
        artifacts.display()
    )]
    Orphans {
        /// The database.
        database: PathBuf,
        /// The artifact directory.
        artifacts: PathBuf,
        /// How many there are.
        files: u64,
        /// Their size.
        bytes: u64,
        /// What the database is instead.
        why: &'static str,
    },
    /// The owner of the artifacts cannot be read.
    #[error("cannot {verb} the artifact directory {}: {why}", path.display())]
    Artifacts {
        /// The operation.
        verb: &'static str,
        /// The path.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The file is no database, or a broken one.
    #[error(
        "the database {} is damaged: {why}; put a backup in its place, or move it away to begin with an empty farm",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// The file is whole, and something in it is what no version has written.
    #[error(
        "the database {} holds what cannot be read: {why}; put a backup in its place, or set aside what cannot be read with \
         coordinator repair --data {}",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// The table, the column and the fault.
        why: String,
    },
    /// A later version of this program has written it.
    #[error(
        "the database {} has format {found} and this version knows formats up to {known}; \
         use the newer version of this program, or a backup from before it",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// A row refers to something that is not there. A fault of this program.
    #[error("the database {} refuses a batch: {why}", path.display())]
    Refused {
        /// The database.
        path: PathBuf,
        /// The row and the fault.
        why: String,
    },
    /// The engine or the disk failed.
    #[error("cannot {verb} the database {}: {why}", path.display())]
    Failed {
        /// The operation.
        verb: &'static str,
        /// The database.
        path: PathBuf,
        /// The engine's error.
        why: String,
    },
}

impl StoreError {
    /// True when there is no room.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }

    /// True when waiting and trying again makes sense.
    pub fn may_pass(&self) -> bool {
        matches!(self, StoreError::Full { .. } | StoreError::Locked { .. })
    }
}

fn rescue(saved: Option<&std::path::Path>) -> String {
    match saved {
        Some(saved) => format!("all that it held is in {}: put that in its place, and start again", saved.display()),
        None => "put it back, and start again".to_owned(),
    }
}
