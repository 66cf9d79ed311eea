//! `coordinator top`: brings coordinator, terminal, and a person's keys together.

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use wanfarm_client::Client;

use super::{CliError, CoordinatorArg, asked_to_stop, block_on};
use crate::clock::Clock;
use crate::exit::Exit;
use crate::logging;
use crate::top::{News, Screen, Source, Terminal, Wish, draw};

/// News that may wait to be drawn.
const NEWS: usize = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "Keys: Tab next list, arrows or j and k select; of the selected job p pause,
r resume, c cancel; ? all keys, q quit. The farm goes on without it.

Without a terminal on standard output: coordinator status --watch")]
pub(super) struct TopArgs {
    #[command(flatten)]
    coordinator: CoordinatorArg,
}

pub(super) fn top(args: TopArgs) -> Result<Exit, CliError> {
    // Nothing is logged: a line of it would stand in the middle of the picture.
    if !io::stdout().is_terminal() {
        let why = "top draws on a terminal, and standard output is none; for a pipe or a file there is: \
                   coordinator status --watch";
        return Err(CliError::new(Exit::Usage, why));
    }
    block_on(async {
        let target = &args.coordinator.target()?;
        let client = Client::connect(target).await?;
        show(client, &target.url()).await
    })
}

async fn show(client: Client, url: &str) -> Result<Exit, CliError> {
    let failed = |error: io::Error| CliError::new(Exit::SomeFailed, format!("cannot draw on this terminal: {error}"));
    let mut keys = Terminal::keys().map_err(failed)?;
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut stop = pin!(asked_to_stop());
    let (tell, mut news) = mpsc::channel(NEWS);
    let mut source = tokio::spawn(Source::new(client.clone()).run(tell.clone()));
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    let (mut screen, colour) = (Screen::new(url), logging::colour(&io::stdout()));
    let mut terminal = Terminal::take().map_err(failed)?;
    loop {
        let clock = Clock::now();
        terminal.draw(|frame| draw(frame, &screen, &clock, colour)).map_err(failed)?;
        let wish = tokio::select! {
            key = keys.recv() => key.map_or(Some(Wish::Quit), |key| screen.press(key)),
            Some(heard) = news.recv() => {
                screen.hear(Clock::now().moment(), heard);
                None
            }
            () = &mut stop => Some(Wish::Interrupt),
            // It never ends by itself.
            _broken = &mut source => return Err(CliError::new(Exit::SomeFailed, "top has failed; start it again")),
            _ = resized.recv() => None,
            _ = seconds.tick() => None,
        };
        match wish {
            None => {}
            Some(Wish::Quit) => return Ok(Exit::Ok),
            Some(Wish::Interrupt) => return Ok(Exit::Interrupted),
            Some(Wish::Control(job, verb)) => {
                let (client, tell) = (client.clone(), tell.clone());
                tokio::spawn(async move {
                    // Nobody may be there any more to hear of it.
                    let came: News = Source::control(client, job, verb).await;
                    let _left = tell.send(came).await;
                });
            }
        }
    }
}
