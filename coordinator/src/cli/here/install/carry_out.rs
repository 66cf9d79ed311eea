//! Does what was planned, one step after another, and stops at the first that fails.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::step::Step;

/// Carries steps out. Below another `root` only files are written.
pub(super) fn carry_out(steps: &[Step], root: Option<&Path>) -> Result<(), String> {
    steps.iter().try_for_each(|step| {
        one(step, root).map_err(|why| {
            let head = step.to_string();
            let head = head.lines().next().unwrap_or_default().trim_end_matches(':');
            format!("cannot {head}: {why}; what was done before stays, so mend that and try again")
        })
    })
}

fn one(step: &Step, root: Option<&Path>) -> Result<(), String> {
    let at = |path: &Path| match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    };
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{error} (as an administrator: sudo coordinator install …)"),
        _ => error.to_string(),
    };
    match step {
        Step::Write { path, text } => write(&at(path), text.as_bytes(), 0o644).map_err(told),
        Step::Copy { from, path } => fs::read(from).and_then(|bytes| write(&at(path), &bytes, 0o755)).map_err(told),
        Step::Folder { path, owner, mode } => {
            let owner = if root.is_none() { Some(ids(owner)?) } else { None };
            folder(&at(path), owner, *mode).map_err(told)
        }
        Step::Remove { path } => match fs::remove_file(at(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(told),
        },
        // The machine that the files are for is another one.
        _ if root.is_some() => Ok(()),
        Step::RunWithoutUser { user, .. } if ids(user).is_ok() => Ok(()),
        Step::Run { line } | Step::RunWithoutUser { line, .. } => run(line, |_| {}),
        Step::Try { line } => {
            // It is told where it matters: what follows fails.
            let _ = run(line, |_| {});
            Ok(())
        }
        Step::RunAs { user, membership, line } => {
            let (uid, gid) = ids(user)?;
            run(line, |command| {
                command.uid(uid).gid(gid).env("WANFARM_MEMBERSHIP", membership).current_dir("/");
            })
        }
    }
}

/// A file that is there whole or not at all, under its name.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let draft = PathBuf::from(format!("{}.new", path.display()));
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    wanfarm_durable::write(path, &draft, bytes)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A folder that is there; one that was there keeps what it is, but for its owner.
fn folder(path: &Path, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    if !path.is_dir() {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::DirBuilder::new().mode(mode).create(path)?;
    }
    match owner {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

/// The numbers of a user and its group, as `id` tells them.
fn ids(user: &str) -> Result<(u32, u32), String> {
    let number = |option: &str| {
        let told = Command::new("id").args([option, user]).stderr(Stdio::null()).output();
        let told = told.map_err(|error| format!("id: {error}"))?;
        let text = String::from_utf8_lossy(&told.stdout);
        text.trim().parse::<u32>().map_err(|_| format!("there is no user {user}"))
    };
    Ok((number("-u")?, number("-g")?))
}

fn run(line: &[String], prepare: impl FnOnce(&mut Command)) -> Result<(), String> {
    let (program, arguments) = line.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    prepare(&mut command);
    let ended = command.output().map_err(|error| error.to_string())?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{} ({})", said.trim(), ended.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Vec<String> {
        super::super::step::words(words)
    }

    #[test]
    fn below_another_root_files_are_written_and_nothing_runs() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("from");
        fs::write(&program, "program").unwrap();
        let steps = [
            Step::RunWithoutUser { user: "nobody-of-this-name", line: line("false") },
            Step::Copy { from: program, path: "/usr/local/bin/coordinator".into() },
            Step::Folder { path: "/var/lib/wanfarm".into(), owner: "nobody-of-this-name", mode: 0o750 },
            Step::Write { path: "/etc/a.service".into(), text: "unit".to_owned() },
            Step::Run { line: line("false") },
        ];
        for _ in 0..2 {
            carry_out(&steps, Some(root.path())).unwrap();
        }
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("usr/local/bin/coordinator"), 0o755);
        assert_eq!(mode("etc/a.service"), 0o644);
        assert_eq!(mode("var/lib/wanfarm"), 0o750);
        assert_eq!(fs::read_to_string(root.path().join("etc/a.service")).unwrap(), "unit");
        let gone = [Step::Remove { path: "/etc/a.service".into() }];
        for _ in 0..2 {
            carry_out(&gone, Some(root.path())).unwrap();
        }
        assert!(!root.path().join("etc/a.service").exists());
    }

    #[test]
    fn the_first_step_that_fails_ends_it_and_says_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let never = folder.path().join("never");
        let steps = [
            Step::Try { line: line("false") },
            Step::Run { line: line("true") },
            Step::Run { line: line("ls /no-such-folder-anywhere") },
            Step::Write { path: never.clone(), text: String::new() },
        ];
        let why = carry_out(&steps, None).unwrap_err();
        assert!(why.starts_with("cannot run ls /no-such-folder-anywhere: ") && why.contains("try again"), "{why}");
        assert!(!never.exists());
        let why = carry_out(
            &[Step::RunAs { user: "nobody-of-this-name", membership: "/m".into(), line: line("true") }],
            None,
        );
        assert!(why.unwrap_err().contains("there is no user nobody-of-this-name"));
    }
}
