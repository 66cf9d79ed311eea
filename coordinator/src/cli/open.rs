//! `coordinator open`: the page of the night, or of a job, in the browser.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use wanfarm_client::Client;

use super::reference::JobReference;
use super::say::{errln, outln};
use super::{CliError, CoordinatorArg, block_on};
use crate::exit::Exit;
use crate::logging;

/// An opener that runs for longer has become the browser.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  coordinator open                   the night: when everything is finished
  coordinator open night             one job: its videos as pictures

Prints the address, too; only that where no browser can be opened.")]
pub(super) struct OpenArgs {
    /// Number or name of a job [default: the page of the night].
    job: Option<JobReference>,
    #[command(flatten)]
    coordinator: CoordinatorArg,
}

pub(super) fn open(args: OpenArgs) -> Result<Exit, CliError> {
    logging::quiet();
    block_on(async {
        let (target, farm) = args.coordinator.target_and_farm()?;
        // Before a browser shows that nobody answers.
        let mut client = Client::connect(&target).await?;
        let page = match args.job {
            None => "/".to_owned(),
            Some(job) => format!("/jobs/{}", job.find(&mut client).await?),
        };
        outln!("{target}{page}");
        let entrance = match farm {
            Some(_) if opener().is_some() => {
                let token = client.own_token("a browser that was opened").await?;
                // Behind the mark nothing is sent, nor logged.
                format!("{target}/enter?to={page}#{token}")
            }
            _ => format!("{target}{page}"),
        };
        show(&entrance).await;
        Ok(Exit::Ok)
    })
}

async fn show(page: &str) {
    let Some(program) = opener() else { return };
    let mut command = Command::new(program);
    command.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut opener) = command.spawn() else { return };
    match tokio::time::timeout(PATIENCE, opener.wait()).await {
        Ok(Ok(status)) if !status.success() => errln!("{program} could not open a browser ({status})"),
        _ => {}
    }
}

/// What opens a page here, if there is a desktop to open it on.
fn opener() -> Option<&'static str> {
    if cfg!(target_os = "macos") {
        return Some("open");
    }
    let desktop = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    (desktop("DISPLAY") || desktop("WAYLAND_DISPLAY")).then_some("xdg-open")
}
