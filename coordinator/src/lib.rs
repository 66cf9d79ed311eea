//! The program `coordinator`: its command line, progress, and the workers that `run` starts. Without the feature `farm`
//! it is a client alone.

// They panic when nobody reads any more; `cli::say` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod clock;
#[cfg(feature = "farm")]
pub mod compare;
mod defaults;
#[cfg(feature = "farm")]
pub mod doctor;
pub mod exit;
pub mod logging;
pub mod progress;
#[cfg(feature = "farm")]
pub mod supervisor;
#[cfg(unix)]
mod top;
