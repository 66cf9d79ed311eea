//! What survives: rows, committed whole batches at a time before anything follows from them.

mod directory;
mod row;
mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;

use wanfarm_types::{AttemptId, JobId};

pub use directory::{DataDirectory, DirectoryError};
pub use row::{JobRow, Row};
pub use sqlite::SqliteStore;

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
    /// When nothing of the batch was written. After [`StoreError::Full`] the same batch may be tried again.
    fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError>;

    /// Reads everything, parents before children: an order in which the rows could have been committed.
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
    /// The file is no database, or a broken one.
    #[error(
        "the database {} is damaged: {why}; put a backup in its place, or move it away to begin with an empty farm",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
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
        /// Which row, and why.
        why: String,
    },
    /// The engine or the disk failed.
    #[error("cannot {verb} the database {}: {why}", path.display())]
    Failed {
        /// What was tried.
        verb: &'static str,
        /// The database.
        path: PathBuf,
        /// What the engine said.
        why: String,
    },
}

impl StoreError {
    /// True when waiting for room and trying again makes sense.
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }
}
