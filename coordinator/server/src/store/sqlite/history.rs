//! Reads what happened, beside the one who writes: by a connection of its own, which never holds him up.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use wanfarm_types::{EventKind, FarmEvent, JobId, WorkerId};

use super::{Fault, LOCK_TIMEOUT, error, read};
use crate::store::StoreError;

/// The events of a database.
#[derive(Debug, Clone)]
pub struct History {
    path: PathBuf,
    /// Opened when it is first needed. One question at a time: they are short.
    database: Arc<Mutex<Option<Connection>>>,
}

/// Where events begin, and which way they go.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    /// Those with greater ids, the oldest first.
    After(u64),
    /// Those with lesser ids, the newest first.
    Before(u64),
}

impl Default for Start {
    fn default() -> Self {
        Self::After(0)
    }
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Where they begin.
    pub from: Start,
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Only those of this worker.
    pub worker: Option<WorkerId>,
    /// Only of these kinds; none: of all.
    pub kinds: Vec<EventKind>,
    /// At most so many, the first.
    pub limit: u32,
}

impl History {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, database: Arc::default() }
    }

    /// The ids of the oldest and of the newest event that is kept. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn span(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.with(|database| {
            let ids = |line: &rusqlite::Row<'_>| Ok((line.get::<_, Option<i64>>(0)?, line.get::<_, Option<i64>>(1)?));
            let (oldest, newest) = database.query_row("SELECT min(id), max(id) FROM event", [], ids)?;
            let id = |id: Option<i64>| id.and_then(|id| u64::try_from(id).ok());
            Ok(id(oldest).zip(id(newest)))
        })
    }

    /// The events that are asked for. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(&self, asked: &Asked) -> Result<Vec<FarmEvent>, StoreError> {
        let (id, beyond, order) = match asked.from {
            Start::After(id) => (id, ">", "ASC"),
            Start::Before(id) => (id, "<", "DESC"),
        };
        let mut values = vec![Value::from(cut(id)), Value::from(i64::from(asked.limit))];
        let mut sql = format!("SELECT * FROM event WHERE id {beyond} ?1");
        if let Some(job) = asked.job {
            values.push(Value::from(cut(job.0)));
            sql += &format!(" AND job = ?{}", values.len());
        }
        if let Some(worker) = asked.worker {
            values.push(Value::from(worker.to_string()));
            sql += &format!(" AND worker = ?{}", values.len());
        }
        if !asked.kinds.is_empty() {
            let first = values.len() + 1;
            values.extend(asked.kinds.iter().map(|kind| Value::from(kind.name().to_owned())));
            let places: Vec<String> = (first..=values.len()).map(|place| format!("?{place}")).collect();
            sql += &format!(" AND kind IN ({})", places.join(", "));
        }
        sql += &format!(" ORDER BY id {order} LIMIT ?2");
        self.with(|database| {
            let mut statement = database.prepare_cached(&sql)?;
            let (mut lines, mut events) = (statement.query(params_from_iter(values))?, Vec::new());
            while let Some(line) = lines.next()? {
                events.push(read::event(line)?.told());
            }
            Ok(events)
        })
    }

    pub(super) fn with<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let fail = |fault| error("read", &self.path, fault);
        // Nothing is half done by a reader that panicked.
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let open = match database.take() {
            Some(open) => open,
            None => open(&self.path).map_err(|engine| fail(engine.into()))?,
        };
        let answer = ask(&open).map_err(fail)?;
        // One that has failed is opened anew.
        *database = Some(open);
        Ok(answer)
    }
}

fn open(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(LOCK_TIMEOUT)?;
    Ok(database)
}

/// SQLite counts to 2⁶³, and nothing in it is greater.
pub(super) fn cut(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
