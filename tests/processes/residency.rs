//! Memory in which only some of a model's roles fit: the same bytes, and weights loaded about once.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{NIGHT, Running, Sandbox, binary, demo, says};

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

#[test]
fn a_run_in_which_roles_take_turns_renders_the_same_bytes() {
    let (sandbox, budget) = (Sandbox::new(), largest() + (1 << 20));
    let ended = start(&sandbox, &sandbox.manifest(&manifest()), &budget.to_string()).wait().expect(0);
    says(&ended.stderr, &["memory: text-encoder, dit-high, dit-low, vae would take", "about once for all videos"]);
    says(&ended.stdout, &["3 of 3 videos done"]);
    assert_eq!(sandbox.bytes(&STEMS), Sandbox::rendered(&manifest()).bytes(&STEMS));
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
