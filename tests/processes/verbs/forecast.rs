//! `submit --dry-run`: without workers, with workers, and after something was measured.

use std::process::Command;

use serde_json::Value;

use crate::program::{Running, Sandbox, binary, demo, repository, says};
use crate::verbs::farm::{Farm, ROLES, manifest};

fn offline(arguments: &[&str]) -> crate::program::Ended {
    let mut command = Command::new(binary());
    // Port 1 is reserved; nothing of ours or anybody's listens there.
    Running::start(command.args(arguments).args(["--coordinator", "http://127.0.0.1:1"])).wait()
}

#[test]
fn without_a_coordinator_it_says_what_the_files_tell_and_what_it_could_not_ask() {
    let shapes = demo().join("shapes.toml");
    let shapes = shapes.to_str().unwrap();
    let told = offline(&["submit", shapes, "--dry-run"]).expect(0).stdout;
    says(&told, &["12 videos", "127.0.0.1:1", "nobody could say", "denoise_high", "MiB", "balance"]);
    let json: Value =
        serde_json::from_str(&offline(&["submit", shapes, "--dry-run", "--json"]).expect(0).stdout).unwrap();
    assert_eq!((&json["asked"], &json["videos"], &json["seconds"]), (&false.into(), &12.into(), &Value::Null));
    let steps = |stage: &str| {
        let stages = json["stages"].as_array().unwrap();
        stages.iter().find(|line| line["stage"] == stage).map(|line| line["units"].as_u64().unwrap()).unwrap()
    };
    assert_eq!(steps("denoise_high") + steps("denoise_low"), 12 * 20);
    assert!(json["roles"][1]["needs_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{}", json["roles"]);

    // Of a model that is not here either, there is only the number.
    let sandbox = Sandbox::new();
    let path = sandbox.manifest(&manifest("night", 3));
    let told = offline(&["submit", path.to_str().unwrap(), "--dry-run"]).expect(0).stdout;
    assert!(told.contains("3 videos") && told.contains("--models"), "{told}");
    let models = repository().join("deploy/demo");
    let told =
        offline(&["submit", path.to_str().unwrap(), "--dry-run", "--models", models.to_str().unwrap()]).expect(0);
    assert!(told.stdout.contains("decode"), "{}", told.stdout);
}

#[test]
fn it_knows_no_time_before_something_was_measured_and_queues_nothing() {
    let farm = Farm::start();
    let path = farm.sandbox.manifest(&manifest("night", 4));
    let dry = ["submit", path.to_str().unwrap(), "--dry-run"];
    let unknown = farm.json(&dry);
    assert_eq!((&unknown["asked"], &unknown["model_known"]), (&true.into(), &false.into()));
    assert_eq!(unknown["waiting_for"], "a worker that serves model wan-tiny-t2v");

    let _worker = farm.worker("studio", ROLES);
    farm.until_worker("studio", "idle");
    let told = farm.client(&dry).expect(0).stdout;
    assert!(told.contains("no measurements yet of encode_text, denoise_high, denoise_low, decode"), "{told}");
    assert_eq!(farm.json(&["status"])["jobs"], serde_json::json!([]), "a dry run queues nothing");

    let job = farm.submit(&manifest("measure", 1));
    farm.client(&["status", &job, "--watch"]).expect(0);
    let measured = farm.json(&dry);
    assert!(measured["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{measured}");
    assert!(measured["stages"].as_array().unwrap().iter().all(|stage| stage["basis"] == "measured"), "{measured}");
    assert!(measured["roles"].as_array().unwrap().iter().all(|role| role["workers"] == 1), "{measured}");
    assert_eq!(measured["balance"]["measured"], true);
    let larger = farm.sandbox.manifest(&manifest("large", 4).replace("= 32", "= 64"));
    let scaled = farm.json(&["submit", larger.to_str().unwrap(), "--dry-run"]);
    assert_eq!(scaled["stages"][1]["basis"], "scaled", "{scaled}");
}

#[test]
fn a_manifest_with_faults_is_refused_before_anybody_is_asked() {
    let sandbox = Sandbox::new();
    let path = sandbox.manifest(&manifest("night", 1).replace("frames = 5", "frames = 6"));
    let ended = offline(&["submit", path.to_str().unwrap(), "--dry-run"]).expect(2);
    assert!(ended.stderr.contains("frames"), "{}", ended.stderr);
}
