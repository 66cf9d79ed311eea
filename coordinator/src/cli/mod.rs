//! The command line: what can be typed, and what `--help` teaches.

mod access;
mod address;
mod args;
#[cfg(not(feature = "farm"))]
mod client_only;
mod completions;
mod config;
mod control;
mod download;
mod error;
mod everywhere;
mod export;
mod follow;
mod forecast;
mod given;
#[cfg(feature = "farm")]
mod here;
mod join;
mod man;
mod notify;
mod open;
mod path;
mod reference;
mod report;
mod rerender;
mod runtime;
mod say;
mod show;
mod status;
mod submit;
mod table;
#[cfg(unix)]
mod top;
mod workers;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use wanfarm_client::JobVerb;

use crate::exit::Exit;
use args::{CoordinatorArg, TakenArgs, faulty, read_manifest};
use runtime::{asked_to_stop, block_on};
use say::{note, outln, print_json, say_shortages};

pub use error::CliError;

/// How the verbs go together.
#[cfg(feature = "farm")]
const AFTER_HELP: &str = "On one machine:\n\
                  \x20 coordinator run shots.toml\n\
                  On a farm:\n\
                  \x20 coordinator serve                       on one machine\n\
                  \x20 coordinator join LINE                   on each of the others, once\n\
                  \x20 coordinator worker --role dit-high --models DIR\n\
                  \x20 coordinator submit night.toml --follow\n\
                  \x20 coordinator top; coordinator report night\n\n\
                  Your own defaults go into ~/.config/wanfarm/config.toml: coordinator, models,\n\
                  output, memory, threads, device, dtype, color. Variables (WANFARM_COORDINATOR\n\
                  and so on) come before it, options before both.\n\n\
                  Exit codes: 0 ok, 1 some videos failed, 2 wrong usage or manifest, 3 no connection,\n\
                  4 bad model files, 130 interrupted.";
#[cfg(not(feature = "farm"))]
const AFTER_HELP: &str = "Your own defaults: coordinator, color in ~/.config/wanfarm/config.toml. Variables as\n\
                          WANFARM_COORDINATOR come before it, options before both.\n\n\
                          Exit codes: 0 ok, 1 some videos failed, 2 wrong usage or manifest, 3 no connection,\n\
                          130 interrupted.";

/// Renders batches of Wan2.2 videos on as many machines as you have.
#[derive(Debug, Parser)]
#[command(
    name = "coordinator",
    version,
    about = "Renders batches of Wan2.2 videos on as many machines as you have.",
    after_help = AFTER_HELP
)]
pub struct Cli {
    #[command(flatten)]
    everywhere: everywhere::Everywhere,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "farm")]
    #[command(flatten)]
    Here(here::Command),
    /// Queue a manifest with a coordinator.
    Submit(submit::SubmitArgs),
    /// Show all jobs, or one job with its videos.
    Status(status::StatusArgs),
    /// Show the night in the terminal, live: when it ends, what is rendered, jobs, workers.
    #[cfg(unix)]
    Top(top::TopArgs),
    /// Open the page of the night, or of a job, in the browser.
    Open(open::OpenArgs),
    /// Start nothing more of a job; what runs stops after its step.
    Pause(control::JobArgs),
    /// Undo pause.
    Resume(control::JobArgs),
    /// Let a job go before others, or behind them, from now on: 0 to 100, higher first.
    Priority(control::PriorityArgs),
    /// Give up what has not finished of a job, or one video of it; finished files stay.
    Cancel(control::ControlArgs),
    /// Try failed and cancelled videos of a job again, or one of them, from where they got to.
    Retry(control::ControlArgs),
    /// Render videos once more with other seeds, as a job of its own; what was rendered stays.
    Rerender(rerender::RerenderArgs),
    /// Keep nothing of a job but its finished files: not its line, not its report, nothing to go on from.
    Forget(control::ForgetArgs),
    /// List the workers; drain one, give it work again, or forget one that is gone.
    Workers(workers::WorkersArgs),
    /// Make this machine a member of a farm, with the line that the farm has printed.
    Join(join::JoinArgs),
    /// Who may do what: make lines to join with and tokens, list them, revoke them.
    Access(access::AccessArgs),
    /// Fetch the finished files of a job, checked by their digests.
    Download(download::DownloadArgs),
    /// The morning report of a job: what came of it, and where the time went.
    Report(report::ReportArgs),
    /// Print the settings that a finished file was rendered with, as a manifest that renders it again.
    Show(show::ShowArgs),
    /// Write a manifest as the job of another render manager.
    #[command(display_order = 150)]
    Export(export::ExportArgs),
    /// Print the JSON Schema of the manifest, for editors.
    #[command(display_order = 200)]
    Schema,
    /// Print what makes a shell complete what is typed after `coordinator`.
    #[command(display_order = 201)]
    Completions(completions::CompletionsArgs),
    /// Write a manual page of each command into a folder.
    #[command(display_order = 202)]
    Man(man::ManArgs),
}

impl Cli {
    /// What was typed, and what the environment and this user's file of defaults add to it. Ends the process, as clap does,
    /// when it was no command, or a question for help.
    ///
    /// # Errors
    /// When that file cannot be read.
    pub fn read() -> Result<Self, CliError> {
        let (command, broken) = match config::applied(Self::command()) {
            Ok(command) => (command, None),
            Err(broken) => (Self::command(), Some(broken)),
        };
        let matches = command.try_get_matches().unwrap_or_else(|error| error.exit());
        match broken {
            // Help is there also for whoever wrote nonsense into the file.
            Some(broken) => Err(broken),
            None => Ok(Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())),
        }
    }

    /// Does what was typed.
    ///
    /// # Errors
    /// With the message and the exit code.
    pub fn execute(self) -> Result<Exit, CliError> {
        self.everywhere.apply();
        match self.command {
            #[cfg(feature = "farm")]
            Command::Here(command) => command.execute(),
            Command::Submit(args) => submit::submit(args),
            Command::Status(args) => status::status(args),
            #[cfg(unix)]
            Command::Top(args) => top::top(args),
            Command::Open(args) => open::open(args),
            Command::Pause(args) => control::control(args.into(), JobVerb::Pause),
            Command::Resume(args) => control::control(args.into(), JobVerb::Resume),
            Command::Priority(args) => control::prioritise(args),
            Command::Cancel(args) => control::control(args, JobVerb::Cancel),
            Command::Retry(args) => control::control(args, JobVerb::Retry),
            Command::Rerender(args) => rerender::rerender(args),
            Command::Forget(args) => control::forget(args),
            Command::Workers(args) => workers::workers(args),
            Command::Join(args) => join::join(args),
            Command::Access(args) => access::access(args),
            Command::Download(args) => download::download(args),
            Command::Report(args) => report::report(args),
            Command::Show(args) => show::show(&args),
            Command::Export(args) => export::export(args),
            Command::Schema => {
                outln!("{:#}", wanfarm_manifest::schema());
                Ok(Exit::Ok)
            }
            Command::Completions(args) => completions::completions(&args),
            Command::Man(args) => man::man(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// A terminal opens with 80 columns; a longer line would be broken in the middle of an example.
    #[test]
    fn examples_and_tables_of_the_help_fit_eighty_columns() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            for text in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                for line in text.to_string().lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn only_some_verbs_take_single_videos() {
        for (verb, takes) in [("pause", false), ("resume", false), ("forget", false), ("cancel", true), ("retry", true)]
        {
            let video = Cli::try_parse_from(["coordinator", verb, "night/3"]);
            assert_eq!(video.is_ok(), takes, "{verb}");
            assert!(Cli::try_parse_from(["coordinator", verb, "night"]).is_ok());
        }
        let why = Cli::try_parse_from(["coordinator", "pause", "night/3"]).unwrap_err().to_string();
        assert!(why.contains("by its number or name, no single video, not") && !why.contains("INDEX"), "{why}");
    }

    #[test]
    fn every_verb_is_explained() {
        let hidden = |argument: clap::Arg| argument.hide_env_values(true);
        let mut command = Cli::command().term_width(80).mut_args(hidden).mut_subcommands(|verb| {
            // What the environment of the tests holds.
            verb.mut_args(hidden)
        });
        command.build();
        command.clone().debug_assert();
        insta::assert_snapshot!("coordinator", command.render_long_help());
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
            insta::assert_snapshot!(verb.get_name().to_owned(), verb.render_long_help());
        }
    }
}
