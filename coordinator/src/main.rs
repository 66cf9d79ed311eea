//! The program: one binary that is coordinator, worker and client.
//!
//! Everything it can do is listed in `cli`; this file only parses, runs and turns failures into exit codes.

use std::io::Write;
use std::process::ExitCode;

use wanfarm_coordinator::cli::Cli;
use wanfarm_coordinator::exit::Exit;

fn main() -> ExitCode {
    match Cli::read().and_then(Cli::execute) {
        Ok(exit) => exit.into(),
        Err(failed) => {
            let message = failed.to_string();
            if !message.is_empty() {
                // Standard error may be a pipe that nobody reads any more.
                let _ = writeln!(std::io::stderr(), "error: {message}");
            }
            match failed.exit() {
                Exit::Ok => Exit::SomeFailed.into(),
                exit => exit.into(),
            }
        }
    }
}
