//! How the tables of each format become those of the next, and the JSON in them with them. The format is the database's
//! `user_version`. A step that has been released is never edited: what rows hold changes by a further one.

use rusqlite::{Transaction, params};
use serde_json::Value;

use super::Fault;

/// One step.
pub(super) enum Migration {
    /// A change of tables and columns.
    Sql(&'static str),
    /// A change of a column's JSON, row by row.
    Json { table: &'static str, column: &'static str, rewrite: fn(&mut Value) },
}

/// Step by step; after the last, rows are as this version reads and writes them.
pub(super) const MIGRATIONS: [Migration; 16] = [
    Migration::Sql(include_str!("schema.sql")),
    Migration::Sql(include_str!("forward_passes.sql")),
    Migration::Sql(include_str!("format-3.sql")),
    // Format 4: a memory that is not known is no number.
    Migration::Json { table: "job", column: "totals", rewrite: unknown_memory },
    // Format 5: how long weights were loaded for an attempt.
    Migration::Sql("ALTER TABLE attempt ADD COLUMN load_seconds REAL;"),
    // Format 6: the roles a worker is given work of, as a JSON list.
    Migration::Sql("ALTER TABLE worker_state ADD COLUMN assigned TEXT;"),
    Migration::Sql(include_str!("format-7.sql")),
    // Format 8: what people say of a job, as JSON.
    Migration::Sql("ALTER TABLE job ADD COLUMN about TEXT;"),
    // Format 9: a job's priority where it is no more the one it was submitted with.
    Migration::Sql("ALTER TABLE job ADD COLUMN priority_now INTEGER;"),
    Migration::Sql(include_str!("format-10.sql")),
    // Format 11: what was forecast of a job when that could first be told.
    Migration::Sql("ALTER TABLE job ADD COLUMN forecast_at REAL; ALTER TABLE job ADD COLUMN forecast_seconds REAL;"),
    // Format 12: what people say of workers, those that no job names among them.
    Migration::Sql("CREATE TABLE worker_note (worker TEXT PRIMARY KEY, note TEXT NOT NULL) STRICT;"),
    // Format 13: of a text that is kept though no open video reads it, who made it and who read it last.
    Migration::Sql(
        "ALTER TABLE text_artifact ADD COLUMN weights TEXT; ALTER TABLE text_artifact ADD COLUMN job INTEGER;",
    ),
    // Format 14: frames of a video that others start from, as JSON.
    Migration::Sql("ALTER TABLE video ADD COLUMN frames TEXT;"),
    // Format 15: how long a clip is; images have neither.
    Migration::Sql("ALTER TABLE image ADD COLUMN pictures INTEGER; ALTER TABLE image ADD COLUMN microseconds INTEGER;"),
    // Format 16: who may do what, and by which key or token they are known; both as JSON. And jobs from before it was kept what a
    // client asked for, whose keys stand for nothing else now either.
    Migration::Sql(
        "UPDATE job SET asked = '0000000000000000000000000000000000000000000000000000000000000000' WHERE asked = '';
         CREATE TABLE access_grant (id INTEGER PRIMARY KEY, name TEXT NOT NULL, rights TEXT NOT NULL, proof TEXT NOT NULL,
         created REAL NOT NULL, expires REAL) STRICT;",
    ),
];

impl Migration {
    /// Takes the step.
    pub(super) fn run(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let (table, column, rewrite) = match self {
            Self::Sql(statements) => return Ok(transaction.execute_batch(statements)?),
            Self::Json { table, column, rewrite } => (table, column, rewrite),
        };
        let select = format!("SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL AND rowid > ?1 LIMIT 1");
        let update = format!("UPDATE {table} SET {column} = ?2 WHERE rowid = ?1");
        let (mut select, mut update) = (transaction.prepare(&select)?, transaction.prepare(&update)?);
        let mut last = i64::MIN;
        // One row at a time: what they hold may be large.
        while let Some((row, json)) =
            select.query_map([last], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?.next().transpose()?
        {
            let damaged = |error| Fault::Value(format!("table {table}: column {column}: {error}"));
            let mut value: Value = serde_json::from_str(&json).map_err(damaged)?;
            rewrite(&mut value);
            update.execute(params![row, value.to_string()])?;
            last = row;
        }
        Ok(())
    }
}

fn unknown_memory(totals: &mut Value) {
    let machines = totals.get_mut("machines").and_then(Value::as_array_mut);
    for bytes in machines.into_iter().flatten().filter_map(|machine| machine.get_mut("memory_bytes")) {
        if *bytes == 0 {
            *bytes = Value::Null;
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use wanfarm_types::JobId;
    use wanfarm_types::fixtures::{info, request};

    use super::*;
    use crate::store::{DataDirectory, Row, SqliteStore, Store};

    /// A database as a version of this format has left it, with a model, a worker and a job of one video.
    fn of_format(format: usize, path: &std::path::Path) {
        let mut database = Connection::open(path).unwrap();
        let transaction = database.transaction().unwrap();
        MIGRATIONS[..format]
            .iter()
            .for_each(|step| step.run(&transaction).unwrap_or_else(|_| panic!("step of {format}")));
        let model = serde_json::to_string(&info(wanfarm_types::Experts::Single)).unwrap();
        transaction.execute("INSERT INTO model (name, info) VALUES ('wan', ?1)", [model]).unwrap();
        let worker = "6f8f6b2e-2a70-4a57-9e8d-0d7a4a1c2b3d";
        transaction.execute("INSERT INTO worker (id, name, device) VALUES (?1, 'mac', 'metal')", [worker]).unwrap();
        let job = "INSERT INTO job (id, client_key, name, model, priority, early_look, submitted)
                   VALUES (7, 'key', 'night', 'wan', 50, 0, 1.5)";
        transaction.execute(job, []).unwrap();
        let video = serde_json::to_string(&request()).unwrap();
        transaction.execute("INSERT INTO video (job, place, request) VALUES (7, 0, ?1)", [video]).unwrap();
        transaction.pragma_update(None, "user_version", format as i64).unwrap();
        transaction.commit().unwrap();
    }

    #[test]
    fn a_database_of_every_format_is_brought_up_to_date_and_written_to() {
        for format in 1..MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            of_format(format, &dir.path().join("coordinator.sqlite"));
            let directory = DataDirectory::open(dir.path()).unwrap();
            let mut store = SqliteStore::open(&directory).unwrap_or_else(|error| panic!("format {format}: {error}"));
            let loaded = store.load().unwrap_or_else(|error| panic!("format {format}: {error}"));
            let told = |kind: fn(&Row) -> bool| loaded.rows.iter().filter(|row| kind(row)).count();
            let kinds = [
                told(|row| matches!(row, Row::Model(_))),
                told(|row| matches!(row, Row::Worker { name, .. } if name == "mac")),
                told(|row| matches!(row, Row::Job(job) if job.id == JobId(7) && job.submission.videos == [request()])),
            ];
            assert_eq!(kinds, [1, 1, 1], "format {format}: {:?}", loaded.rows);
            assert_eq!(loaded.next_job, JobId(8), "format {format}");
            store.commit(&loaded.rows[..2]).unwrap();
            assert!(dir.path().join(format!("coordinator.format-{format}.sqlite")).is_file(), "as it was, it stays");
        }
    }
}
