//! The store on SQLite: one file, write-ahead log, every commit synchronised before it counts.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use wanfarm_types::{AttemptId, JobId};

use super::{DataDirectory, Loaded, Row, Store, StoreError};

/// How each format becomes the next; the last one is what this version reads and writes.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("evaluations.sql")];
/// Somebody else, a backup for example, may hold the file for this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statements kept compiled: one for each kind of row, and some to spare.
const STATEMENTS: usize = 64;
/// An error of the disk on a volume with less room than this is taken for a full one.
const NO_ROOM: u64 = 1 << 20;

/// The store.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    pub(super) database: Connection,
}

/// What can go wrong between a row and a table.
#[derive(Debug)]
enum Fault {
    /// The engine says so.
    Engine(rusqlite::Error),
    /// A value that the table cannot hold, or that this version did not write.
    Value(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Value(error.to_string())
    }
}

impl SqliteStore {
    /// Opens the database of a data directory, makes it if there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// When it is damaged, newer than this version, or cannot be opened.
    pub fn open(directory: &DataDirectory) -> Result<Self, StoreError> {
        let path = directory.path().join("coordinator.sqlite");
        let fail = |fault| error("open", &path, fault);
        let mut database = Connection::open(&path).map_err(|engine| fail(engine.into()))?;
        prepare(&database).map_err(|engine| fail(engine.into()))?;
        check(&path, &database)?;
        migrate(&path, &mut database)?;
        Ok(Self { path, database })
    }
}

fn prepare(database: &Connection) -> rusqlite::Result<()> {
    database.busy_timeout(PATIENCE)?;
    database.set_prepared_statement_cache_capacity(STATEMENTS);
    // With the log, `FULL` synchronises once per commit; `F_FULLFSYNC` makes that true on a Mac as well.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "fullfsync", true)?;
    database.pragma_update(None, "foreign_keys", true)
}

/// A damaged file is better found now than in the middle of the night.
fn check(path: &Path, database: &Connection) -> Result<(), StoreError> {
    let found = database.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found.map_err(|engine| error("check", path, engine.into()))?.as_str() {
        "ok" => Ok(()),
        why => Err(StoreError::Damaged { path: path.to_owned(), why: why.to_owned() }),
    }
}

fn migrate(path: &Path, database: &mut Connection) -> Result<(), StoreError> {
    let fail = |engine: rusqlite::Error| error("upgrade", path, engine.into());
    let found: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fail)?;
    let known = MIGRATIONS.len() as i64;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    };
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    for migration in missing {
        transaction.execute_batch(migration).map_err(fail)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    transaction.commit().map_err(fail)
}

impl Store for SqliteStore {
    fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let Self { path, database } = self;
        let written = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Fault::from).and_then(
            |transaction| {
                // A transaction that is dropped is rolled back.
                rows.iter().try_for_each(|row| write::row(&transaction, row))?;
                Ok(transaction.commit()?)
            },
        );
        written.map_err(|fault| error("write to", path, fault))
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let loaded = self.database.unchecked_transaction().map_err(Fault::from).and_then(|transaction| {
            let next_attempt = AttemptId(next(&transaction, "attempt")?);
            let next_job = JobId(next(&transaction, "job")?);
            Ok(Loaded { rows: read::rows(&transaction)?, next_attempt, next_job })
        });
        loaded.map_err(|fault| match fault {
            Fault::Value(why) => StoreError::Damaged { path: self.path.clone(), why },
            Fault::Engine(engine) => error("read", &self.path, engine.into()),
        })
    }
}

/// One more than the greatest number a table has ever given out.
fn next(database: &Connection, table: &str) -> Result<u64, Fault> {
    let mut statement = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?1")?;
    let last = statement.query_map([table], |row| row.get::<_, i64>(0))?.next().transpose()?;
    u64::try_from(last.unwrap_or(0) + 1).map_err(|_| Fault::Value(format!("table {table} counts below zero")))
}

fn error(verb: &'static str, path: &Path, fault: Fault) -> StoreError {
    let path = path.to_owned();
    let engine = match fault {
        Fault::Value(why) => return StoreError::Refused { path, why },
        Fault::Engine(engine) => engine,
    };
    let why = engine.to_string();
    match engine.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        // The log's index, and a sync that finds no room, report it as a failure of the disk.
        Some(ErrorCode::SystemIoFailure) if crate::room::free(&path).is_some_and(|free| free < NO_ROOM) => {
            StoreError::Full { path }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { path, why },
        Some(ErrorCode::ConstraintViolation) => StoreError::Refused { path, why },
        _ => StoreError::Failed { verb, path, why },
    }
}
