//! The desktop: a browser that is opened, and notifications. Its programs are stood in for by scripts that write down what
//! they are called with.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::farm::Farm;
use crate::program::{Ended, Running, Sandbox, binary, demo, says};

const MANIFEST: &str = "[job]\nname = \"night\"\nmodel = \"wan-tiny-t2v\"\noutput = \"{index}\"\nformats = [\"png\"]\n\
                        [defaults]\nsteps = 1\nframes = 1\nwidth = 64\nheight = 64\n[[video]]\nprompt = \"a red circle\"\n";

/// A program of the desktop.
fn stand_in(sandbox: &Sandbox, name: &str, exit: u8) {
    let folder = sandbox.path("desktop");
    std::fs::create_dir_all(&folder).expect("a folder");
    let (path, told) = (folder.join(name), sandbox.path(name));
    std::fs::write(&path, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> '{}'\nexit {exit}\n", told.display()))
        .expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
}

/// What a program of the desktop was called with.
fn told(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path(name)).unwrap_or_default()
}

fn at_desk(sandbox: &Sandbox, farm: &Farm, arguments: &[&str], display: &str) -> Ended {
    let mut command = Command::new(binary());
    command.args(arguments).env("WANFARM_COORDINATOR", farm.address());
    command.env("PATH", format!("{}:/usr/bin:/bin", sandbox.path("desktop").display()));
    command.env("DISPLAY", display).env_remove("WAYLAND_DISPLAY");
    Running::start(&mut command).wait()
}

#[test]
fn a_page_is_opened_and_its_address_printed() {
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    farm.submit(&sandbox.manifest(MANIFEST));
    let (night, job) = (format!("{}/\n", farm.address()), format!("{}/jobs/1\n", farm.address()));
    assert_eq!(at_desk(&sandbox, &farm, &["open"], ":1").expect(0).stdout, night, "nothing there opens pages");
    stand_in(&sandbox, "xdg-open", 0);
    assert_eq!(at_desk(&sandbox, &farm, &["open"], "").expect(0).stdout, night);
    assert_eq!(told(&sandbox, "xdg-open"), "", "without a desktop no browser is opened");
    assert_eq!(at_desk(&sandbox, &farm, &["open"], ":1").expect(0).stdout, night);
    assert_eq!(at_desk(&sandbox, &farm, &["open", "night"], ":1").expect(0).stdout, job);
    assert_eq!(told(&sandbox, "xdg-open"), night + &job);
    says(at_desk(&sandbox, &farm, &["open", "day"], ":1").expect(2).stderr, &["day"]);
    stand_in(&sandbox, "xdg-open", 3);
    let ended = at_desk(&sandbox, &farm, &["open"], ":1").expect(0);
    says(ended.stderr, &["xdg-open could not open a browser"]);
}

#[test]
fn the_desktop_is_told_when_a_job_has_ended() {
    let sandbox = Sandbox::new();
    let farm = Farm::start(&sandbox);
    let manifest = sandbox.manifest(MANIFEST).display().to_string();
    // Nothing there shows notifications, and that is no fault.
    at_desk(&sandbox, &farm, &["submit", &manifest, "--follow", "--notify"], ":1").expect(0);
    stand_in(&sandbox, "notify-send", 1);
    at_desk(&sandbox, &farm, &["submit", &manifest, "--follow", "--notify", "--new-name"], ":1").expect(0);
    let words = "--app-name=wanfarm\n--\nnight: done\n1 of 1 video done\n";
    assert_eq!(told(&sandbox, "notify-send"), words);
    at_desk(&sandbox, &farm, &["status", "1", "--watch", "--notify"], ":1").expect(0);
    let (models, data) = (demo().display().to_string(), sandbox.path("run").display().to_string());
    let run = ["run", &manifest, "--models", &models, "--data", &data, "--output", &data, "--notify"];
    at_desk(&sandbox, &farm, &run, ":1").expect(0);
    assert_eq!(told(&sandbox, "notify-send"), words.repeat(3));
    at_desk(&sandbox, &farm, &["submit", &manifest, "--notify"], ":1").expect(2);
}
