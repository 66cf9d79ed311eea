//! The coordinator itself dies, again and again, and is started again on what it had recorded: workers go on, nothing
//! is lost, and no byte changes.

mod backup;
#[cfg(target_os = "linux")]
mod full;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::Value;

use crate::farm::Farm;
use crate::program::{NIGHT, Sandbox};

const STEPS: u64 = 20;

const VIDEOS: &str = r#"
[[video]]
prompt = "a red circle moving left on a black background"
seed = 1

[[video]]
prompt = "a blue square moving right on a white background"
seed = 2

[[video]]
prompt = "a green triangle moving up on a gray background"
seed = 3
"#;

const STEMS: [&str; 3] = ["0000", "0001", "0002"];

fn manifest(sandbox: &Sandbox) -> PathBuf {
    sandbox.manifest(&[NIGHT, VIDEOS].concat())
}

fn undisturbed() -> Vec<(Value, Value)> {
    Sandbox::rendered(&[NIGHT, VIDEOS].concat()).bytes(&STEMS)
}

/// How often each step of a video was computed, from its sidecar; and that every stage is told with who did it.
fn computed(sandbox: &Sandbox, stem: &str) -> BTreeMap<u64, u64> {
    let sidecar = sandbox.sidecar(stem);
    let attempts = sidecar["attempts"].as_array().expect("attempts");
    let mut steps = BTreeMap::new();
    for attempt in attempts {
        assert!(!attempt["worker"].as_str().expect("worker").is_empty(), "nobody did {attempt}");
        if let (Some(first), Some(last)) = (attempt["first_step"].as_u64(), attempt["last_step"].as_u64()) {
            (first..=last).for_each(|step| *steps.entry(step).or_default() += 1);
        }
    }
    for stage in ["encode_text", "decode"] {
        let told = attempts.iter().any(|attempt| attempt["stage"] == stage && attempt["result"] == "done");
        assert!(told, "{stem} does not tell its {stage}: {attempts:#?}");
    }
    steps
}

/// Kills the coordinator at moments drawn from a seed, most of them in the middle of work, until the job has ended.
fn night(seed: u64) -> (Sandbox, u64) {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    farm.submit(&manifest(&sandbox));
    let (mut rng, mut kills) = (SmallRng::seed_from_u64(seed), 0);
    // The moments are the fault; nothing waits for them.
    while kills < 12 && farm.works_until_a_moment(&mut rng, 900) {
        farm.kill_coordinator();
        kills += 1;
        farm.start_coordinator();
    }
    farm.finish();
    (sandbox, kills)
}

#[test]
fn a_coordinator_killed_at_any_moment_goes_on_and_no_byte_changes() {
    let expected = undisturbed();
    for seed in 1..=3 {
        let (sandbox, kills) = night(seed);
        assert_eq!(sandbox.bytes(&STEMS), expected, "seed {seed}, {kills} kills");
        let mut again = 0;
        for stem in STEMS {
            let steps = computed(&sandbox, stem);
            assert!(steps.keys().copied().eq(0..STEPS), "seed {seed}: {stem} tells {steps:?}");
            again += steps.values().sum::<u64>() - STEPS;
        }
        println!("seed {seed}: {kills} kills, {again} of {} steps computed again", STEPS * STEMS.len() as u64);
        assert!(again <= kills * STEMS.len() as u64, "seed {seed}: {again} steps were computed again");
        let report = sandbox.sidecar("night.report");
        let job = &report["job"];
        assert_eq!((job["done"].as_u64(), job["failed"].as_u64()), (Some(3), Some(0)), "{report:#}");
    }
}

#[test]
fn a_job_and_its_key_survive_a_restart_before_anybody_serves_it() {
    let sandbox = Sandbox::new();
    let manifest = manifest(&sandbox);
    let mut farm = Farm::without_workers(&sandbox);
    let first = farm.submit_with_key(&manifest, "tonight");
    farm.kill_coordinator();
    farm.start_coordinator();
    assert_eq!(farm.submit_with_key(&manifest, "tonight"), first, "the key names the job it was used for");
    let another = sandbox.manifest(&[NIGHT, VIDEOS].concat().replace("{index:04}", "again/{index:04}"));
    assert_ne!(farm.submit_with_key(&another, "tomorrow"), first);
    farm.kill_coordinator();
    farm.start_coordinator();
    let waiting = farm.waiting_for();
    assert!(waiting.contains("wan-tiny-t2v"), "waiting for {waiting:?}");
}

#[test]
fn a_coordinator_asked_to_stop_in_the_middle_of_work_stops_at_once_and_goes_on_later() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::start(&sandbox);
    farm.submit(&manifest(&sandbox));
    let mut rng = SmallRng::seed_from_u64(7);
    for _ in 0..4 {
        if !farm.works_until_a_moment(&mut rng, 700) {
            break;
        }
        farm.terminate_coordinator();
        farm.start_coordinator();
    }
    farm.finish();
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
}
