//! The file with one's own defaults.

use std::path::Path;
use std::process::Command;

use crate::farm::Farm;
use crate::program::{Ended, Running, Sandbox, binary, demo, says};

/// A command of a user who has this file.
fn with(file: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(binary());
    command.env("WANFARM_CONFIG", file).args(arguments).envs(environment.iter().copied());
    Running::start(&mut command).wait()
}

#[test]
fn a_file_says_what_is_not_typed() {
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    let folder = sandbox.path("wanfarm");
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("config.toml");
    std::fs::write(&file, format!("coordinator = \"{}\"\n", farm.address())).expect("a file");
    with(&file, &["status"], &[]).expect(0);
    // Where the system has such files, too.
    let mut usual = Command::new(binary());
    usual.arg("status").env_remove("WANFARM_CONFIG").env("XDG_CONFIG_HOME", sandbox.path(""));
    Running::start(&mut usual).wait().expect(0);
    let nowhere = "http://127.0.0.1:1";
    says(with(&file, &["status"], &[("WANFARM_COORDINATOR", nowhere)]).expect(3).stderr, &[nowhere]);
    with(&file, &["status", "--coordinator", farm.address()], &[("WANFARM_COORDINATOR", nowhere)]).expect(0);
    says(with(&file, &["status", "--help"], &[]).expect(0).stdout, &["[default: http://127.0.0.1:"]);
}

#[test]
fn a_file_with_faults_is_told_with_its_lines_but_help_is_there() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("config.toml");
    std::fs::write(&file, "# mine\ncoordnator = \"studio-1\"\nmemory = \"much\"\n").expect("a file");
    let told = with(&file, &["status"], &[]).expect(2).stderr;
    let place = file.display().to_string();
    says(
        told,
        &[&format!("{place}:2: coordnator: there is no such key"), &format!("{place}:3: memory: invalid value")],
    );
    with(&file, &["--help"], &[]).expect(0);
    says(with(&sandbox.path("none.toml"), &["status"], &[]).expect(2).stderr, &["none.toml", "WANFARM_CONFIG"]);
}

/// The workers of a run take nothing from it but what the run tells them.
#[test]
fn a_run_takes_models_output_and_memory_from_it() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("config.toml");
    let (models, output) = (demo().display().to_string(), sandbox.output().display().to_string());
    let text =
        format!("models = [{models:?}]\noutput = {output:?}\nmemory = \"2GiB\"\nthreads = 1\ndevice = \"cpu\"\n");
    std::fs::write(&file, text).expect("a file");
    let manifest = sandbox.manifest(
        "[job]\nname = \"one\"\nmodel = \"wan-tiny-t2v\"\noutput = \"{index}\"\nformats = [\"png\"]\n\
         [defaults]\nsteps = 1\nframes = 1\nwidth = 64\nheight = 64\n[[video]]\nprompt = \"a red circle\"\n",
    );
    let (manifest, data) = (manifest.display().to_string(), sandbox.path("data").display().to_string());
    let ended = with(&file, &["run", &manifest, "--data", &data], &[("WANFARM_THREADS", "2")]);
    ended.expect(0);
    assert!(sandbox.files().contains(&"0.json".to_owned()), "{:?}", sandbox.files());
}
