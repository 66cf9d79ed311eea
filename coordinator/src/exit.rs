//! Exit codes: documented, few, and relied upon by scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done.
    Ok,
    /// The job ended and some videos failed; or the command failed in a way that has no code of its own.
    SomeFailed,
    /// Wrong usage or a manifest with faults.
    Usage,
    /// No connection to a coordinator.
    NoConnection,
    /// Model files are missing, truncated or of the wrong shape.
    BadModelFiles,
    /// Ended by Ctrl-C or SIGTERM.
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::SomeFailed => 1,
            Exit::Usage => 2,
            Exit::NoConnection => 3,
            Exit::BadModelFiles => 4,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
