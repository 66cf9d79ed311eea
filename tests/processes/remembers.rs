//! `run` typed again: what is done stays, what was begun goes on, and only what is new begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::{NIGHT, Running, Sandbox, binary, copy_folder, demo, eventually, files_below};

const STEPS: u64 = 20;

/// A manifest of its own name, with a video for each seed that is called after both.
fn manifest(sandbox: &Sandbox, name: &str, seeds: &[u32]) -> PathBuf {
    let mut text =
        NIGHT.replace("{index:04}", &format!("{name}-{{seed}}")).replace("\"night\"", &format!("\"{name}\""));
    for seed in seeds {
        text += &format!("\n[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = {seed}\n");
    }
    let path = sandbox.path(&format!("{name}.toml"));
    std::fs::write(&path, text).expect("manifest");
    path
}

fn start(sandbox: &Sandbox, manifest: &Path, options: &[&str]) -> Running {
    let mut command = Command::new(binary());
    command.arg("run").args(options);
    sandbox.run_by(command, manifest, &demo())
}

/// When each file was last written.
fn times(sandbox: &Sandbox) -> BTreeMap<String, std::time::SystemTime> {
    let time = |file: &String| sandbox.output().join(file).metadata().and_then(|found| found.modified()).expect("time");
    let files = sandbox.files().into_iter().filter(|file| !file.starts_with("report."));
    files.map(|file| (file.clone(), time(&file))).collect()
}

#[test]
fn a_manifest_that_was_interrupted_goes_on_whatever_was_run_in_between() {
    let sandbox = Sandbox::new();
    let (a, b) = (manifest(&sandbox, "a", &[1, 2]), manifest(&sandbox, "b", &[3]));
    let interrupted = start(&sandbox, &a, &[]);
    eventually("the first video is there", || sandbox.output().join("a-1.json").is_file().then_some(()));
    interrupted.signal("INT");
    let ended = interrupted.wait().expect(130);
    assert!(ended.stderr.contains("the same command goes on from there"), "{}", ended.stderr);
    let before = times(&sandbox);
    start(&sandbox, &b, &[]).wait().expect(0);
    let ended = start(&sandbox, &a, &[]).wait().expect(0);
    assert!(ended.stderr.contains("of 2 videos are done and stand as they were written"), "{}", ended.stderr);
    let after = times(&sandbox);
    for (file, time) in before {
        assert_eq!(after[&file], time, "{file} was written again");
    }
    let undisturbed = Sandbox::new();
    start(&undisturbed, &manifest(&undisturbed, "a", &[1, 2]), &[]).wait().expect(0);
    assert_eq!(sandbox.bytes(&["a-1", "a-2"]), undisturbed.bytes(&["a-1", "a-2"]));
    // At most what was being computed when it was stopped.
    assert!(sandbox.steps("a-2") <= STEPS + 1, "{}", sandbox.steps("a-2"));
}

#[test]
fn what_is_done_is_not_rendered_again_and_a_video_that_is_added_is_rendered_alone() {
    let sandbox = Sandbox::new();
    start(&sandbox, &manifest(&sandbox, "a", &[1, 2]), &[]).wait().expect(0);
    let first = times(&sandbox);
    let again = start(&sandbox, &manifest(&sandbox, "a", &[1, 2]), &[]).wait().expect(0);
    assert!(again.stderr.contains("2 of 2 videos are done"), "{}", again.stderr);
    assert!(again.stdout.contains("2 of 2 videos done"), "{}", again.stdout);
    assert_eq!(times(&sandbox), first);

    // In front, so that the others have other places.
    let added = start(&sandbox, &manifest(&sandbox, "a", &[3, 1, 2]), &[]).wait().expect(0);
    assert!(added.stdout.contains("3 of 3 videos done"), "{}", added.stdout);
    let second = times(&sandbox);
    assert!(first.iter().all(|(file, time)| second[file] == *time));
    assert_eq!(sandbox.steps("a-3"), STEPS);
    let report = sandbox.sidecar("report");
    assert_eq!((report["job"]["done"].as_u64(), report["job"]["videos"].as_u64()), (Some(3), Some(3)), "{report:#}");
    assert!(report["videos"].as_array().expect("videos").iter().all(|video| video["verdict"] == "ok"), "{report:#}");

    // Files that are gone are rendered again; of those that a person has changed nothing is touched.
    let frame = sandbox.output().join("a-1/00000.png");
    std::fs::remove_file(&frame).expect("a frame");
    start(&sandbox, &manifest(&sandbox, "a", &[3, 1, 2]), &[]).wait().expect(0);
    assert!(frame.is_file() && times(&sandbox)["a-2.json"] == second["a-2.json"]);
    std::fs::write(&frame, "mine").expect("a frame");
    let refused = start(&sandbox, &manifest(&sandbox, "a", &[3, 1, 2]), &[]).wait().expect(2);
    assert!(refused.stderr.contains("a-1/00000.png is no longer what was written there"), "{}", refused.stderr);
    assert_eq!(std::fs::read(&frame).expect("a frame"), b"mine");

    // Other settings under the name of what is done need a word.
    let other = manifest(&sandbox, "a", &[3]);
    let text = std::fs::read_to_string(&other).expect("manifest").replace("steps = 20", "steps = 10");
    std::fs::write(&other, text).expect("manifest");
    let refused = start(&sandbox, &other, &[]).wait().expect(2);
    assert!(refused.stderr.contains("finished with other settings"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    start(&sandbox, &other, &["--overwrite"]).wait().expect(0);
    assert_eq!(sandbox.steps("a-3"), 10);
    let forced = times(&sandbox);
    start(&sandbox, &other, &["--force"]).wait().expect(0);
    assert!(times(&sandbox)["a-3.json"] > forced["a-3.json"]);
}

#[test]
fn a_video_that_could_not_be_written_is_written_by_the_same_command_from_what_was_computed() {
    let sandbox = Sandbox::new();
    let night = manifest(&sandbox, "a", &[1, 2]);
    let running = start(&sandbox, &night, &[]);
    sandbox.first_artifact();
    // A file stands where frames are to go.
    let obstacle = sandbox.output().join("a-2");
    std::fs::write(&obstacle, "mine").expect("a file");
    let ended = running.wait().expect(1);
    assert!(ended.stdout.contains("once mended: the same command again"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("coordinator retry"), "{}", ended.stdout);
    std::fs::remove_file(&obstacle).expect("a file");
    let before = times(&sandbox);
    start(&sandbox, &night, &[]).wait().expect(0);
    assert_eq!(sandbox.steps("a-2"), STEPS, "no step was computed again");
    assert_eq!(times(&sandbox)["a-1.json"], before["a-1.json"]);
    assert_eq!(sandbox.sidecar("report")["job"]["done"].as_u64(), Some(2));
}

#[test]
fn of_other_weights_nothing_is_gone_on_from() {
    let sandbox = Sandbox::new();
    let models = sandbox.path("models");
    copy_folder(&demo(), &models);
    let night = manifest(&sandbox, "a", &[1]);
    let start = |options: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("run").args(options);
        sandbox.run_by(command, &night, &models).wait()
    };
    start(&[]).expect(0);
    let before = sandbox.sidecar("a-1");
    // One number of the decoder is another.
    let is_vae = |file: &String| file.contains("/vae/") && file.ends_with(".safetensors");
    let vae = files_below(&models).into_iter().find(is_vae).expect("a VAE");
    let mut file = std::fs::read(models.join(&vae)).expect("weights");
    let last = file.len() - 1;
    file[last] ^= 1;
    std::fs::write(models.join(&vae), file).expect("weights");
    let refused = start(&[]).expect(2);
    assert!(refused.stderr.contains("a-1"), "{}", refused.stderr);
    assert_eq!(sandbox.sidecar("a-1"), before);
    start(&["--overwrite"]).expect(0);
    assert_ne!(sandbox.sidecar("a-1")["model"], before["model"]);
}

#[test]
fn two_runs_at_once_take_turns_and_one_of_them_can_be_read_by_a_program() {
    let sandbox = Sandbox::new();
    let (a, b) = (manifest(&sandbox, "a", &[1]), manifest(&sandbox, "b", &[1]));
    let first = start(&sandbox, &a, &["--json"]);
    sandbox.first_artifact();
    let second = start(&sandbox, &b, &[]).wait().expect(0);
    assert!(second.stderr.contains("another run is under way"), "{}", second.stderr);
    let first = first.wait().expect(0);
    let lines: Vec<Value> = first.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = lines.last().expect("a line");
    assert_eq!((last["job"]["done"].as_u64(), last["job"]["state"].as_str()), (Some(1), Some("done")), "{last:#}");
}
