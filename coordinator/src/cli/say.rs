//! Standard output. Its reader may have read enough (`coordinator workers | head`): that is no
//! fault of this program, and nothing to panic about as `println!` does.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use wanfarm_client::DiskShortage;

use super::error::CliError;
use crate::exit::Exit;

/// Writes and flushes; false once nobody reads any more, and nothing can be said.
pub(crate) fn say(text: Arguments<'_>) -> bool {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != ErrorKind::BrokenPipe {
                // A full disk behind a redirection, for instance; nobody hears of it if this fails too.
                let _ = writeln!(std::io::stderr(), "error: cannot write to standard output: {error}");
            }
            false
        }
    }
}

/// As `print!`, without the panic; true while the output is open.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::say::say(format_args!($($text)*)) };
}

/// As `println!`, without the panic; true while the output is open.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::say::say(format_args!("{}\n", format_args!($($text)*))) };
}

/// As `eprint!`, without the panic.
#[cfg(feature = "farm")]
macro_rules! err {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($text)*);
    }};
}

/// Says what went wrong: as `eprintln!`, without the panic.
macro_rules! faultln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

/// Tells a person something that --quiet leaves out: as `eprintln!`, without the panic.
macro_rules! errln {
    ($($text:tt)*) => {
        if !$crate::logging::is_quiet() {
            $crate::cli::say::faultln!($($text)*);
        }
    };
}

#[cfg(feature = "farm")]
pub(crate) use err;
pub(crate) use {errln, faultln, out, outln};

/// Tells a person what is worth knowing; programs read standard output.
pub(super) fn note(notes: &[String]) {
    for note in notes {
        errln!("note: {note}");
    }
}

/// Tells a person what may become too little.
pub(super) fn say_shortages(shortages: &[DiskShortage]) {
    for short in shortages {
        errln!("note: the job {short}");
    }
}

pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(value).map_err(|error| CliError::new(Exit::SomeFailed, error))?;
    outln!("{json}");
    Ok(())
}
