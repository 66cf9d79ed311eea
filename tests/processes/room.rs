//! Disks that are too small for a job are told of before anything is rendered.

use std::path::PathBuf;

use serde_json::Value;

use crate::disk::SmallDisk;
use crate::farm::Farm;
use crate::program::{NIGHT, Sandbox, binary, demo};

/// A sandbox whose disk has so many MiB.
fn small(mebibytes: u32) -> Option<(Sandbox, SmallDisk)> {
    let sandbox = Sandbox::new();
    let disk = SmallDisk::mount(&sandbox.output(), mebibytes << 10)?;
    Some((sandbox, disk))
}

/// A manifest of one video with sides of so many pixels.
fn manifest(sandbox: &Sandbox, side: u32) -> PathBuf {
    let night = NIGHT.replace("= 64\n", &format!("= {side}\n"));
    sandbox.manifest(&format!("{night}\n[[video]]\nprompt = \"a red circle moving left\"\nseed = 1\n"))
}

#[test]
fn a_run_is_refused_where_no_video_fits_and_goes_on_where_one_does() {
    for (mebibytes, code) in [(48, 2), (160, 0)] {
        let Some((sandbox, disk)) = small(mebibytes) else { return };
        let mut run = disk.command();
        run.arg(binary()).arg("run").arg(manifest(&sandbox, 64)).arg("--models").arg(demo());
        run.arg("--output").arg(sandbox.output()).arg("--data").arg(sandbox.output().join("data"));
        let said = crate::program::Running::start(&mut run).wait().expect(code).stderr;
        assert_eq!(said.contains("for the state of a single video"), code == 2, "{said}");
        assert!(!said.contains("needs about"), "{said}");
        assert_eq!(disk.inside(&sandbox.output()).join("data").exists(), code == 0, "nothing has been started");
    }
}

#[test]
fn a_farm_tells_of_a_disk_that_is_too_small_when_it_is_asked_and_when_a_job_is_queued() {
    let Some((sandbox, disk)) = small(160) else { return };
    let mut farm = Farm::without_workers_on(&disk, &sandbox.output());
    // It makes the model known, and renders nothing alone.
    farm.start_worker(&sandbox, "decoder", "vae", &[]);
    farm.until_state("decoder", &["idle"]);
    let dry_run = |side: u32, code: i32| -> (String, Value) {
        let path = manifest(&sandbox, side).display().to_string();
        let words = farm.client(&["submit", &path, "--dry-run"]).expect(code).stdout;
        let json = farm.client(&["submit", &path, "--dry-run", "--json"]).expect(code).stdout;
        (words, serde_json::from_str(&json).expect("JSON"))
    };
    let (words, json) = dry_run(64, 0);
    assert!(!words.contains("needs") && json["shortages"] == serde_json::json!([]), "{words}");
    let (words, json) = dry_run(4096, 0);
    let place = format!("{} and", sandbox.output().join("output").display());
    assert!(words.contains("note: the job needs about") && words.contains(&place), "{words}");
    let short = &json["shortages"][0];
    assert!(short["needs_bytes"].as_u64() > short["free_bytes"].as_u64() && short["certain"] == false, "{json}");

    let queued = farm.client(&["submit", &manifest(&sandbox, 4096).display().to_string()]).expect(0);
    assert!(queued.stderr.contains("note: the job needs about"), "{}", queued.stderr);
    farm.stop();
}
