//! Databases whose values are anything: opened, read and repaired as a coordinator does. An input is a list of values, each
//! with the column that it is put into.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use rusqlite::types::Value;
use wanfarm_fuzz::{farm, parts, scratch, seeds};
use wanfarm_scheduler::{Config, Instant, Scheduler};
use wanfarm_server::store::{Asked, AskedAttempts, DataDirectory, Loaded, Row, SqliteStore, Start, Store, repair};

fuzz_target!(init: seeds::write(seeds), |data: &[u8]| {
    let folder = scratch::empty("data");
    fs::copy(template(), folder.join(farm::DATABASE)).expect("room for a database");
    spoil(&folder.join(farm::DATABASE), data);
    let directory = DataDirectory::open(&folder).expect("a data directory");
    let loaded = match open(&directory).and_then(|mut store| store.load()) {
        Ok(loaded) => {
            kept(&loaded);
            restored(loaded.clone());
            Some(loaded)
        }
        Err(error) => {
            assert!(error.to_string().contains(farm::DATABASE), "{error}");
            None
        }
    };
    let Ok(repaired) = repair(&directory) else { return };
    let mut store = open(&directory).expect("what was repaired can be opened");
    let after = store.load().expect("what was repaired can be read");
    if let Some(loaded) = loaded.filter(|_| repaired.aside.is_empty()) {
        assert_eq!(format!("{loaded:?}"), format!("{after:?}"), "nothing was wrong with it");
    }
    restored(after);
    let history = store.history();
    let _ = history.span();
    let _ = history.read(&Asked { from: Start::Before(u64::MAX), limit: 9, ..Asked::default() });
    let _ = history.attempts(&AskedAttempts { limit: 9, ..AskedAttempts::default() });
});

fn open(directory: &DataDirectory) -> Result<SqliteStore, wanfarm_server::store::StoreError> {
    SqliteStore::open(directory)
}

/// What was read is written, and read as it is.
fn kept(loaded: &Loaded) {
    let folder = scratch::empty("again");
    let directory = DataDirectory::open(&folder).expect("a data directory");
    let mut store = open(&directory).expect("a new database");
    if store.commit(&loaded.rows).is_ok() {
        let again = store.load().expect("no row is written that could not be read again");
        assert_eq!(format!("{:?}", again.rows), format!("{:?}", loaded.rows));
    }
}

/// A scheduler goes on from it, or says why not.
fn restored(Loaded { rows, next_attempt, .. }: Loaded) {
    let changes = rows.into_iter().filter_map(|row| if let Row::Scheduler(change) = row { Some(change) } else { None });
    let Ok(mut scheduler) = Scheduler::restore(Config::default(), Instant(0), next_attempt, changes) else { return };
    while scheduler.poll_action().is_some() {}
    scheduler.handle_timeout(Instant(1 << 40));
    while scheduler.poll_action().is_some() {}
}

fn template() -> &'static PathBuf {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let written = farm::written(&scratch::empty("template"));
        let database = Connection::open(&written).expect("a database");
        database.pragma_update(None, "journal_mode", "DELETE").expect("nobody else has it open");
        written
    })
}

/// Puts each value into its column, of the first line of its table; those that the table itself refuses are left out.
fn spoil(path: &Path, data: &[u8]) {
    let database = Connection::open(path).expect("a database");
    database.pragma_update(None, "synchronous", "OFF").expect("it is thrown away");
    for (place, bytes) in parts::of(data) {
        let columns =
            farm::TABLES.iter().flat_map(|(table, columns)| columns.iter().map(move |column| (table, column)));
        let columns: Vec<_> = columns.collect();
        let (table, column) = columns[usize::from(place) % columns.len()];
        let [kind, bytes @ ..] = bytes else { continue };
        let number = || i64::from_le_bytes(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default()));
        let value = match kind % 5 {
            0 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            1 => Value::Integer(number()),
            2 => Value::Real(f64::from_bits(number().cast_unsigned())),
            3 => Value::Null,
            _ => Value::Blob(bytes.to_vec()),
        };
        let change = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = (SELECT max(rowid) FROM {table})");
        let _ = database.execute(&change, [value]);
    }
}

/// What stands in each column, as it is; and of some what is not known.
fn seeds() -> Vec<Vec<u8>> {
    let database = Connection::open(template()).expect("a database");
    let columns = farm::TABLES.iter().flat_map(|(table, columns)| columns.iter().map(move |column| (table, column)));
    let mut seeds = vec![Vec::new()];
    for (place, (table, column)) in (0..).zip(columns) {
        let ask = format!("SELECT {column} FROM {table} ORDER BY rowid DESC LIMIT 1");
        let bytes = match database.query_row(&ask, [], |row| row.get::<_, Value>(0)).expect("every table has a line") {
            Value::Text(text) => seeds::behind(0, text),
            Value::Integer(number) => seeds::behind(1, number.to_le_bytes()),
            Value::Real(number) => seeds::behind(2, number.to_le_bytes()),
            Value::Null | Value::Blob(_) => vec![3],
        };
        seeds.push(parts::joined(&[(place, bytes)]));
    }
    seeds
}
