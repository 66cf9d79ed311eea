//! How much is said, and in which colours.

use std::process::Command;

use crate::farm::Farm;
use crate::program::{Ended, NIGHT, Running, Sandbox, binary, says};

const VIDEO: &str = "\n[[video]]\nprompt = \"a red circle moving right on a black background\"\n";

#[test]
fn quiet_leaves_out_notes_but_no_fault() {
    let sandbox = Sandbox::new();
    let farm = Farm::without_workers(&sandbox);
    let manifest = sandbox.manifest(&format!("{NIGHT}{VIDEO}"));
    let manifest = manifest.display().to_string();
    says(farm.client(&["submit", &manifest, "--new-name"]).expect(0).stderr, &["queued; it waits for"]);
    let quiet = farm.client(&["-q", "submit", &manifest, "--new-name"]).expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("2\n", ""));
    std::fs::write(&manifest, format!("{NIGHT}{VIDEO}steps = \"many\"\n")).expect("manifest");
    says(farm.client(&["submit", &manifest, "--quiet"]).expect(2).stderr, &["steps"]);
    says(farm.client(&["status", "-q", "-v"]).expect(2).stderr, &["cannot be used with"]);
}

#[test]
fn colours_are_a_matter_of_choice() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.manifest(&format!("{NIGHT}{VIDEO}steps = \"many\"\n"));
    let tried = |options: &[&str], environment: &[(&str, &str)]| -> Ended {
        let mut command = Command::new(binary());
        command.arg("submit").arg(&manifest).args(options).envs(environment.iter().copied());
        Running::start(&mut command).wait().expect(2)
    };
    let coloured = |told: Ended| told.stderr.contains('\u{1b}');
    assert!(!coloured(tried(&[], &[])), "no terminal, no colours");
    assert!(coloured(tried(&["--color", "always"], &[])));
    assert!(coloured(tried(&["--color", "always"], &[("NO_COLOR", "1")])), "what is typed comes first");
    assert!(coloured(tried(&[], &[("CLICOLOR_FORCE", "1")])));
    assert!(!coloured(tried(&["--color=never"], &[("CLICOLOR_FORCE", "1")])));
    assert!(!coloured(tried(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])));
}
