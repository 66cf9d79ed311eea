//! The systemd units: read strictly, and by systemd itself where it is installed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::command_line::{assert_parses, deploy};

/// What may stand in a unit here (systemd.unit(5), systemd.service(5), systemd.exec(5)); systemd only warns of others.
const KNOWN: [(&str, &[&str]); 3] = [
    ("Unit", &["Description", "Documentation", "Wants", "After"]),
    (
        "Service",
        &[
            "User",
            "Environment",
            "EnvironmentFile",
            "ExecStart",
            "Restart",
            "RestartSec",
            "RestartPreventExitStatus",
            "TimeoutStopSec",
            "KillMode",
            "StateDirectory",
            "LimitNOFILE",
            "NoNewPrivileges",
            "PrivateTmp",
            "ProtectSystem",
            "ProtectHome",
            "ReadWritePaths",
        ],
    ),
    ("Install", &["WantedBy"]),
];
/// What `worker.env` may say of a worker: nothing, or what it gives as an example.
const OPTIONS: [&str; 2] = ["", "--memory 48GiB --role text-encoder,vae"];

type Unit = BTreeMap<(String, String), String>;

/// Sections, keys and values; anything else fails the test.
fn read(text: &str, place: &str) -> Unit {
    let (mut unit, mut section) = (Unit::new(), String::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{place}: {line:?} is no setting"));
        let known = KNOWN.iter().find(|(name, _)| *name == section);
        let known = known.unwrap_or_else(|| panic!("{place}: no section [{section}]")).1;
        assert!(known.contains(&key), "{place}: [{section}] knows no {key}");
        let before = unit.insert((section.clone(), key.to_owned()), value.to_owned());
        assert_eq!(before, None, "{place}: {key} stands twice");
    }
    unit
}

fn environment() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(deploy().join("systemd/worker.env")).expect("worker.env");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').expect("NAME=value"))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn units() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(deploy().join("systemd")).expect("deploy/systemd");
    let paths = folder.map(|entry| entry.expect("entry").path());
    let units = paths.filter(|path| path.extension().is_some_and(|ending| ending == "service"));
    let name = |path: &Path| path.file_name().expect("name").to_str().expect("UTF-8").to_owned();
    units.map(|path| (name(&path), std::fs::read_to_string(&path).expect("unit"))).collect()
}

#[test]
fn units_come_back_stop_cleanly_and_run_command_lines_that_the_program_takes() {
    let units = units();
    assert_eq!(units.len(), 2);
    let environment = environment();
    assert!(environment["WANFARM_MEMBERSHIP"].starts_with("/var/lib/wanfarm/"));
    for (name, text) in units {
        let unit = read(&text, &name);
        let key = |section: &str, key: &str| {
            unit.get(&(section.to_owned(), key.to_owned())).unwrap_or_else(|| panic!("{name} has no {key}")).as_str()
        };
        assert_eq!(key("Service", "Restart"), "always", "{name}");
        assert_eq!(key("Service", "KillMode"), "control-group", "{name} leaves orphans");
        assert!(key("Service", "TimeoutStopSec").parse::<u32>().is_ok_and(|seconds| seconds >= 10), "{name}");
        assert_ne!(key("Service", "User"), "root", "{name} needs no privileges");
        assert_eq!(key("Install", "WantedBy"), "multi-user.target", "{name}");
        let prevented = key("Service", "RestartPreventExitStatus");
        assert!(prevented.split(' ').any(|code| code == "2"), "{name} would try a wrong command line for ever");
        let line = key("Service", "ExecStart");
        assert_eq!(environment["WANFARM_WORKER_OPTIONS"], OPTIONS[0]);
        for options in OPTIONS {
            // Without braces, and as a word of its own, systemd splits it into words.
            let mut line = line.replace(" $WANFARM_WORKER_OPTIONS", &format!(" {options}"));
            for (variable, value) in &environment {
                line = line.replace(&format!("${{{variable}}}"), value);
            }
            assert!(!line.contains(['%', '$', '"', '\'', '\\']), "{name}: {line} needs a parser that this is not");
            let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert!(arguments[0].starts_with('/'), "{name}: systemd wants a whole path");
            assert_parses(&arguments, &name);
        }
    }
}

/// Units with a program that exists, or systemd would complain of that alone.
#[test]
fn systemd_itself_finds_no_fault() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("not run: systemd is not installed here");
        return;
    }
    let folder = tempfile::tempdir().expect("temporary directory");
    for (name, text) in units() {
        let path = folder.path().join(&name);
        let text = text.replace("/usr/local/bin/coordinator", env!("CARGO_BIN_EXE_coordinator"));
        std::fs::write(&path, text).expect("unit");
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().expect("runs");
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // It may also speak of units of this machine; of ours it must say nothing.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("wanfarm")).collect();
        assert!(ours.is_empty(), "{name}: {ours:#?}");
    }
}
