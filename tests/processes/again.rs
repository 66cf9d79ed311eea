//! A video typed instead of written, and rendered again from the files that came of it.

use std::path::Path;
use std::process::Command;

use crate::program::{NIGHT, Running, Sandbox, binary, demo, eventually};

fn started(sandbox: &Sandbox, arguments: &[&str], output: &str) -> Running {
    let mut command = Command::new(binary());
    command.arg("run").args(arguments).arg("--models").arg(demo());
    command.arg("--output").arg(sandbox.path(output)).arg("--data").arg(sandbox.path("data"));
    Running::start(&mut command)
}

fn shown(file: &Path) -> String {
    let ended = Running::start(Command::new(binary()).arg("show").arg(file)).wait().expect(0);
    ended.stdout
}

#[test]
fn a_file_holds_what_renders_it_again() {
    let sandbox = Sandbox::new();
    let line = ["--model", "wan-tiny-t2v", "--prompt", "a red circle moving left on a black background", "--seed", "3"];
    let line = [&line[..], &["--frames", "5", "--steps", "4", "--formats", "mp4,png,contact"]].concat();
    started(&sandbox, &line, "output").wait().expect(0);
    let stem = "a-red-circle-moving-left-on-a-black-background-3";
    let made = |name: &str| sandbox.output().join(format!("{stem}{name}"));
    let text = shown(&made(".mp4"));
    assert!(text.contains("model = \"wan-tiny-t2v\"") && text.contains("steps = 4\n"), "{text}");
    for other in ["/00000.png", "/00004.png", ".contact.png"] {
        assert_eq!(shown(&made(other)), text, "{other}");
    }
    started(&sandbox, &[made(".mp4").to_str().expect("path")], "again").wait().expect(0);
    let below = |folder: &str, name: String| sandbox.path(folder).join(name);
    let json =
        |path| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).expect("sidecar")).expect("JSON");
    let before = json(below("output", format!("{stem}.json")));
    let again = json(below("again", format!("{stem}/0000-{stem}.json")));
    assert_eq!(again["latents_blake3"], before["latents_blake3"]);
    // The same pictures, and the same words: the same file.
    assert_eq!(again["outputs"][0]["blake3"], before["outputs"][0]["blake3"]);
}

#[test]
fn a_file_without_settings_says_so() {
    let sandbox = Sandbox::new();
    let picture = sandbox.path("alien.png");
    crate::first_frame::picture(&picture, true);
    for arguments in [["show", picture.to_str().expect("path")], ["run", picture.to_str().expect("path")]] {
        let ended = Running::start(Command::new(binary()).args(arguments)).wait().expect(2);
        assert!(ended.stderr.contains("it holds no settings"), "{}", ended.stderr);
    }
}

#[test]
fn a_seed_that_is_drawn_stays_until_its_video_is_done_and_is_recorded() {
    let sandbox = Sandbox::new();
    let video = "\n[[video]]\nprompt = \"a red circle\"\nseed = \"random\"\n";
    let manifest = sandbox.manifest(&[NIGHT, &video.repeat(4)].concat());
    let seeds =
        || ["0000", "0001", "0002", "0003"].map(|stem| sandbox.sidecar(stem)["spec"]["seed"].as_u64().expect("a seed"));
    let run = sandbox.run(&manifest, &demo());
    eventually("one is done", || sandbox.output().join("0000.json").is_file().then_some(()));
    run.signal("INT");
    assert!(!run.wait().status.success(), "three are left to render");
    let begun = sandbox.sidecar("0000")["spec"]["seed"].as_u64().expect("a seed");
    sandbox.run(&manifest, &demo()).wait().expect(0);
    let first = seeds();
    assert_eq!(first[0], begun, "it goes on with what it drew");
    assert_ne!(first[0], first[1]);
    // Everything is done: the same command is another take.
    let again = sandbox.run(&manifest, &demo()).wait();
    assert!(!again.status.success(), "and does not replace the first without being told to");
    let mut overwrite = Command::new(binary());
    overwrite.args(["run", "--overwrite"]);
    sandbox.run_by(overwrite, &manifest, &demo()).wait().expect(0);
    assert!(seeds().iter().all(|seed| !first.contains(seed)));
}
