//! Options that every command takes: how much is said, and in which colours.

use anstream::ColorChoice;

use crate::logging::{self, Level};

/// What is true of every command.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Everywhere {
    /// Log more: what is done, with -vv every detail; WANFARM_LOG is finer and comes first.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Log errors only, and leave out notes and progress.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Colours: auto is on a terminal, unless NO_COLOR or CLICOLOR=0 is set.
    #[arg(long, value_name = "WHEN", env = "WANFARM_COLOR", default_value = "auto", global = true)]
    color: When,
}

/// When there are colours.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl Everywhere {
    /// To be called once, before anything is said.
    pub(super) fn apply(self) {
        let choice = match self.color {
            When::Auto => ColorChoice::Auto,
            When::Always => ColorChoice::Always,
            When::Never => ColorChoice::Never,
        };
        choice.write_global();
        logging::set_level(match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Usual,
            (false, 1) => Level::Verbose,
            (false, _) => Level::Everything,
        });
    }
}
