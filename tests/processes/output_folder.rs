//! The output folder takes no files, goes away, or does not answer.

use std::path::Path;
use std::process::Command;

#[cfg(target_os = "linux")]
use crate::disk::SmallDisk;
use crate::farm::Farm;
use crate::program::{NIGHT, Running, Sandbox, binary, demo, eventually};

const VIDEO: &str = "\n[[video]]\nprompt = \"a red circle moving left on a black background\"\nseed = ";

/// A manifest of one video with this name.
fn manifest(sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
    let night = NIGHT.replace("{index:04}", name).replace("\"night\"", &format!("\"{name}\""));
    sandbox.manifest(&format!("{night}{VIDEO}1\n"))
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_folder_that_takes_no_files_ends_run_and_serve_before_anything_is_rendered() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("file"), b"no folder").expect("a file");
    let output = sandbox.path("file/out");
    let started = |verb: &str, arguments: &[&Path]| {
        let mut command = Command::new(binary());
        command.arg(verb).args(arguments).arg("--data").arg(sandbox.path("data")).arg("--output").arg(&output);
        Running::start(&mut command).wait().expect(2)
    };
    for ended in [
        started("run", &[&manifest(&sandbox, "a"), Path::new("--models"), &demo()]),
        started("serve", &[Path::new("--listen"), Path::new("127.0.0.1:0")]),
    ] {
        let path = output.display().to_string();
        assert!(ended.stderr.contains(&path) && ended.stderr.contains("takes no files"), "{}", ended.stderr);
        assert!(ended.stderr.contains("--output"), "{}", ended.stderr);
    }
    assert_eq!(sandbox.artifacts(), 0);
    // The opposite: a folder that is not there yet is made.
    assert!(!sandbox.output().exists());
    sandbox.run(&manifest(&sandbox, "a"), &demo()).wait().expect(0);
    assert_eq!(sandbox.files().iter().filter(|file| file.starts_with('.')).count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_volume_that_is_unmounted_holds_the_jobs_and_nothing_is_written_in_its_place() {
    let sandbox = Sandbox::new();
    let Some(disk) = SmallDisk::mount(&sandbox.output(), 64 << 10) else { return };
    let farm = Farm::on(&disk, &sandbox.path(""), &sandbox);
    farm.submit(&manifest(&sandbox, "first"));
    eventually("the first job ends", || farm.ends_within(100).then_some(()));
    disk.unmount();
    farm.submit(&manifest(&sandbox, "second"));
    let waiting = eventually("it says what is missing", || {
        let status = farm.client(&["status"]).stdout;
        status.contains("not mounted").then_some(status)
    });
    assert!(waiting.contains("paused"), "{waiting}");
    assert_eq!(files(&disk.inside(&sandbox.output())), 0, "the mount point stays empty");
    disk.mount_again();
    eventually("it goes on by itself", || farm.ends_within(100).then_some(()));
    let written = disk.inside(&sandbox.output());
    assert!(written.join("second.json").is_file() && !written.join("first.json").exists());

    // Deliberately without the volume from now on.
    disk.unmount();
    farm.submit(&manifest(&sandbox, "third"));
    eventually("it is held", || farm.client(&["status"]).stdout.contains("not mounted").then_some(()));
    assert_eq!(files(&written), 0);
    farm.client(&["resume", "third"]).expect(0);
    eventually("the folder is taken as it is", || farm.ends_within(100).then_some(()));
    assert!(written.join("third.json").is_file());
    farm.stop();
}

#[test]
fn a_folder_that_does_not_answer_is_said_so_and_nothing_else_waits_for_it() {
    let sandbox = Sandbox::new();
    let mut farm = Farm::without_workers(&sandbox);
    // Opening a named pipe that nobody reads hangs, as a share does that is away.
    let host = gethostname::gethostname();
    let pipe = sandbox.output().join(format!(".wanfarm-trial-{}-{}", host.display(), farm.coordinator()));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    farm.submit(&manifest(&sandbox, "a"));
    let output = sandbox.output().display().to_string();
    eventually("it says what does not answer", || {
        let waiting = farm.waiting_for();
        (waiting.contains("does not answer") && waiting.contains(&output)).then_some(())
    });
    farm.submit(&manifest(&sandbox, "b"));
    farm.client(&["cancel", "a"]).expect(0);
    farm.terminate_coordinator();
}
