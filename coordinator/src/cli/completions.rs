//! `coordinator completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::say::out;
use super::{Cli, CliError};
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(coordinator completions bash)     in ~/.bashrc
  source <(coordinator completions zsh)      in ~/.zshrc, after compinit
  coordinator completions fish | source      in ~/.config/fish/config.fish")]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, CliError> {
    out!("{}", script(args.shell));
    Ok(Exit::Ok)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "coordinator", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_is_told_of_every_verb() {
        for &shell in Shell::value_variants() {
            let script = script(shell);
            for verb in Cli::command().get_subcommands() {
                assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
            }
        }
    }
}
