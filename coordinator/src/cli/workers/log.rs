//! `coordinator workers log`.

use wanfarm_client::Client;
use wanfarm_manifest::one_line;
use wanfarm_types::{LogLine, WorkerId};

use crate::cli::CliError;
use crate::cli::runtime::asked_to_stop;
use crate::cli::say::{outln, print_json};
use crate::clock::{Clock, moment};
use crate::exit::Exit;

/// Longest line that is shown; the coordinator has no longer ones.
const MAX_LINE: usize = 1024;

#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// Its name, or the start of its id.
    pub(super) worker: String,
    /// Stay, and show what it logs from now on, until it is forgotten.
    #[arg(long)]
    follow: bool,
    /// How many of its last lines.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: u32,
}

/// Shows what a worker has logged. With `json` an object of all lines, or one object a line where it is followed.
pub(super) async fn log(client: &mut Client, worker: WorkerId, args: &LogArgs, json: bool) -> Result<Exit, CliError> {
    let mut lines = client.worker_log(worker, args.lines, args.follow).await?;
    if json && !args.follow {
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(line);
        }
        print_json(&serde_json::json!({ "lines": all }))?;
        return Ok(Exit::Ok);
    }
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = asked_to_stop() => return Ok(Exit::Interrupted),
        };
        let Some(line) = line else { return Ok(Exit::Ok) };
        let text = match json {
            true => serde_json::to_string(&line).unwrap_or_default(),
            false => words(&line, Clock::now()),
        };
        if !outln!("{text}") {
            return Ok(Exit::Ok);
        }
    }
}

/// `21:04:05 WARN it slipped`, with the day where it was another one.
fn words(line: &LogLine, clock: Clock) -> String {
    let at = line.at.as_deref().and_then(moment).map(|at| clock.exact(at)).unwrap_or_default();
    let level = line.level.name().to_uppercase();
    format!("{at} {level:5} {}", one_line(&line.text, MAX_LINE)).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::at;
    use wanfarm_types::LogLevel;

    #[test]
    fn a_line_stands_with_its_time_and_moves_no_cursor() {
        let line = |at: Option<&str>| LogLine {
            at: at.map(str::to_owned),
            level: LogLevel::Warn,
            text: "it\u{1b}[2J slipped".into(),
        };
        let clock = at("2026-11-29T23:00:00Z");
        assert_eq!(words(&line(Some("2026-11-29T21:04:05.250Z")), clock), "21:04:05 WARN  it [2J slipped");
        assert_eq!(words(&line(Some("2026-11-28T21:04:05Z")), clock), "yesterday 21:04:05 WARN  it [2J slipped");
        assert_eq!(words(&line(None), clock), "WARN  it [2J slipped");
    }
}
