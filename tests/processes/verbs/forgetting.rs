//! What is named, forgotten and refused: jobs called by numbers, keys, jobs and workers that are forgotten, and a worker
//! with other weights for one of its roles.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{demo, eventually};
use crate::verbs::farm::{Farm, ROLES, manifest};

#[test]
fn a_job_called_by_a_number_is_never_mistaken_for_the_one_that_has_it() {
    let farm = Farm::start();
    farm.submit(&manifest("first", 1));
    farm.submit(&manifest("1", 1));
    let asked = farm.client(&["cancel", "1"]).expect(2);
    for says in ["\"first\"", "number:1", "name:1", "job 2"] {
        assert!(asked.stderr.contains(says), "{says}: {}", asked.stderr);
    }
    farm.client(&["cancel", "name:1"]).expect(0);
    farm.client(&["status", "2", "--watch"]).expect(0);
    let states = ["number:1", "name:1"].map(|job| farm.job(job)["state"].clone());
    assert_eq!(states, ["active", "cancelled"]);
    let refused = farm.client(&["cancel", "number:1/0"]).expect(2);
    assert!(refused.stderr.contains("job 1 can run yet"), "{}", refused.stderr);
}

#[test]
fn a_key_is_one_manifest() {
    let farm = Farm::start();
    let submit = |text: &str, key: &str| {
        let path = farm.sandbox.manifest(text);
        farm.client(&["submit", path.to_str().unwrap(), "--key", key])
    };
    let first = submit(&manifest("night", 1), "k").expect(0);
    let again = submit(&manifest("night", 1), "k").expect(0);
    assert_eq!(first.stdout, again.stdout);
    assert!(again.stderr.contains("already queued as job 1"), "{}", again.stderr);
    let refused = submit(&manifest("other", 3), "k").expect(2);
    assert!(refused.stderr.contains("job 1 (night)") && refused.stderr.contains("\"k\""), "{}", refused.stderr);
    assert_eq!(farm.json(&["status"])["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_forgotten_job_leaves_its_files_and_nothing_else() {
    let mut farm = Farm::start();
    let mut worker = farm.worker("studio", ROLES);
    farm.submit(&manifest("night", 1));
    farm.client(&["status", "night", "--watch"]).expect(0);
    let file = farm.sandbox.output().join("night/0000.mp4");
    let bytes = fs::read(&file).expect("the video");
    assert!(farm.client(&["retry", "night"]).expect(2).stderr.contains("nothing to try again"));
    let nobody = farm.submit(&manifest("nobody", 1).replace("wan-tiny-t2v", "wan-huge"));
    let refused = farm.client(&["forget", &nobody]).expect(2);
    assert!(refused.stderr.contains("has not ended") && refused.stderr.contains("--cancel"), "{}", refused.stderr);
    farm.client(&["cancel", &nobody]).expect(0);
    farm.client(&["status", &nobody, "--watch"]).expect(0);
    farm.client(&["retry", &nobody]).expect(0);
    assert_eq!(farm.job(&nobody)["waiting_for"], "a worker that serves model wan-huge");
    farm.client(&["forget", &nobody, "--cancel"]).expect(0);
    farm.client(&["forget", "night"]).expect(0);
    assert!(farm.client(&["status"]).expect(0).stdout.contains("no jobs yet"));

    let lives = farm.client(&["workers", "forget", "studio"]).expect(2);
    assert!(lives.stderr.contains("studio is idle"), "{}", lives.stderr);
    farm.client(&["workers", "drain", "studio"]).expect(0);
    assert_eq!(worker.ends(), Some(0));
    farm.until_worker("studio", "left (drained)");
    farm.client(&["workers", "forget", "studio"]).expect(0);
    farm.kill_coordinator();
    farm.start_coordinator();
    assert!(farm.client(&["status"]).expect(0).stdout.contains("no jobs yet"));
    assert!(farm.client(&["workers"]).expect(0).stdout.contains("no workers yet"));
    assert_eq!(farm.submit(&manifest("next", 1)), "3", "numbers are not given twice");
    assert_eq!(fs::read(&file).expect("the video"), bytes);
}

#[test]
fn jobs_are_forgotten_when_they_have_been_kept_for_as_long_as_was_asked() {
    let farm = Farm::start_with(&["--keep", "1s"]);
    let _worker = farm.worker("studio", ROLES);
    farm.submit(&manifest("night", 1));
    eventually("it is rendered", || farm.sandbox.output().join("night/0000.json").is_file().then_some(()));
    eventually("it is forgotten", || farm.client(&["status"]).stdout.contains("no jobs yet").then_some(()));
    assert!(farm.sandbox.output().join("night/0000.mp4").is_file());
}

/// The demo's models with one byte of the VAE's last weight changed.
fn with_another_vae(place: &Path) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(from, to).expect("a copy");
            }
        }
    }
    copy(&demo().join("wan-tiny-t2v"), &place.join("wan-tiny-t2v"));
    let mut vae =
        fs::read_dir(place.join("wan-tiny-t2v/vae")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let weights = vae.find(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let weights = weights.expect("weights");
    let mut bytes = fs::read(&weights).expect("weights");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(weights, bytes).expect("weights");
    place.to_owned()
}

#[test]
fn a_worker_with_other_weights_for_one_role_works_on_in_its_others() {
    let farm = Farm::start();
    let _frames = farm.worker("frames", "vae");
    farm.until_worker("frames", "idle");
    let models = with_another_vae(&farm.sandbox.path("models"));
    let _rest = farm.worker_of("rest", ROLES, &models);
    farm.until_worker("rest", "idle");
    let job = farm.submit(&manifest("night", 1));
    farm.client(&["status", &job, "--watch"]).expect(0);
    assert_eq!(farm.job(&job)["done"], 1);
    let workers = farm.sandbox.sidecar("night/0000")["attempts"].as_array().expect("attempts").clone();
    for attempt in workers {
        let expected = if attempt["stage"] == "decode" { "frames" } else { "rest" };
        assert_eq!(attempt["worker"], expected, "{attempt}");
    }
}
