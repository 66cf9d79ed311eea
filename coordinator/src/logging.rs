//! Where log lines go: to standard error, or to a file for processes that nobody looks at. A line is one line, whatever
//! names and messages from elsewhere are in it.

mod listener;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use wanfarm_durable::FileId;

use wanfarm_manifest::one_line;

pub use listener::Listener;

/// Longest value in a line, in characters.
const MAX_LINE: usize = 2000;

/// Whether a stream shows colours and its reader wants them: a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
pub fn colour(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// How much is told of what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Errors alone, without notes and progress.
    Quiet,
    /// What each kind of command tells by itself.
    #[default]
    Usual,
    /// What is done.
    Verbose,
    /// Every detail of this project's own parts.
    Everything,
}

static LEVEL: OnceLock<Level> = OnceLock::new();

/// Sets how much is told, for good. To be called before anything else.
pub fn set_level(level: Level) {
    // A second time is of no effect.
    let _set = LEVEL.set(level);
}

/// Neither notes nor progress are wanted.
pub fn is_quiet() -> bool {
    level() == Level::Quiet
}

fn level() -> Level {
    LEVEL.get().copied().unwrap_or_default()
}

/// What `WANFARM_LOG` says; without it, what the command line does.
fn filter(usual: &str) -> EnvFilter {
    EnvFilter::try_from_env("WANFARM_LOG").unwrap_or_else(|_| EnvFilter::new(directives(level(), usual)))
}

fn directives(level: Level, usual: &str) -> String {
    match level {
        Level::Quiet => "error".to_owned(),
        Level::Usual => usual.to_owned(),
        Level::Verbose => "info".to_owned(),
        // Of libraries no more than that: every byte of a connection is a line of theirs.
        Level::Everything => "info,wanfarm=trace".to_owned(),
    }
}

/// How values are written: without control characters, so that nobody's name moves a cursor or makes a line of its own.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let write = |writer: &mut tracing_subscriber::fmt::format::Writer<'_>,
                 field: &tracing::field::Field,
                 value: &dyn std::fmt::Debug| {
        let text = format!("{value:?}");
        let text = one_line(&text, MAX_LINE);
        match field.name() {
            "message" => write!(writer, "{text}"),
            name => write!(writer, "{name}={text}"),
        }
    };
    debug_fn(write).delimited(" ")
}

/// The same lines for somebody else.
fn told<S>(listener: Option<Listener>) -> Option<impl Layer<S>>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let lines = tracing_subscriber::fmt::layer().fmt_fields(fields()).with_ansi(false);
    let lines = lines.without_time().with_level(false).with_target(false);
    listener.map(|listener| lines.with_writer(listener))
}

/// Logs to standard error, or to the file that `WANFARM_LOG_FILE` names, and to `listener`; `WANFARM_LOG` sets the level, as
/// `info` or `wanfarm_server=debug`.
pub fn of_service(listener: Option<Listener>) {
    if let Some(path) = std::env::var_os("WANFARM_LOG_FILE").filter(|path| !path.is_empty()).map(PathBuf::from) {
        match LogFile::open(&path) {
            Ok(file) => return to_open_file(file, listener),
            Err(error) => {
                // Nobody reads it there: what is not written to the log is then all the more worth having.
                let _ = writeln!(io::stderr(), "cannot log to {}: {error}; logging here", path.display());
            }
        }
    }
    tracing_subscriber::fmt()
        .fmt_fields(fields())
        .with_env_filter(filter("info"))
        .with_ansi(colour(&io::stderr()))
        .with_writer(io::stderr)
        .finish()
        .with(told(listener))
        .init();
}

/// Logs only warnings to standard error, for commands that print tables.
pub fn quiet() {
    tracing_subscriber::fmt()
        .fmt_fields(fields())
        .with_env_filter(filter("warn"))
        .with_ansi(colour(&io::stderr()))
        .with_writer(io::stderr)
        .without_time()
        .init();
}

/// Appends to a file, and tells `listener`.
///
/// # Errors
/// When the file cannot be opened.
pub fn to_file(path: &Path, listener: Option<Listener>) -> io::Result<()> {
    to_open_file(LogFile::open(path)?, listener);
    Ok(())
}

fn to_open_file(file: LogFile, listener: Option<Listener>) {
    tracing_subscriber::fmt()
        .fmt_fields(fields())
        .with_env_filter(filter("info"))
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .finish()
        .with(told(listener))
        .init();
}

/// A file that is opened anew when it was moved away: it is rotated without a word to this process.
struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    fn is_in_place(&self) -> bool {
        FileId::at(&self.path).ok().is_some_and(|at| FileId::of_open(&self.file).is_ok_and(|open| open == at))
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Where that fails, the moved file is better than none.
        if !self.is_in_place()
            && let Ok(anew) = Self::open(&self.path)
        {
            *self = anew;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::LogLevel;

    fn logged(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_is_one_line_and_moves_no_cursor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let writer = Mutex::new(LogFile::open(&path).unwrap());
        let log = tracing_subscriber::fmt().fmt_fields(fields()).with_ansi(false).with_writer(writer).finish();
        tracing::subscriber::with_default(log, || {
            let name = "a\u{1b}[2J\nERROR b\u{7}";
            tracing::info!(name, shown = %name, "job {name}");
        });
        let text = logged(&path);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
        assert!(text.contains("shown=a [2J ERROR b") && text.contains("name=\""), "{text:?}");
    }

    #[test]
    fn a_listener_hears_what_matters_of_what_is_logged() {
        use std::sync::Arc;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let listener = Listener::new(move |level, text: &str| hears.lock().unwrap().push((level, text.to_owned())));
        let log = tracing_subscriber::fmt().fmt_fields(fields()).with_writer(io::sink);
        let log = log.with_env_filter(EnvFilter::new("trace,h2=off")).finish().with(told(Some(listener)));
        tracing::subscriber::with_default(log, || {
            tracing::warn!(reason = "a\nb", "it slipped");
            tracing::info!("attached");
            tracing::debug!("every step");
            tracing::error!(target: "h2", "of no interest to who logs");
        });
        let heard = heard.lock().unwrap();
        let want = [(LogLevel::Warn, "it slipped reason=\"a\\nb\""), (LogLevel::Info, "attached")];
        assert_eq!(heard.iter().map(|(level, text)| (*level, text.as_str())).collect::<Vec<_>>(), want);
    }

    #[test]
    fn more_is_logged_of_our_own_parts_than_of_libraries() {
        let dir = tempfile::tempdir().unwrap();
        for (level, want) in [
            (Level::Quiet, ""),
            (Level::Usual, "warn"),
            (Level::Verbose, "warn info"),
            (Level::Everything, "warn info own"),
        ] {
            let path = dir.path().join(format!("{level:?}"));
            let writer = Mutex::new(LogFile::open(&path).unwrap());
            let log = tracing_subscriber::fmt().fmt_fields(fields()).with_ansi(false).with_writer(writer);
            let log = log.with_env_filter(EnvFilter::new(directives(level, "warn"))).finish();
            tracing::subscriber::with_default(log, || {
                tracing::warn!(target: "h2", "warn");
                tracing::info!(target: "h2", "info");
                tracing::debug!(target: "h2", "library");
                tracing::trace!(target: "wanfarm_server::driver", "own");
            });
            let text = logged(&path);
            let words: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
            assert_eq!(
                words.join(" "),
                want,
                "{level:?}:
{text}"
            );
        }
    }

    #[test]
    fn a_file_that_is_moved_away_is_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.0"));
        let mut file = LogFile::open(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!((logged(&old), logged(&path)), ("one\n".to_owned(), "two\n".to_owned()));
        // As newsyslog leaves it: an empty one in its place.
        std::fs::rename(&path, &old).unwrap();
        std::fs::write(&path, "").unwrap();
        file.write_all(b"three\n").unwrap();
        assert_eq!(logged(&path), "three\n");
    }
}
