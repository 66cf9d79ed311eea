//! Memory in which only some of a model's roles fit: the same bytes, and weights loaded seldom.

use std::path::Path;
use std::process::Command;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::Value;

use crate::farm::Farm;
use crate::program::{NIGHT, Running, Sandbox, binary, demo, eventually, says, signal_process, workers_of};
use crate::prompts::copy_model;

const STEMS: [&str; 3] = ["0000", "0001", "0002"];

fn manifest() -> String {
    let video =
        |seed| format!("\n[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = {seed}\n");
    NIGHT.to_owned() + &(1..=3).map(video).collect::<String>()
}

fn start(sandbox: &Sandbox, manifest: &Path, memory: &str) -> Running {
    let mut command = Command::new(binary());
    command.args(["run", "--device", "cpu", "--memory", memory]);
    sandbox.run_by(command, manifest, &demo())
}

/// What the largest of the demo's roles needs at the size that it renders by default.
fn largest() -> u64 {
    let model = demo().join("wan-tiny-t2v");
    let ended =
        Running::start(Command::new(binary()).arg("inspect").arg(model).args(["--device", "cpu", "--json"])).wait();
    let report: Value = serde_json::from_str(&ended.expect(0).stdout).expect("JSON");
    let needs = |role: &Value| {
        let bytes = |what: &str| role["memory"][what].as_u64().expect("bytes");
        bytes("weights") + bytes("activations")
    };
    report["roles"].as_array().expect("roles").iter().map(needs).max().expect("a role")
}

/// The demo's twelve videos in memory for one role: what is large is loaded once for all of them.
#[test]
fn a_run_in_which_roles_take_turns_renders_the_same_bytes() {
    let (sandbox, budget) = (Sandbox::new(), largest() + (1 << 20));
    let shapes = std::fs::read_to_string(demo().join("shapes.toml")).expect("the demo's manifest");
    let shapes = shapes.replace("{job}/{index:02}-{slug}-{seed}", "{index:04}");
    let stems: Vec<String> = (0..12).map(|index| format!("{index:04}")).collect();
    let stems: Vec<&str> = stems.iter().map(String::as_str).collect();
    let ended = start(&sandbox, &sandbox.manifest(&shapes), &budget.to_string()).wait().expect(0);
    says(&ended.stderr, &["memory: text-encoder, dit-high, dit-low, vae would take", "what works next is loaded"]);
    says(&ended.stdout, &["12 of 12 videos done"]);
    let report = sandbox.sidecar("report");
    let stages = report["stages"].as_array().expect("stages");
    let loads: Vec<u64> = stages.iter().map(|stage| stage["loads"].as_u64().expect("a number")).collect();
    assert_eq!(loads[..3], [1; 3], "each is loaded when its turn comes and stays for all videos: {stages:?}");
    // It is small, and fits beside the low-noise expert but not beside its items.
    assert!((1..=12).contains(&loads[3]), "{stages:?}");
    assert_eq!(sandbox.bytes(&stems), Sandbox::rendered(&shapes).bytes(&stems));
}

#[test]
fn what_never_fits_is_refused_before_anything_starts() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&manifest());
    let ended = start(&sandbox, &manifest, "20MiB").wait().expect(2);
    says(&ended.stderr, &["needs", "the budget is 20.0 MiB", "--memory", "Q8_0"]);
    assert!(!sandbox.path("data").exists(), "nothing has been started");
    let ended = start(&sandbox, &manifest, "plenty").wait().expect(2);
    says(&ended.stderr, &["plenty", "48GiB"]);
}

#[test]
fn the_only_worker_of_a_run_may_die_while_it_loads_or_computes() {
    let (sandbox, budget) = (Sandbox::new(), largest() + (1 << 20));
    let running = start(&sandbox, &sandbox.manifest(&manifest()), &budget.to_string());
    sandbox.first_artifact();
    let worker = eventually("the worker runs", || {
        workers_of(running.pid(), "text-encoder,dit-high,dit-low,vae").first().copied()
    });
    signal_process(worker, "KILL");
    says(&running.wait().expect(0).stdout, &["3 of 3 videos done"]);
    assert_eq!(sandbox.bytes(&STEMS), Sandbox::rendered(&manifest()).bytes(&STEMS));
}

#[test]
fn a_worker_that_dies_in_the_middle_of_a_load_costs_the_load_and_nothing_else() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    farm.submit(&sandbox.manifest(&manifest()));
    farm.start_elastic(&sandbox, "studio", &demo(), largest() + (1 << 20));
    let mut deaths = 0;
    while !farm.ends_within(0) {
        deaths += usize::from(deaths < 3 && farm.kill_while_loading("studio"));
    }
    assert!(deaths > 0, "it was over before it was seen to load");
    farm.finish();
    assert_eq!(sandbox.bytes(&STEMS), Sandbox::rendered(&manifest()).bytes(&STEMS));
}

#[test]
fn unequal_workers_that_are_told_nothing_render_the_same_bytes_whoever_dies() {
    let (sandbox, least) = (Sandbox::new(), largest());
    let mut farm = Farm::without_workers(&sandbox);
    farm.submit(&sandbox.manifest(&manifest()));
    let names = ["small", "medium", "large"];
    for (name, memory) in names.into_iter().zip([least + (1 << 20), 2 * least, 8 * least]) {
        farm.start_elastic(&sandbox, name, &demo(), memory);
    }
    sandbox.first_artifact();
    let (mut rng, mut kills) = (SmallRng::seed_from_u64(3), 0);
    while kills < 6 && farm.works_until_a_moment(&mut rng, 500) {
        kills += usize::from(farm.kill_worker(names[kills % 3]));
    }
    assert!(kills > 0, "it was over before anybody was killed");
    eventually("the job ends", || farm.ends_within(100).then_some(()));
    for worker in farm.worker_lines() {
        let memory = worker.memory.expect("it has a budget");
        assert!(memory.weights_bytes <= memory.budget_bytes, "{memory:?}");
    }
    farm.finish();
    assert_eq!(sandbox.bytes(&STEMS), Sandbox::rendered(&manifest()).bytes(&STEMS));
}

#[test]
fn two_models_take_turns_in_memory_for_one() {
    let (sandbox, models) = (Sandbox::new(), tempfile::tempdir().expect("temporary directory"));
    for name in ["wan-tiny-t2v", "wan-tiny-too"] {
        copy_model(&models.path().join(name));
    }
    let mut farm = Farm::without_workers(&sandbox);
    let (first, second) = (NIGHT.replace("{index:04}", "first"), NIGHT.replace("{index:04}", "second"));
    let video = "\n[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = 1\n";
    farm.submit(&sandbox.manifest(&(first + video)));
    farm.submit(&sandbox.manifest(&(second.replace("wan-tiny-t2v", "wan-tiny-too") + video)));
    farm.start_elastic(&sandbox, "studio", models.path(), largest() + (1 << 20));
    farm.client(&["status", "1", "--watch"]).expect(0);
    farm.client(&["status", "2", "--watch"]).expect(0);
    // Not the files: they name their model.
    let [first, second] = ["first", "second"].map(|stem| sandbox.sidecar(stem)["latents_blake3"].clone());
    assert_eq!(first, second, "the same weights under another name");
    farm.stop();
}

#[test]
fn what_no_known_machine_has_room_for_is_refused_at_submission() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    farm.start_elastic(&sandbox, "small", &demo(), largest() + (1 << 20));
    farm.until_state("small", &["idle"]);
    let large = manifest().replace("width = 64", "width = 512").replace("height = 64", "height = 512");
    let large = sandbox.manifest(&large).display().to_string();
    for _ in 0..2 {
        let asked = farm.client(&["submit", &large, "--dry-run"]).expect(2);
        says(&asked.stdout, &["video 0", "no worker has room for dit-high", "the largest budget here is", "IN MEMORY"]);
        let refused = farm.client(&["submit", &large]).expect(2);
        says(&refused.stderr, &["video 0: no worker has room for", "Q8_0"]);
        // It is known to the coordinator also when it is away.
        farm.signal_worker("small", "TERM");
        farm.until_state("small", &["gone"]);
    }
    farm.start_elastic(&sandbox, "large", &demo(), 64 * largest());
    farm.until_state("large", &["idle"]);
    let asked = farm.client(&["submit", &large, "--dry-run"]).expect(0);
    says(&asked.stdout, &["0 of 1, else 0 s"]);
    farm.stop();
}
