//! What processes log, a line each: as a worker tells it to its coordinator, and as that tells it to people and programs.

use serde::{Deserialize, Serialize};

use crate::bounds;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Something ends because of it.
    Error,
    /// Somebody may have to do something about it.
    Warn,
    /// What is done.
    Info,
    /// How it is done.
    Debug,
    /// Every detail of that.
    Trace,
}

/// A line of a worker's log, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// When it was logged, by the coordinator's clock, in UTC as RFC 3339 has it.
    pub at: Option<String>,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says, without control characters.
    pub text: String,
}

/// A line of its own log in a worker's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Milliseconds since it was logged: clocks of many machines tell many times.
    pub age_milliseconds: u64,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says: one line, not long.
    #[serde(deserialize_with = "bounds::read_line")]
    pub text: String,
}

impl LogLevel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A text as a line of a log that others read: cut where it is too long, with spaces for control characters.
pub fn log_text(text: &str) -> String {
    bounds::line(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_short_line_whoever_sends_it() {
        let entry = |text: &str| LogEntry { age_milliseconds: 3, level: LogLevel::Warn, text: text.to_owned() };
        let read = |text: &str| {
            let json = serde_json::to_string(&entry(text)).unwrap();
            serde_json::from_str::<LogEntry>(&json).unwrap().text
        };
        assert_eq!(read("a fox"), "a fox");
        assert_eq!(read("a\nERROR forged\u{1b}[2J\u{85}"), "a ERROR forged [2J ");
        let long = read(&"猫\n".repeat(10_000));
        assert!(long.len() <= 1024 && long.ends_with('…') && !long.contains('\n'), "{}", long.len());
        assert_eq!(log_text("b\tc"), "b c");
    }

    #[test]
    fn levels_have_the_names_of_their_json() {
        for level in LogLevel::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.name());
        }
    }
}
