//! What people and other programs do to the database of a coordinator: nothing that was recorded is lost by it.

use std::path::PathBuf;

use rusqlite::Connection;

use crate::program::{eventually, files_below, says};
use crate::verbs::farm::{Farm, ROLES, manifest};

fn database(farm: &Farm) -> PathBuf {
    farm.sandbox.path("data/coordinator.sqlite")
}

/// Artifacts that are whole: those on their way have a `#` in their names.
fn whole(farm: &Farm) -> Vec<String> {
    let mut files = files_below(&farm.sandbox.path("data/artifacts"));
    files.retain(|name| name.contains('/') && !name.contains('#'));
    files
}

/// A farm that was killed while it had unfinished work on its disk.
fn interrupted() -> Farm {
    let mut farm = Farm::start();
    let worker = farm.worker("studio", ROLES);
    farm.submit(&manifest("night", 12));
    eventually("an artifact is whole", || (!whole(&farm).is_empty()).then_some(()));
    farm.kill_coordinator();
    drop(worker);
    farm
}

#[test]
fn work_whose_database_is_gone_is_left_alone_until_the_database_is_back() {
    let mut farm = interrupted();
    let (artifacts, away) = (whole(&farm), farm.sandbox.path("away"));
    assert!(!artifacts.is_empty());
    std::fs::create_dir(&away).unwrap();
    let files = ["coordinator.sqlite", "coordinator.sqlite-wal", "coordinator.sqlite-shm"];
    for file in files {
        let _ = std::fs::rename(farm.sandbox.path("data").join(file), away.join(file));
    }
    let told = farm.coordinator_ends().expect(1).stderr;
    says(&told, &["artifacts", "is missing", "backup", "away"]);
    // A run has a folder of its own below this one, and touches nothing else.
    let shots = farm.sandbox.manifest(&manifest("shots", 1));
    farm.sandbox.run(&shots, &crate::program::demo()).wait().expect(0);
    assert_eq!(whole(&farm), artifacts, "nothing may be deleted");
    assert!(!database(&farm).exists(), "an empty one would not be missed the next time");

    for file in files {
        let _ = std::fs::rename(away.join(file), farm.sandbox.path("data").join(file));
    }
    farm.start_coordinator();
    let _worker = farm.worker("studio", ROLES);
    farm.client(&["status", "night", "--watch"]).expect(0);
    assert_eq!(farm.job("night")["done"], 12);
}

#[test]
fn a_database_that_is_moved_away_stops_the_coordinator_and_what_it_held_goes_on() {
    let mut farm = Farm::start();
    let worker = farm.worker("studio", ROLES);
    farm.submit(&manifest("night", 12));
    farm.sandbox.first_artifact();
    std::fs::rename(database(&farm), farm.sandbox.path("moved.sqlite")).unwrap();
    assert_eq!(farm.ended(), Some(1));
    let told = farm.log("serve");
    assert!(told.contains("was moved, deleted or replaced") && told.contains("coordinator.saved-1.sqlite"), "{told}");
    for file in ["coordinator.sqlite-wal", "coordinator.sqlite-shm"] {
        let _ = std::fs::remove_file(farm.sandbox.path("data").join(file));
    }
    std::fs::rename(farm.sandbox.path("data/coordinator.saved-1.sqlite"), database(&farm)).unwrap();
    farm.start_coordinator();
    farm.client(&["status", "night", "--watch"]).expect(0);
    assert_eq!(farm.job("night")["done"], 12);
    drop(worker);
}

#[test]
fn a_database_that_another_program_locks_is_waited_for_and_people_are_told() {
    let mut farm = Farm::start();
    let _worker = farm.worker("studio", ROLES);
    let job = farm.submit(&manifest("night", 12));
    let shell = Connection::open(database(&farm)).unwrap();
    shell.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = farm.until_waiting_for(&job, "locked");
    assert!(told.contains("coordinator.sqlite"), "{told}");
    shell.execute_batch("ROLLBACK").unwrap();
    farm.client(&["status", &job, "--watch"]).expect(0);
    assert_eq!(farm.job(&job)["done"], 12);

    // Locked altogether, at the start.
    farm.kill_coordinator();
    shell.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE").unwrap();
    let mut waiting = farm.start_coordinator_later();
    eventually("it says so", || farm.log("serve").contains("locked").then_some(()));
    assert!(waiting.is_running());
    drop(shell);
    farm.coordinator_listens(waiting);
    assert_eq!(farm.job(&job)["state"], "done");
}
