//! What a disk that lies leaves of a database: it is told with its place, and repaired.

use rusqlite::Connection;
use wanfarm_types::JobId;

use super::sample::{everything, farm, job};
use super::sqlite::{file, open};
use crate::store::{DataDirectory, Repaired, Store, StoreError, repair};

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        file(&dir),
        b"no database at all, but long enough to have a header of a hundred bytes and more than that, surely",
    )
    .unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("coordinator.sqlite"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    store.commit(&[job(1, "a", 500)]).unwrap();
    drop(store);
    let mut bytes = std::fs::read(file(&dir)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    std::fs::write(file(&dir), bytes).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_value_that_nobody_wrote_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().commit(&[job(1, "a", 1)]).unwrap();
    Connection::open(file(&dir)).unwrap().execute("UPDATE job SET state = 'resting'", []).unwrap();
    let error = open(dir.path()).unwrap().load().unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("table job: column state"), "{error}");
}

#[test]
fn a_damaged_value_is_told_with_its_table_and_column() {
    for (table, column, value) in [
        ("job", "totals", "'{'"),
        ("job", "ended_elapsed", "NULL"),
        ("video", "request", "'{}'"),
        ("video", "seconds", "NULL"),
        ("video", "frames", "'['"),
        ("attempt", "begun_elapsed", "NULL"),
        ("attempt", "worker", "'nobody'"),
        ("attempt", "outcome", "'resting'"),
        ("worker", "id", "'nobody'"),
        ("pin", "weights", "'nothing'"),
        ("webhook", "kinds", "'['"),
        ("webhook", "told", "-1"),
        ("access_grant", "rights", "'[]'"),
        ("access_grant", "proof", "'{}'"),
        ("model", "info", "'{}'"),
        ("weights", "role", "'painter'"),
        ("image", "bytes", "-1"),
        ("text_artifact", "tensors", "'['"),
        ("checkpoint", "tensors", "'['"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap().commit(&everything()).unwrap();
        let change = format!("UPDATE {table} SET {column} = {value}");
        let changed = Connection::open(file(&dir)).unwrap().execute(&change, []).unwrap();
        assert!(changed > 0, "{table} has no row");
        let error = open(dir.path()).unwrap().load().unwrap_err().to_string();
        let word = |word: &str| error.contains(word);
        let named = word(&format!("table {table}")) && word(column) && word("coordinator repair --data");
        assert!(named, "{table}.{column}: {error}");
        // What it says can be done.
        let directory = DataDirectory::open(dir.path()).unwrap();
        let repaired = repair(&directory).unwrap();
        assert!(repaired.aside.iter().any(|aside| aside.contains(column)), "{table}.{column}: {repaired:?}");
        assert_eq!(repair(&directory).unwrap(), Repaired { copy: None, aside: Vec::new() });
        drop(directory);
        let loaded = open(dir.path()).unwrap().load().unwrap();
        assert!(!loaded.rows.is_empty(), "{table}.{column}");
        std::fs::rename(repaired.copy.unwrap(), file(&dir)).unwrap();
        assert_eq!(open(dir.path()).unwrap().load().unwrap_err().to_string(), error, "the copy is as it was");
    }
}

#[test]
fn of_several_jobs_the_one_that_cannot_be_read_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().commit(&farm()).unwrap();
    let change = "UPDATE video SET request = '{' WHERE job = 1 AND place = 1";
    Connection::open(file(&dir)).unwrap().execute(change, []).unwrap();
    let repaired = repair(&DataDirectory::open(dir.path()).unwrap()).unwrap();
    assert_eq!(repaired.aside.len(), 1);
    assert!(repaired.aside[0].starts_with("job 1: table video: column request"), "{:?}", repaired.aside);
    let mut store = open(dir.path()).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.rows, farm()[3..]);
    assert_eq!(loaded.next_job, JobId(5));
}

#[test]
fn a_table_whose_numbers_are_used_up_is_told_and_counts_on_from_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().commit(&farm()).unwrap();
    let spoilt = |change: &str| {
        Connection::open(file(&dir)).unwrap().execute(change, []).unwrap();
        let error = open(dir.path()).unwrap().load().unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
        let repaired = repair(&DataDirectory::open(dir.path()).unwrap()).unwrap();
        assert!(repaired.aside.iter().any(|aside| aside.contains("no number follows")), "{repaired:?}");
        (error.to_string(), open(dir.path()).unwrap().load().unwrap())
    };
    let last = i64::MAX;
    let (error, loaded) = spoilt(&format!("UPDATE sqlite_sequence SET seq = {last} WHERE name = 'job'"));
    assert!(error.contains("table job: no number follows the last one"), "{error}");
    assert_eq!((loaded.rows, loaded.next_job), (farm(), JobId(5)));
    let (error, loaded) = spoilt("UPDATE sqlite_sequence SET seq = 'many' WHERE name = 'job'");
    assert!(error.contains("\"many\""), "{error}");
    assert_eq!(loaded.next_job, JobId(5));
    let event = format!("INSERT INTO event (id, at, kind) VALUES ({last}, 1.5, 'job.ended')");
    let (error, loaded) = spoilt(&event);
    assert!(error.contains("table event: no number follows"), "{error}");
    assert_eq!((loaded.rows, loaded.next_event), (farm(), 1));
}
