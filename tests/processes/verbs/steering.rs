//! Jobs and workers are steered with no worker, some and all there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::program::{binary, eventually};
use crate::verbs::farm::{Farm, ROLES, manifest};

#[test]
fn a_job_says_for_whom_it_waits_and_goes_on_when_they_come() {
    let farm = Farm::start();
    assert!(farm.client(&["status"]).expect(0).stdout.contains("no jobs yet"));
    assert!(farm.client(&["workers"]).expect(0).stdout.contains("no workers yet"));

    let path = farm.sandbox.manifest(&manifest("night", 2));
    let of_whom = ["--owner", "ann", "--label", "shot=010"];
    let submit = [&["submit", path.to_str().unwrap(), "--key", "of the night"][..], &of_whom].concat();
    let refused = farm.client(&["submit", path.to_str().unwrap(), "--label", "a b=c"]).expect(2);
    assert!(refused.stderr.contains("a b"), "{}", refused.stderr);
    let first = farm.client(&submit).expect(0);
    assert!(first.stderr.contains("waits for a worker that serves model wan-tiny-t2v"), "{}", first.stderr);
    assert_eq!(farm.client(&submit).expect(0).stdout, first.stdout, "one key is one job");
    assert_eq!(farm.json(&["status"])["jobs"].as_array().unwrap().len(), 1);
    assert_eq!((&farm.job("night")["owner"], &farm.job("night")["labels"]["shot"]), (&"ann".into(), &"010".into()));
    let told = farm.client(&["status", "night"]).expect(0).stdout;
    assert!(told.contains("owner ann\nlabels shot=010\n"), "{told}");
    let refused = farm.client(&["pause", "night"]).expect(2);
    assert!(refused.stderr.contains("waits for a worker that serves model"), "{}", refused.stderr);
    let risen = farm.client(&["priority", "night", "90"]).expect(0);
    assert!(risen.stdout.contains("night: has priority 90"), "{}", risen.stdout);
    farm.client(&["priority", "night", "101"]).expect(2);

    let mut texts = farm.worker("texts", "text-encoder");
    let waiting = farm.until_waiting_for("night", "dit-high");
    assert_eq!(waiting, "a dit-high and a dit-low and a vae worker for model wan-tiny-t2v");
    farm.client(&["workers", "drain", "texts"]).expect(0);
    assert_eq!(texts.ends(), Some(0));
    let log = farm.log("texts");
    assert!(log.contains("drained"), "{log}");
    farm.until_worker("texts", "left (drained)");
    // Whatever starts it again gets a worker that stays, without work, until it is enabled.
    let _texts = farm.worker("texts", "text-encoder");
    assert_eq!(farm.until_worker("texts", "drained")["roles"], serde_json::json!(["text-encoder"]));
    let id = farm.worker_line("texts").unwrap()["id"].as_str().unwrap()[..8].to_owned();
    farm.client(&["workers", "enable", &id]).expect(0);
    farm.until_worker("texts", "idle");

    let paused = farm.client(&["pause", "night"]).expect(0);
    assert!(paused.stdout.contains("paused"), "{}", paused.stdout);
    assert_eq!(farm.job("night")["state"], "paused");
    let _rest = farm.worker("rest", "dit-high,dit-low,vae");
    farm.until_worker("rest", "idle");
    assert_eq!(farm.job("1")["done"], 0, "a paused job starts nothing");
    // It was planned with the priority it had by then.
    assert_eq!(farm.job("night")["priority"], 90);
    farm.client(&["priority", "night", "20"]).expect(0);
    assert_eq!(farm.job("night")["priority"], 20);
    farm.client(&["resume", "1"]).expect(0);
    let watched = farm.client(&["status", "night", "--watch"]).expect(0);
    assert!(watched.stdout.contains("2 of 2 videos done"), "{}", watched.stdout);
    let job = farm.job("night");
    assert_eq!((&job["state"], &job["done"], &job["waiting_for"]), (&"done".into(), &2.into(), &().into()));
    let ended = farm.client(&["pause", "night"]).expect(2);
    assert!(ended.stderr.contains("has ended"), "{}", ended.stderr);

    let again = farm.client(&["rerender", "night/1", "--seed", "99"]).expect(0);
    assert!(again.stderr.contains("1 video of job 1 rendered again as job 2"), "{}", again.stderr);
    assert_eq!((again.stdout.as_str(), &farm.job("2")["videos"]), ("2\n", &1.into()));
    for (wrong, why) in [(&["1", "--seed", "7"][..], "--seed is for a single video"), (&["1/9"], "no video 9")] {
        let refused = farm.client(&[&["rerender"][..], wrong].concat()).expect(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    assert_eq!(farm.json(&["rerender", "1"])["videos"], 2, "all that are done");
}

#[test]
fn a_drained_worker_is_named_by_those_who_wait_for_it() {
    let farm = Farm::start();
    let mut all = farm.worker("studio", ROLES);
    farm.until_worker("studio", "idle");
    farm.client(&["workers", "drain", "studio"]).expect(0);
    assert_eq!(all.ends(), Some(0));
    let job = farm.submit(&manifest("night", 1));
    let waiting = farm.until_waiting_for(&job, "studio is drained, and has left");
    assert!(waiting.starts_with("a text-encoder and a dit-high"), "{waiting}");
    let _all = farm.worker("studio", ROLES);
    farm.until_waiting_for(&job, "(studio is drained)");
    farm.client(&["workers", "enable", "studio"]).expect(0);
    farm.client(&["status", &job, "--watch"]).expect(0);
    assert_eq!(farm.job(&job)["done"], 1);
}

#[test]
fn an_assigned_worker_does_that_work_alone_also_after_it_was_started_again() {
    let farm = Farm::start();
    let studio = farm.worker("studio", ROLES);
    farm.until_worker("studio", "idle");
    let refused = farm.client(&["workers", "assign", "studio", "dit"]).expect(2);
    assert!(
        refused.stderr.contains("studio does not serve dit; it serves text-encoder, dit-high"),
        "{}",
        refused.stderr
    );
    farm.client(&["workers", "assign", "studio"]).expect(2);
    farm.client(&["workers", "assign", "studio", "vae", "--auto"]).expect(2);
    let assigned = farm.client(&["workers", "assign", "studio", "text-encoder,dit-high"]).expect(0);
    assert_eq!(assigned.stdout, "studio: idle, only text-encoder,dit-high\n");
    assert!(farm.client(&["workers"]).expect(0).stdout.contains("only text-encoder,dit-high"));
    let job = farm.submit(&manifest("night", 1));
    let waiting = farm.until_waiting_for(&job, "studio is assigned to other roles");
    assert!(waiting.starts_with("a dit-low and a vae worker"), "{waiting}");
    // Killed.
    drop(studio);
    let _studio = farm.worker("studio", ROLES);
    assert_eq!(farm.until_worker("studio", "idle")["assigned"], serde_json::json!(["text-encoder", "dit-high"]));
    farm.client(&["workers", "assign", "studio", "--auto"]).expect(0);
    farm.client(&["status", &job, "--watch"]).expect(0);
    assert_eq!(farm.job(&job)["done"], 1);
}

#[test]
fn cancelled_videos_stay_away_until_they_are_retried() {
    let farm = Farm::start();
    let _texts = farm.worker("texts", "text-encoder");
    let job = farm.submit(&manifest("night", 3));
    farm.until_waiting_for(&job, "dit-high");
    farm.client(&["cancel", "night/1"]).expect(0);
    let states = |farm: &Farm| {
        let videos = farm.json(&["status", "night"])["videos"].clone();
        videos.as_array().unwrap().iter().map(|video| video["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // While its texts are encoded a video is running.
    eventually("texts are encoded", || (states(&farm) == ["waiting", "cancelled", "waiting"]).then_some(()));
    farm.client(&["retry", "night/1"]).expect(0);
    eventually("all wait again", || (states(&farm) == ["waiting"; 3]).then_some(()));
    farm.client(&["cancel", "night"]).expect(0);
    // Ends with the job, which has just ended.
    farm.client(&["status", "night", "--watch"]).expect(0);
    let line = farm.job("night");
    assert_eq!((&line["state"], &line["cancelled"], &line["failed"]), (&"cancelled".into(), &3.into(), &0.into()));
    let report = farm.client(&["report", "night"]).expect(1);
    assert!(report.stdout.contains("3 cancelled"), "{}", report.stdout);

    farm.client(&["retry", "night"]).expect(0);
    assert_eq!(farm.job("night")["state"], "active");
    farm.client(&["cancel", "night/0"]).expect(0);
    let _rest = farm.worker("rest", "dit-high,dit-low,vae");
    farm.client(&["status", "night", "--watch"]).expect(0);
    assert_eq!(states(&farm), ["cancelled", "done", "done"]);
}

#[test]
fn a_job_that_nobody_could_render_can_be_cancelled() {
    let farm = Farm::start();
    let job = farm.submit(&manifest("night", 2).replace("wan-tiny-t2v", "wan-huge"));
    assert_eq!(farm.job(&job)["waiting_for"], "a worker that serves model wan-huge");
    farm.client(&["cancel", &job]).expect(0);
    farm.client(&["status", &job, "--watch"]).expect(0);
    assert_eq!(farm.job(&job)["cancelled"], 2);
}

#[test]
fn a_follower_of_a_job_waits_for_a_coordinator_that_is_away() {
    let mut farm = Farm::start();
    let path = farm.sandbox.manifest(&manifest("night", 2));
    let mut follow = Command::new(binary());
    follow.args(["submit", path.to_str().unwrap(), "--follow", "--coordinator", &farm.url]);
    let mut follow = follow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("client");
    let mut said = BufReader::new(follow.stderr.take().expect("stderr")).lines();
    let mut until = |words: &str| {
        let line = said.find(|line| line.as_ref().is_ok_and(|line| line.contains(words)));
        line.unwrap_or_else(|| panic!("it ended without a word of {words:?}")).expect("text")
    };
    until("waiting for a worker that serves model");
    farm.kill_coordinator();
    until("the coordinator is away");
    farm.start_coordinator();
    until("the coordinator is back");
    let _worker = farm.worker("studio", ROLES);
    until("done=2");
    let ended = follow.wait_with_output().expect("the client ends");
    assert_eq!(ended.status.code(), Some(0));
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(told.contains("job 1 night: 2 of 2 videos done"), "{told}");
}

#[test]
fn following_a_job_ends_with_its_exit_code() {
    let farm = Farm::start();
    let _all = farm.worker("studio", ROLES);
    let path = farm.sandbox.manifest(&manifest("night", 2));
    let ended = farm.client(&["submit", path.to_str().unwrap(), "--follow"]).expect(0);
    assert!(ended.stdout.contains("2 of 2 videos done"), "{}", ended.stdout);
    assert!(ended.stdout.contains(farm.sandbox.output().to_str().unwrap()), "{}", ended.stdout);
    assert!(ended.stderr.contains("stage="), "{}", ended.stderr);
    let path = farm.sandbox.manifest(&manifest("again", 1));
    let lines = farm.client(&["submit", path.to_str().unwrap(), "--follow", "--json"]).expect(0).stdout;
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["job"]["state"], &last["job"]["done"]), (&"done".into(), &1.into()));
}
