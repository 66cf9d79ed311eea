//! `coordinator install`: this program as a service of the machine, which starts with it and without anybody logged in.

mod carry_out;
mod launchd;
mod plan;
mod step;
mod systemd;

use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};
use wanfarm_identity::Invitation;

use self::plan::{Platform, Wanted};
use self::step::Service;
use super::{serve::ServeArgs, worker::WorkerArgs};
use crate::cli::error::CliError;
use crate::cli::say::{errln, outln};
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples, as an administrator:
  sudo coordinator install serve -- --output /srv/renders --host studio-1.local
  sudo coordinator install worker --join 'LINE' -- --models /srv/models
  sudo coordinator install worker --uninstall

Makes a user without a password, folders for the data and the logs, and the
service, and starts it: systemd on Linux, launchd on macOS. Typed again, it
installs what is said then, and this version of the program.")]
pub(in crate::cli) struct InstallArgs {
    /// What to install.
    #[arg(value_enum)]
    service: Service,
    /// Join this farm first, with the line that it printed.
    #[arg(long, value_name = "LINE")]
    join: Option<Invitation>,
    /// Stop the service and take it off the machine; data, logs and the user stay.
    #[arg(long, conflicts_with_all = ["join", "options"])]
    uninstall: bool,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the files below this folder and run nothing: for packages and images.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Options of the service, as `coordinator serve --help` and `coordinator worker --help` tell.
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

pub(super) fn install(args: InstallArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let InstallArgs { service, join, uninstall, dry_run, root, options } = args;
    let platform = Platform::here().ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            "services are installed on Linux with systemd and on macOS; elsewhere, start it yourself",
        )
    })?;
    let steps = if uninstall {
        plan::removal(platform, service)
    } else {
        let places = checked(platform, service, &options)?;
        let program = std::env::current_exe().map_err(|error| {
            CliError::new(Exit::SomeFailed, format!("cannot find this program, to copy it: {error}"))
        })?;
        plan::installation(platform, &Wanted { service, program, options, join, places })
    };
    if dry_run {
        for step in &steps {
            outln!("{step}");
        }
        return Ok(Exit::Ok);
    }
    let failed = |why: String| CliError::new(Exit::SomeFailed, why);
    carry_out::carry_out(&steps, root.as_deref()).map_err(failed)?;
    match (uninstall, root) {
        (true, _) => errln!("{service} is off this machine; {} and its user stay", platform.data().display()),
        (false, Some(root)) => errln!("{service} is below {}; nothing was started", root.display()),
        (false, None) => {
            errln!("{service} runs, and will after every start of this machine; its log: {}", platform.log(service))
        }
    }
    Ok(Exit::Ok)
}

/// Refuses options that the service would not take, and says which folders it is to write to.
fn checked(platform: Platform, service: Service, options: &[String]) -> Result<Vec<PathBuf>, CliError> {
    let usage = |why: String| CliError::new(Exit::Usage, why);
    let said_twice = ["--data", "--membership"]
        .into_iter()
        .find(|own| options.iter().any(|option| option == own || option.starts_with(&format!("{own}="))));
    if let Some(own) = said_twice {
        return Err(usage(format!("{own} of a service is {}", platform.data().display())));
    }
    let line = platform.command_line(service, options);
    let parsed = |command: Command| {
        // Nothing that this user has set is there for the service. The program's own name comes first, and then the verb's.
        let mut command = command.mut_args(|argument| argument.env(None));
        command.try_get_matches_from_mut(&line[1..]).map_err(|error| usage(error.to_string()))
    };
    let verb = Command::new(service.verb());
    let (writes, reads) = match service {
        Service::Serve => {
            let matches = parsed(ServeArgs::augment_args(verb))?;
            (vec![ServeArgs::from_arg_matches(&matches).map_err(|error| usage(error.to_string()))?.output()], vec![])
        }
        Service::Worker => {
            let matches = parsed(WorkerArgs::augment_args(verb))?;
            (vec![], WorkerArgs::from_arg_matches(&matches).map_err(|error| usage(error.to_string()))?.models())
        }
    };
    if let Some(path) = writes.iter().chain(&reads).find(|path| path.is_relative()) {
        return Err(usage(format!("{} depends on where a command is typed; write the whole path", path.display())));
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_refused_what_it_would_not_take() {
        let tried = |service, line: &str| {
            let options: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            checked(Platform::Linux, service, &options).map_err(|error| error.to_string())
        };
        assert_eq!(tried(Service::Serve, "--output /srv/renders --keep 7d"), Ok(vec!["/srv/renders".into()]));
        assert_eq!(tried(Service::Worker, "--models /srv/models"), Ok(Vec::new()));
        for (service, line, says) in [
            (Service::Serve, "--output renders", "depends on where"),
            (Service::Serve, "", "depends on where"),
            (Service::Serve, "--lissten 1", "--lissten"),
            (Service::Serve, "--output /srv --data /tmp", "--data of a service is /var/lib/wanfarm"),
            (Service::Worker, "", "--models"),
            (Service::Worker, "--models models", "depends on where"),
            (Service::Worker, "--models /m --role painter", "painter"),
        ] {
            let why = tried(service, line).unwrap_err();
            assert!(why.contains(says), "{line}: {why}");
        }
    }
}
