//! The operator's guide on backups, rehearsed: its own command while a job runs, and the copy put back in the place of
//! what is lost.

use std::process::Command;

use super::{STEMS, manifest, undisturbed};
use crate::farm::Farm;
use crate::program::{Sandbox, copy_folder, eventually, repository};

/// The guide's command with the places of a test.
fn vacuum(guide: &str, database: &str, copy: &str) -> String {
    let line = guide.lines().find(|line| line.contains("VACUUM INTO")).expect("the guide has a command");
    let command = line.split('`').find(|part| part.contains("VACUUM INTO")).expect("a command in the line");
    command.replace("coordinator.sqlite \"", &format!("{database} \"")).replace("/backup/coordinator.sqlite", copy)
}

#[test]
fn a_copy_made_as_the_guide_says_finishes_the_job_with_the_same_bytes() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "\nNOT RUN: the guide's backup needs the sqlite3 command\n");
        return;
    }
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    farm.submit(&manifest(&sandbox));
    eventually("states are durable", || (sandbox.artifacts() > 3).then_some(()));

    let (data, backup) = (sandbox.path("data"), sandbox.path("backup"));
    std::fs::create_dir(&backup).expect("a folder");
    let guide = std::fs::read_to_string(repository().join("deploy/README.md")).expect("the guide");
    let place = |path: std::path::PathBuf| path.display().to_string();
    let command = vacuum(&guide, &place(data.join("coordinator.sqlite")), &place(backup.join("coordinator.sqlite")));
    let made = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert!(made.status.success(), "{command}: {}", String::from_utf8_lossy(&made.stderr));
    copy_folder(&data.join("artifacts"), &backup.join("artifacts"));

    // The night goes on for a while, with numbers and results that the copy knows nothing of; then the disk dies.
    assert!(!farm.ends_within(300), "it was to be lost in the middle of the job");
    farm.kill_coordinator();
    std::fs::remove_dir_all(&data).expect("the disk dies");
    farm.start_coordinator_on(&backup);
    farm.finish();
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
}
