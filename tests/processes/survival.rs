//! Processes die in the middle of the work; nothing is lost and no byte changes.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{NIGHT, Sandbox, alive, demo, eventually, signal_process, workers_of};

const VIDEOS: &str = r#"
[[video]]
prompt = "a red circle moving left on a black background"
seed = 1

[[video]]
prompt = "a blue square moving right on a white background"
seed = 2
"#;

const STEMS: [&str; 2] = ["0000", "0001"];

fn text() -> String {
    [&NIGHT.replace(r#"["png"]"#, r#"["mp4", "png"]"#), VIDEOS].concat()
}

fn manifest(sandbox: &Sandbox) -> PathBuf {
    sandbox.manifest(&text())
}

fn undisturbed() -> Vec<(Value, Value)> {
    Sandbox::rendered(&text()).bytes(&STEMS)
}

fn killed(role: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let running = sandbox.run(&manifest(&sandbox), &demo());
    sandbox.first_artifact();
    let worker = eventually("the worker runs", || workers_of(running.pid(), role).first().copied());
    signal_process(worker, "KILL");
    let ended = running.wait().expect(0);
    (sandbox, ended.stderr)
}

#[test]
fn killed_workers_are_replaced_and_the_bytes_are_those_of_an_undisturbed_run() {
    let expected = undisturbed();
    for role in ["dit-high", "dit-low", "vae", "text-encoder"] {
        let (sandbox, log) = killed(role);
        assert_eq!(sandbox.bytes(&STEMS), expected, "after the death of {role}:\n{log}");
    }
}

fn interrupt(signal: &str) {
    let sandbox = Sandbox::new();
    let running = sandbox.run(&manifest(&sandbox), &demo());
    sandbox.first_artifact();
    let workers: Vec<u32> = ["text-encoder", "dit-high", "dit-low", "vae"]
        .iter()
        .flat_map(|role| workers_of(running.pid(), role))
        .collect();
    assert_eq!(workers.len(), 4);
    running.signal(signal);
    let ended = if signal == "KILL" { None } else { Some(running.wait()) };
    if let Some(ended) = ended {
        assert_eq!(ended.code(), Some(130), "{}", ended.stderr);
    }
    for pid in workers {
        eventually("the worker has left", || (!alive(pid)).then_some(()));
    }
    // Whatever is in its place is whole: a video has a sidecar or nothing.
    for file in sandbox.files() {
        assert!(!file.contains(".partial") || signal == "KILL", "half-written: {file}");
    }
}

#[test]
fn ctrl_c_leaves_no_process_and_no_half_written_file() {
    interrupt("INT");
}

#[test]
fn terminate_leaves_no_process_and_no_half_written_file() {
    interrupt("TERM");
}

#[test]
fn workers_leave_when_the_run_is_killed() {
    interrupt("KILL");
}

#[test]
fn a_run_that_is_started_again_after_a_kill_finishes() {
    let sandbox = Sandbox::new();
    let manifest = manifest(&sandbox);
    let running = sandbox.run(&manifest, &demo());
    sandbox.first_artifact();
    running.signal("KILL");
    // The lock on the data directory is held until the process is really gone.
    running.wait();
    sandbox.run(&manifest, &demo()).wait().expect(0);
    assert_eq!(sandbox.bytes(&STEMS), undisturbed());
}
