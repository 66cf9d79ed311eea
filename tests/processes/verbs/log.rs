//! What `serve` logs: who did what when, and nothing while nothing happens; and what is told from afar of what workers log.

use crate::program::eventually;
use crate::verbs::farm::{Farm, ROLES, manifest};

#[test]
fn the_log_tells_who_did_what_and_is_silent_when_nothing_happens() {
    let farm = Farm::start();
    let worker = farm.worker("studio", ROLES);
    let job = farm.submit(&manifest("night", 2));
    farm.client(&["status", &job, "--watch"]).expect(0);
    // Long enough to be paused before it has ended.
    farm.submit(&manifest("later", 200));
    farm.client(&["pause", "later"]).expect(0);
    farm.client(&["cancel", "later"]).expect(0);
    eventually("it has ended", || (farm.job("later")["state"] == "cancelled").then_some(()));
    farm.client(&["workers", "drain", "studio"]).expect(0);
    eventually("it has left", || farm.log("serve").contains("worker left").then_some(()));
    drop(worker);

    let log = farm.log("serve");
    let line = |words: &[&str]| {
        let lines: Vec<&str> = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).collect();
        assert_eq!(lines.len(), 1, "{words:?} in:\n{log}");
        lines[0].to_owned()
    };
    for words in [
        &["worker attached", "\"studio\""][..],
        &["job submitted", "job=1", "\"night\"", "videos=2", "by=\"127.0.0.1:"],
        &["video done", "video=1/0"],
        &["video done", "video=1/1"],
        &["job ended", "job=1", "done=2"],
        &["job steered", "job=2", "Pause", "127.0.0.1"],
        &["job steered", "job=2", "Cancel", "127.0.0.1"],
        &["job ended", "job=2", "\"later\""],
        &["worker steered", "verb=Drain", "127.0.0.1"],
    ] {
        let line = line(words);
        assert!(line.contains(" INFO ") && line.starts_with("20"), "{line}");
    }
    // Questions are nothing that happens.
    farm.client(&["status"]).expect(0);
    farm.client(&["report", "night"]).expect(0);
    assert_eq!(farm.log("serve"), log);
}

#[test]
fn what_a_worker_logs_is_told_also_when_it_is_gone() {
    let farm = Farm::start();
    let worker = farm.worker("studio", ROLES);
    let job = farm.submit(&manifest("night", 1));
    farm.client(&["status", &job, "--watch"]).expect(0);
    let log = || farm.client(&["workers", "log", "studio"]).expect(0).stdout;
    let told = |log: &str| ["ready", "attached", "started", "done"].iter().all(|word| log.contains(word));
    eventually("its lines have come", || told(&log()).then_some(()));
    let lines = farm.json(&["workers", "log", "studio", "-n", "3"])["lines"].as_array().expect("lines").clone();
    assert_eq!((lines.len(), &lines[2]["level"]), (3, &"info".into()), "{lines:?}");
    assert!(lines[2]["at"].as_str().expect("a time").ends_with('Z'), "{lines:?}");

    drop(worker);
    eventually("it is lost", || farm.client(&["workers"]).stdout.contains("lost").then_some(()));
    assert!(told(&log()), "{}", log());
    farm.client(&["workers", "log", "nobody"]).expect(2);
}
