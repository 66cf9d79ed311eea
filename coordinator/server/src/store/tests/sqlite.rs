//! SQLite against the suite, and against what only a file can suffer.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use rusqlite::Connection;
use wanfarm_types::Experts;
use wanfarm_types::fixtures::info;

use super::conformance::conforms;
use super::memory::MemoryStore;
use super::sample::{batch, farm, job, rng};
use crate::store::{DataDirectory, Loaded, Row, SqliteStore, Store, StoreError};

#[test]
fn the_reference_conforms() {
    conforms(|| {
        let store = MemoryStore::default();
        move || store.clone()
    });
}

#[test]
fn sqlite_conforms() {
    conforms(|| {
        let dir = Rc::new(tempfile::tempdir().unwrap());
        move || open(dir.path()).unwrap()
    });
}

pub(super) fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&DataDirectory::open(path).unwrap())
}

pub(super) fn file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("coordinator.sqlite")
}

/// A power cut keeps some prefix of the log; whatever prefix it is, the rows are those after some commit.
#[test]
fn any_prefix_of_the_log_is_a_prefix_of_the_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let (mut rng, mut reference) = (rng(1), MemoryStore::default());
    let sorted = |mut loaded: Loaded| {
        loaded.rows.sort_by_cached_key(|row| format!("{row:?}"));
        loaded
    };
    store.commit(&farm()).unwrap();
    reference.commit(&farm()).unwrap();
    let mut states = vec![sorted(MemoryStore::default().load().unwrap()), sorted(reference.load().unwrap())];
    while states.len() < 40 {
        let rows = batch(&mut rng);
        if store.commit(&rows).is_ok() {
            reference.commit(&rows).unwrap();
            states.push(sorted(reference.load().unwrap()));
        }
    }
    let (main, log) =
        (std::fs::read(file(&dir)).unwrap(), std::fs::read(dir.path().join("coordinator.sqlite-wal")).unwrap());
    let mut newest = 0;
    for cut in (0..=40).map(|part| log.len() * part / 40) {
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(file(&copy), &main).unwrap();
        std::fs::write(copy.path().join("coordinator.sqlite-wal"), &log[..cut]).unwrap();
        let found = sorted(open(copy.path()).unwrap().load().unwrap());
        let state = states[newest..].iter().position(|state| *state == found);
        newest += state.unwrap_or_else(|| panic!("{cut} bytes of the log are no state that ever was"));
    }
    assert_eq!(newest, states.len() - 1);
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    Connection::open(file(&dir)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn rows_of_an_older_format_are_brought_up_to_date_with_the_json_in_them() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let database = Connection::open(file(&dir)).unwrap();
    let job = "INSERT INTO job (id, client_key, name, model, priority, early_look, submitted, totals)
               VALUES (?1, ?2, 'n', 'm', 50, 0, 0.0, ?3)";
    let totals = |bytes: &str| {
        format!(
            "{{\"begun\":0.1,\"shares\":[],\"machines\":[{{\"name\":\"a\",\"memory_bytes\":{bytes},\"weights\":[]}}]}}"
        )
    };
    database.execute(job, (1, "a", totals("0"))).unwrap();
    database.execute(job, (2, "b", None::<String>)).unwrap();
    database.execute(job, (3, "c", totals("7"))).unwrap();
    let to_format_3 = |database: &Connection| {
        database.execute_batch("ALTER TABLE attempt DROP COLUMN load_seconds; ALTER TABLE worker_state DROP COLUMN assigned; ALTER TABLE video DROP COLUMN started; ALTER TABLE video DROP COLUMN ended; DROP TABLE event; ALTER TABLE job DROP COLUMN about; ALTER TABLE job DROP COLUMN priority_now; ALTER TABLE job DROP COLUMN forecast_at; ALTER TABLE job DROP COLUMN forecast_seconds; DROP TABLE webhook; DROP TABLE access_grant; DROP TABLE worker_note; ALTER TABLE text_artifact DROP COLUMN weights; ALTER TABLE text_artifact DROP COLUMN job; ALTER TABLE video DROP COLUMN frames; ALTER TABLE image DROP COLUMN pictures; ALTER TABLE image DROP COLUMN microseconds; PRAGMA user_version = 3").unwrap();
    };
    to_format_3(&database);
    drop(database);
    for _ in 0..2 {
        drop(open(dir.path()).unwrap());
        let database = Connection::open(file(&dir)).unwrap();
        let read = |id: i64| {
            database
                .query_row("SELECT totals FROM job WHERE id = ?1", [id], |row| row.get::<_, Option<String>>(0))
                .unwrap()
        };
        assert_eq!([1, 2, 3].map(read), [Some(totals("null")), None, Some(totals("7"))]);
    }
    let database = Connection::open(file(&dir)).unwrap();
    database.execute("UPDATE job SET totals = '{' WHERE id = 3", []).unwrap();
    to_format_3(&database);
    drop(database);
    let damaged = open(dir.path()).unwrap_err().to_string();
    assert!(damaged.contains("table job: column totals"), "{damaged}");
}

#[test]
fn what_another_program_locks_is_written_when_it_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let other = Connection::open(file(&dir)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(&[job(1, "a", 1)]).unwrap_err();
    assert!(error.may_pass() && !error.is_full(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(&[job(1, "a", 1)]).unwrap();

    // Locked altogether, it cannot even be opened.
    drop(store);
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE").unwrap();
    let starting = std::thread::scope(|scope| {
        let starting = scope.spawn(|| open(dir.path()).map(|mut store| store.load().unwrap().rows.len()));
        // Whether it is waiting already does not matter: it gets in either way, and no sooner.
        std::thread::yield_now();
        assert!(!starting.is_finished());
        drop(other);
        starting.join().unwrap()
    });
    assert_eq!(starting.unwrap(), 1);
}

/// What is done to the files of an open store.
type Mishap = fn(&Path);

#[test]
fn a_file_that_is_moved_deleted_or_replaced_is_missed_at_the_next_commit_and_its_rows_are_saved() {
    let moved: Mishap = |path| std::fs::rename(path, path.with_extension("moved")).unwrap();
    let deleted: Mishap = |path| std::fs::remove_file(path).unwrap();
    let replaced: Mishap = |path| {
        std::fs::copy(path, path.with_extension("copy")).unwrap();
        std::fs::rename(path.with_extension("copy"), path).unwrap();
    };
    for mishap in [moved, deleted, replaced] {
        for name in ["coordinator.sqlite", "coordinator.sqlite-wal"] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = open(dir.path()).unwrap();
            store.commit(&[job(1, "a", 1)]).unwrap();
            mishap(&dir.path().join(name));
            std::fs::write(dir.path().join("coordinator.saved-1.sqlite"), "of an earlier mishap").unwrap();
            let error = store.commit(&[job(2, "b", 1)]).unwrap_err();
            let StoreError::Moved { path, saved: Some(saved) } = &error else { panic!("{error}") };
            assert!(path.ends_with(name) && error.to_string().contains(&saved.display().to_string()), "{error}");
            drop(store);
            // As the message says.
            let home = tempfile::tempdir().unwrap();
            std::fs::rename(saved, file(&home)).unwrap();
            assert_eq!(open(home.path()).unwrap().load().unwrap().rows, [job(1, "a", 1), job(2, "b", 1)]);
        }
    }
}

#[test]
fn work_without_its_database_stops_the_start_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let work = |dir: &Path| {
        let shelf = dir.join("artifacts/00");
        std::fs::create_dir_all(&shelf).unwrap();
        std::fs::write(shelf.join(wanfarm_types::Digest([0; 32]).to_string()), "work").unwrap();
    };
    open(dir.path()).unwrap().commit(&[job(1, "a", 1)]).unwrap();
    work(dir.path());
    let database = std::fs::read(file(&dir)).unwrap();
    let refused = |what: &str| {
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Orphans { files: 1, .. }), "{what}: {error}");
        assert!(error.to_string().contains("artifacts"), "{error}");
    };

    std::fs::remove_file(file(&dir)).unwrap();
    refused("missing");
    assert!(!file(&dir).exists(), "it would not be missed the next time");
    std::fs::write(file(&dir), "").unwrap();
    refused("empty");
    std::fs::remove_file(file(&dir)).unwrap();
    Connection::open(file(&dir)).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    refused("without tables");
    let other = tempfile::tempdir().unwrap();
    open(other.path()).unwrap().commit(&[job(1, "other", 1)]).unwrap();
    std::fs::copy(file(&other), file(&dir)).unwrap();
    refused("another farm's");

    std::fs::write(file(&dir), database).unwrap();
    assert_eq!(open(dir.path()).unwrap().load().unwrap().rows, [job(1, "a", 1)]);
    // Without the work there is nothing to lose.
    std::fs::remove_dir_all(dir.path().join("artifacts")).unwrap();
    std::fs::remove_file(file(&dir)).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn before_its_format_changes_a_database_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().commit(&[job(1, "a", 1)]).unwrap();
    let database = Connection::open(file(&dir)).unwrap();
    let known: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    // The last step adds a table.
    database.execute_batch("DROP TABLE access_grant").unwrap();
    database.pragma_update(None, "user_version", known - 1).unwrap();
    drop(database);
    open(dir.path()).unwrap();
    let old = Connection::open(dir.path().join(format!("coordinator.format-{}.sqlite", known - 1))).unwrap();
    let found: (i64, i64) = old
        .query_row("SELECT count(*), (SELECT user_version FROM pragma_user_version) FROM job", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(found, (1, known - 1));
}

#[test]
fn durations_that_are_no_numbers_are_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let video = wanfarm_types::VideoId { job: wanfarm_types::JobId(1), index: 0 };
    let outputs =
        |seconds| Row::Outputs { video, written: [].into(), verdict: "ok".into(), seconds, frames: [].into() };
    store.commit(&[job(1, "a", 1), outputs(f64::NAN)]).unwrap();
    assert!(store.load().unwrap().rows.contains(&outputs(0.0)));
}

#[test]
fn what_cannot_be_read_again_is_not_written_and_the_field_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    let infos = [f64::NAN, f64::INFINITY].map(|boundary| Row::Model(info(Experts::Dual { boundary })));
    let mut guided = info(Experts::Single);
    guided.defaults.guidance.low = f64::NAN;
    for (info, field) in infos.into_iter().chain([Row::Model(guided)]).zip(["experts", "experts", "guidance"]) {
        let error = store.commit(&[info]).unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
        assert_eq!(store.load().unwrap().rows, []);
    }
    let Row::Job(mut job) = job(1, "a", 1) else { panic!() };
    job.submission.videos[0].shift = Some(f64::NEG_INFINITY);
    store.commit(&[Row::Job(job)]).unwrap_err();
    assert_eq!(store.load().unwrap().rows, []);
}

#[test]
fn what_guards_the_bytes_is_switched_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let pragma =
        |name| store.database.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    // 2 is FULL.
    assert_eq!(pragma("synchronous"), 2.into());
    assert_eq!(pragma("foreign_keys"), 1.into());
}

/// A store whose disk has room for no more than some pages.
#[test]
fn a_full_disk_is_told_from_a_broken_one_and_room_lets_it_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).unwrap();
    store.commit(&[job(1, "a", 1)]).unwrap();
    let before = store.load().unwrap();
    let pages: i64 = store.database.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.database.pragma_update(None, "max_page_count", pages).unwrap();
    let error = store.commit(&[job(2, "b", 500)]).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(store.load().unwrap(), before);
    store.database.pragma_update(None, "max_page_count", i64::from(u32::MAX) - 2).unwrap();
    store.commit(&[job(2, "b", 500)]).unwrap();
}
