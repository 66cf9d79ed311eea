//! Somebody beside the log who hears its lines: what is done and what is wrong, not every detail of it.

use std::fmt;
use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use wanfarm_types::LogLevel;

type Hears = dyn Fn(LogLevel, &str) + Send + Sync;

/// Hears lines.
pub struct Listener(Box<Hears>);

/// Where one line goes.
pub struct Ear<'l> {
    hears: &'l Hears,
    /// `None` of a line that is not for others.
    level: Option<LogLevel>,
}

impl Listener {
    /// Has `hears` called with each line, as it is logged.
    pub fn new(hears: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        Self(Box::new(hears))
    }
}

impl<'l> MakeWriter<'l> for Listener {
    type Writer = Ear<'l>;

    fn make_writer(&'l self) -> Ear<'l> {
        Ear { hears: &*self.0, level: Some(LogLevel::Info) }
    }

    fn make_writer_for(&'l self, of: &Metadata<'_>) -> Ear<'l> {
        let level = match *of.level() {
            Level::ERROR => Some(LogLevel::Error),
            Level::WARN => Some(LogLevel::Warn),
            Level::INFO => Some(LogLevel::Info),
            // That a line was told may itself be one of these.
            _ => None,
        };
        Ear { hears: &*self.0, level }
    }
}

impl Write for Ear<'_> {
    /// Gets a line at a time.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(level) = self.level {
            (self.hears)(level, String::from_utf8_lossy(bytes).trim());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl fmt::Debug for Ear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear").field("level", &self.level).finish_non_exhaustive()
    }
}
