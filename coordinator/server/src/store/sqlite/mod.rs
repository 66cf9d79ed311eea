//! The store on SQLite: one file, write-ahead log, every commit synchronised before it counts.

#![expect(clippy::disallowed_methods, reason = "opens the database before the loop starts")]

mod attempts;
mod history;
mod migrations;
mod place;
mod read;
mod repair;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior};
use uuid::Uuid;
use wanfarm_types::{AttemptId, JobId};

use super::belonging::Belongings;
use super::{DataDirectory, Loaded, Row, Store, StoreError, when_unlocked};
pub use attempts::AskedAttempts;
pub use history::{Asked, History, Start};
use migrations::MIGRATIONS;
use place::{Place, copy};
pub use repair::{Repaired, repair};

/// Another program may hold the file for this long before it is called locked; the driver is blocked as long.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Statements kept compiled: one for each kind of row, and some to spare.
const STATEMENTS: usize = 64;
/// An error of the disk on a volume with less room than this is taken for a full one.
const NO_ROOM: u64 = 1 << 20;

/// The store.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    place: Place,
    id: Uuid,
    pub(super) database: Connection,
}

/// Why a row cannot be written or read.
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
    /// Opens the database of a data directory, makes it if there is none, and brings an older one up to date. Blocks for
    /// as long as another program has it locked.
    ///
    /// # Errors
    /// When it is damaged, newer than this version, not the one that the artifacts beside it belong to, or cannot be
    /// opened. Then nothing was written.
    pub fn open(directory: &DataDirectory) -> Result<Self, StoreError> {
        let path = directory.path().join("coordinator.sqlite");
        let belongings = Belongings::of(&path, directory.artifacts());
        if std::fs::metadata(&path).map_or(0, |file| file.len()) == 0 {
            // Opening makes the file; then nobody could tell any more that it was missing.
            belongings.refuse("is missing or empty")?;
        }
        when_unlocked(|| {
            let fail = |engine: rusqlite::Error| error("open", &path, engine.into());
            let mut database = Connection::open(&path).map_err(fail)?;
            prepare(&database).map_err(fail)?;
            check(&path, &database)?;
            if format(&path, &database)? == 0 {
                belongings.refuse("has nothing in it")?;
            }
            migrate(&path, &mut database)?;
            let id = id(&path, &database)?;
            belongings.claim(id)?;
            let place = Place::of(&path).map_err(|why| StoreError::Failed { verb: "find", path: path.clone(), why })?;
            Ok(Self { path: path.clone(), place, id, database })
        })
    }

    /// What happened, for readers beside it.
    pub fn history(&self) -> History {
        History::new(self.path.clone())
    }

    /// True when somebody is known by a key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has_members(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM access_grant WHERE proof LIKE '{\"key\"%')";
        let found = self.database.query_row(sql, [], |row| row.get(0));
        found.map_err(|engine| error("read", &self.path, engine.into()))
    }

    /// The id of this database, and so of its coordinator.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

fn prepare(database: &Connection) -> rusqlite::Result<()> {
    database.busy_timeout(LOCK_TIMEOUT)?;
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

/// Its format; 0 of a file that no coordinator has written to.
fn format(path: &Path, database: &Connection) -> Result<i64, StoreError> {
    let found = database.pragma_query_value(None, "user_version", |row| row.get(0));
    found.map_err(|engine| error("read", path, engine.into()))
}

fn migrate(path: &Path, database: &mut Connection) -> Result<(), StoreError> {
    let fail = |engine: rusqlite::Error| error("upgrade", path, engine.into());
    let found = format(path, database)?;
    let known = MIGRATIONS.len() as i64;
    let Some(missing) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    };
    if missing.is_empty() {
        return Ok(());
    }
    if found > 0 {
        let old = path.with_extension(format!("format-{found}.sqlite"));
        copy(database, &old).map_err(|fault| error("copy", path, fault))?;
        tracing::info!("the database goes from format {found} to {known}; as it was, it stays in {}", old.display());
    }
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    for migration in missing {
        migration.run(&transaction).map_err(|fault| match fault {
            Fault::Value(why) => StoreError::Damaged { path: path.to_owned(), why },
            engine => error("upgrade", path, engine),
        })?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    transaction.commit().map_err(fail)
}

/// The id of the database, drawn when its tables were made.
fn id(path: &Path, database: &Connection) -> Result<Uuid, StoreError> {
    let found = database.query_row("SELECT id FROM identity", [], |row| row.get::<_, String>(0)).optional();
    let found = found.map_err(|engine| error("read", path, engine.into()))?;
    let id = found.as_ref().and_then(|id| id.parse().ok());
    id.ok_or_else(|| {
        let why = format!("table identity: column id: {found:?} is no id");
        StoreError::Damaged { path: path.to_owned(), why }
    })
}

impl Store for SqliteStore {
    fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let Self { path, database, place, .. } = self;
        let written = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Fault::from).and_then(
            |transaction| {
                // A transaction that is dropped is rolled back.
                rows.iter().try_for_each(|row| write::row(&transaction, row))?;
                Ok(transaction.commit()?)
            },
        );
        // Looked at afterwards: what was moved away at any time before is found to be gone.
        if let Err(path) = place.check() {
            return Err(StoreError::Moved { path, saved: place.save(database) });
        }
        written.map_err(|fault| error("write to", path, fault))
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let loaded = self.database.unchecked_transaction().map_err(Fault::from).and_then(|transaction| {
            let next_attempt = AttemptId(next(&transaction, "attempt")?);
            let next_job = JobId(next(&transaction, "job")?);
            let last = transaction.query_row("SELECT coalesce(max(id), 0) FROM event", [], |row| row.get(0))?;
            let next_event = after("event", last)?;
            Ok(Loaded { rows: read::rows(&transaction)?, next_attempt, next_job, next_event })
        });
        loaded.map_err(|fault| match fault {
            Fault::Value(why) => StoreError::Unreadable { path: self.path.clone(), why },
            Fault::Engine(engine) => error("read", &self.path, engine.into()),
        })
    }
}

/// One more than the greatest number a table has ever given out.
fn next(database: &Connection, table: &str) -> Result<u64, Fault> {
    let mut statement = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?1")?;
    let last = statement.query_map([table], |row| row.get::<_, Value>(0))?.next().transpose()?;
    after(table, last.unwrap_or(Value::Integer(0)))
}

/// The number after a table's last one.
fn after(table: &str, last: Value) -> Result<u64, Fault> {
    let next = if let Value::Integer(last) = last { last.checked_add(1) } else { None };
    let next = next.and_then(|next| u64::try_from(next).ok());
    next.ok_or_else(|| Fault::Value(format!("table {table}: no number follows the last one, {last:?}")))
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
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
        // The log's index, and a sync that finds no room, report it as a failure of the disk.
        Some(ErrorCode::SystemIoFailure) if crate::disk_space::available(&path).is_some_and(|free| free < NO_ROOM) => {
            StoreError::Full { path }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { path, why },
        Some(ErrorCode::ConstraintViolation) => StoreError::Refused { path, why },
        _ => StoreError::Failed { verb, path, why },
    }
}
