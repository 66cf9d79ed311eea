//! Where log lines go: to standard error, or to a file for processes that nobody looks at.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_env("WANFARM_LOG").unwrap_or_else(|_| EnvFilter::new(default))
}

/// Logs to standard error; `WANFARM_LOG` sets the level, as `info` or `wanfarm_coordinator=debug`.
pub fn to_stderr() {
    tracing_subscriber::fmt()
        .with_env_filter(filter("info"))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

/// Logs only warnings to standard error, for commands whose output is for people.
pub fn quiet() {
    tracing_subscriber::fmt()
        .with_env_filter(filter("warn"))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .without_time()
        .init();
}

/// Appends to a file.
///
/// # Errors
/// When the file cannot be opened.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    tracing_subscriber::fmt().with_env_filter(filter("info")).with_ansi(false).with_writer(Mutex::new(file)).init();
    Ok(())
}
