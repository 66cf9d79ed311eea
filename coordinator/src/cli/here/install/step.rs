//! The services, and the things that are done to install them, as they are told.

use std::fmt;
use std::path::PathBuf;

/// A process that is to run all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Service {
    /// The coordinator.
    Serve,
    /// A worker.
    Worker,
}

/// One thing that is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A file, whole or not at all.
    Write { path: PathBuf, text: String },
    /// A file as another one is, which may run.
    Copy { from: PathBuf, path: PathBuf },
    /// A folder of the service's user.
    Folder { path: PathBuf, owner: &'static str, mode: u32 },
    /// A program. What it says is shown when it fails.
    Run { line: Vec<String> },
    /// The same, unless a user of this name is there.
    RunWithoutUser { user: &'static str, line: Vec<String> },
    /// The same, whatever comes of it: it undoes what may not be there.
    Try { line: Vec<String> },
    /// This program as the service's user, who keeps its membership in the service's data folder.
    RunAs { user: &'static str, membership: PathBuf, line: Vec<String> },
    /// A file that is there no more.
    Remove { path: PathBuf },
}

impl Service {
    /// The subcommand, which is its name.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Worker => "worker",
        }
    }

    /// The name of its data folder, its log and its unit.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Serve => "coordinator",
            Self::Worker => "worker",
        }
    }
}

/// The words of a line in which none needs quotes.
pub(super) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// As a shell would take it.
fn quoted(line: &[String]) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    let word = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    line.iter().map(word).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serve => "the coordinator",
            Self::Worker => "the worker",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { path, text } => {
                writeln!(f, "write {}:", path.display())?;
                f.write_str(text.trim_end())
            }
            Self::Copy { from, path } => write!(f, "copy {} to {}", from.display(), path.display()),
            Self::Folder { path, owner, mode } => write!(f, "make {}, of {owner}, mode {mode:o}", path.display()),
            Self::Run { line } => write!(f, "run {}", quoted(line)),
            Self::RunWithoutUser { user, line } => write!(f, "unless there is a user {user}, run {}", quoted(line)),
            Self::Try { line } => write!(f, "try {}", quoted(line)),
            Self::RunAs { user, membership, line } => {
                write!(f, "as {user}, with WANFARM_MEMBERSHIP={}, run {}", membership.display(), quoted(line))
            }
            Self::Remove { path } => write!(f, "remove {}", path.display()),
        }
    }
}
