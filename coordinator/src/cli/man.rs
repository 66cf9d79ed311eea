//! `coordinator man`.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};

use super::say::outln;
use super::{Cli, CliError};
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  coordinator man ~/.local/share/man/man1; man coordinator-submit")]
pub(super) struct ManArgs {
    /// The folder, which is made where it is not there.
    #[arg(value_name = "DIR", value_parser = super::path::new())]
    dir: PathBuf,
}

pub(super) fn man(args: &ManArgs) -> Result<Exit, CliError> {
    let pages = write(&args.dir).map_err(|error| {
        let why = format!("cannot write manual pages into {}: {error}; name another folder", args.dir.display());
        CliError::new(Exit::SomeFailed, why)
    })?;
    outln!("{pages} manual pages are in {}", args.dir.display());
    Ok(Exit::Ok)
}

/// Writes the pages, and says how many there are.
fn write(dir: &Path) -> std::io::Result<usize> {
    std::fs::create_dir_all(dir)?;
    let mut command = plain(Cli::command()).disable_help_subcommand(true);
    command.build();
    clap_mangen::generate_to(command.clone(), dir)?;
    Ok(count(&command))
}

/// The same whatever this process finds in its environment.
fn plain(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(plain)
}

/// A command and those below it.
fn count(command: &Command) -> usize {
    let shown = command.get_subcommands().filter(|below| !below.is_hide_set());
    1 + shown.map(count).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let written = write(&dir.path().join("man1")).unwrap();
        let names: Vec<String> = std::fs::read_dir(dir.path().join("man1"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names.len(), written, "{names:?}");
        for page in ["coordinator.1", "coordinator-submit.1", "coordinator-workers-drain.1"] {
            assert!(names.iter().any(|name| name == page), "{page} is not among {names:?}");
        }
        let page = std::fs::read_to_string(dir.path().join("man1/coordinator-submit.1")).unwrap();
        assert!(page.contains("Queue a manifest with a coordinator"), "{page}");
    }
}
