//! `coordinator serve`.

use std::str::FromStr;
use std::time::Duration;

use wanfarm_scheduler::Config;
use wanfarm_server::server::{self, ServerConfig};

use super::say::outln;
use super::{Failed, ServeArgs, address, asked_to_stop, block_on, data_directory};
use crate::exit::Exit;
use crate::logging;

/// The scheduler's constants as asked for. One interval alone leaves the other open.
fn policy(args: &ServeArgs) -> Config {
    let usual = Config::default();
    let steps = if args.checkpoint_seconds.is_some() { u32::MAX } else { usual.checkpoint_steps };
    Config {
        lease: Duration::from_secs(args.lease),
        stall: Duration::from_secs(args.stall),
        checkpoint_steps: args.checkpoint_steps.unwrap_or(steps),
        checkpoint_time: args.checkpoint_seconds.map_or(usual.checkpoint_time, Duration::from_secs),
        ..usual
    }
}

/// How long jobs are kept after they have ended: `30d`, `12h`, or `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention(Option<Duration>);

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(None));
        }
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Err("write at least 1s, or forever".to_owned()),
            Ok(kept) => Ok(Self(Some(kept))),
            Err(error) => Err(format!("{error}; write it as 30d or 12h, or forever")),
        }
    }
}

pub(super) fn serve(args: ServeArgs) -> Result<Exit, Failed> {
    logging::of_service();
    let scheduler = policy(&args);
    let data = data_directory(args.data, "coordinator")?;
    let (listen, output, retention) = (args.listen, args.output, args.keep.0);
    let config = ServerConfig { listen, data, output, wanted: None, retention, scheduler };
    block_on(async {
        let mut coordinator = server::start(config).await.map_err(super::not_started)?;
        let (reached, port) = (address::reached(coordinator.address), coordinator.address.port());
        // Scripts that chose port 0 read the address from here.
        outln!("listening on http://{reached}");
        if !coordinator.address.ip().is_loopback() {
            let host = gethostname::gethostname();
            let at = format!("{}:{port}, or {reached} where nobody knows that name", host.display());
            tracing::info!("workers and clients on this network reach it with --coordinator {at}");
            tracing::warn!(
                "whoever reaches this port can use the farm, without a password or encryption: keep it to a network you \
                 trust, or to this machine with --listen 127.0.0.1:{port}"
            );
        }
        let ended = tokio::select! {
            () = asked_to_stop() => Ok(Exit::Ok),
            failed = coordinator.failed() => Err(Failed::new(Exit::SomeFailed, failed)),
        };
        coordinator.stop().await;
        ended
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_kept_for_days_hours_or_ever() {
        let hours = |hours: u64| Ok(Retention(Some(Duration::from_secs(hours * 3600))));
        assert_eq!("30d".parse(), hours(30 * 24));
        assert_eq!("1d 12h".parse(), hours(36));
        assert_eq!("forever".parse(), Ok(Retention(None)));
        for bad in ["", "0s", "30", "d", "-1d", "ever", "99999999999999999999y"] {
            assert!(bad.parse::<Retention>().is_err(), "{bad}");
        }
    }
}
