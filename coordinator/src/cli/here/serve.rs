//! `coordinator serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use wanfarm_discovery::Announcement;
use wanfarm_http::{Collector, Outside, Target};
use wanfarm_scheduler::Config;
use wanfarm_server::access::Security;
use wanfarm_server::server::{self, ServerConfig};
use wanfarm_types::Size;

use super::{data_directory, founding, listen, not_started};
use crate::cli::args::MembershipArg;
use crate::cli::error::CliError;
use crate::cli::path;
use crate::cli::runtime::{asked_to_stop, block_on};
use crate::cli::say::outln;
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServeArgs {
    /// Address to listen on; clients, workers and tensors all use it. [::] is every interface, by IPv4 and IPv6;
    /// 127.0.0.1:7700 is for this machine alone.
    #[arg(long, value_name = "HOST:PORT", default_value = "[::]:7700", value_parser = listen::address)]
    listen: SocketAddr,
    /// Encrypt nothing and ask nobody who they are, though others reach it: whoever does can use the farm. On a loopback address that
    /// is always so.
    #[arg(long)]
    insecure: bool,
    /// Make a new authority, when the one that members know is lost or in other hands: each has to join again, with a line that
    /// needs no token.
    #[arg(long, conflicts_with = "insecure")]
    new_authority: bool,
    #[command(flatten)]
    membership: MembershipArg,
    /// A name of this machine that browsers and programs may ask for, farm.studio.example; may be repeated. Its name without
    /// a domain, its addresses, and names that end in .local, .lan, .internal or .home.arpa are answered in any case.
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    hosts: Vec<String>,
    /// A host that webhooks may lead to, hooks.studio.example or 10.0.0.7:9000; may be repeated. Nothing is sent to others,
    /// whoever asks for it.
    #[arg(long = "webhook-host", value_name = "HOST[:PORT]")]
    targets: Vec<Target>,
    /// Send traces to this collector by OTLP over HTTP: one for each video that has ended, with a span for each try of a piece
    /// of it.
    #[arg(long = "otlp", value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    collector: Option<Collector>,
    /// Working data of this coordinator: the database, artifacts. What it needs to go on after a restart [default: the platform's data directory].
    #[arg(long, value_name = "DIR", value_parser = path::new())]
    data: Option<PathBuf>,
    /// Where the files of jobs go that are submitted from now on; older jobs keep their folder.
    #[arg(long, value_name = "DIR", env = "WANFARM_OUTPUT", default_value = "output", value_parser = path::new())]
    output: PathBuf,
    /// How long a job is kept after it has ended, as 30d or 12h; then all but its finished files is forgotten: its line and
    /// report, and what `retry` would go on from. forever: until `coordinator forget`.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    keep: Retention,
    /// Keep so many bytes of encoded texts when no open video reads them, so that none is encoded twice; those read longest ago
    /// go first. 0 keeps none.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = kept_texts)]
    keep_texts: u64,
    /// After how long without a sign of life a worker's work goes elsewhere.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lease: u64,
    /// Take a worker to hang when it is connected but finishes no step for this long, and for ten times as long as its
    /// steps take; its work goes elsewhere.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    stall: u64,
    /// Keep the state of a video durably after this many steps: what may be lost with a worker [default: every step, or
    /// none but the last of a stage with --checkpoint-seconds].
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    checkpoint_steps: Option<u32>,
    /// The same by time: after as many seconds of computing, at the end of a step. With both, whichever comes first.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_seconds: Option<u64>,
}

impl ServeArgs {
    /// The folder that it writes to.
    #[cfg(unix)]
    pub(super) fn output(&self) -> PathBuf {
        self.output.clone()
    }
}

/// The scheduler's constants as asked for. One interval alone leaves the other open.
fn policy(args: &ServeArgs) -> Config {
    let usual = Config::default();
    let steps = if args.checkpoint_seconds.is_some() { u32::MAX } else { usual.checkpoint_steps };
    Config {
        lease: Duration::from_secs(args.lease),
        stall: Duration::from_secs(args.stall),
        kept_text_bytes: args.keep_texts,
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

/// A size, or none.
fn kept_texts(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { text.parse().map(|Size(bytes)| bytes).map_err(|error| format!("{error}, or 0")) }
}

/// A name as a request's `Host` has it: a port or a scheme would never be found there.
fn host(text: &str) -> Result<String, String> {
    let is_name =
        !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    if is_name { Ok(text.to_owned()) } else { Err("write a name alone, farm.studio.example".to_owned()) }
}

pub(super) fn serve(args: ServeArgs) -> Result<Exit, CliError> {
    logging::of_service(None);
    let scheduler = policy(&args);
    let data = data_directory(args.data, "coordinator")?;
    let secure = !args.insecure && !args.listen.ip().is_loopback();
    if args.new_authority && !secure {
        let why = "--new-authority is of a coordinator that others reach; one for this machine alone has none";
        return Err(CliError::new(Exit::Usage, why));
    }
    let security = secure.then(|| {
        let names = listen::names(args.listen).into_iter().chain(args.hosts.iter().cloned()).collect();
        Security { names, new_authority: args.new_authority }
    });
    let (named, membership) = (args.hosts.first().cloned(), args.membership.folder()?);
    let (hosts, targets) = (args.hosts.into_iter().collect(), args.targets.into_iter().collect());
    let outside = Outside { hosts, targets, collector: args.collector };
    let (listen, output, retention) = (args.listen, args.output, args.keep.0);
    let config = ServerConfig { listen, data, output, wanted: None, security, retention, scheduler };
    block_on(async {
        let mut coordinator =
            server::start(config, |farm| wanfarm_http::router(farm, outside).into()).await.map_err(not_started)?;
        let mut announced = None;
        let (reached, port) = (listen::reached(coordinator.address), coordinator.address.port());
        // Scripts that chose port 0 read the address from here.
        outln!("listening on {}://{reached}", if secure { "https" } else { "http" });
        if let Some((authority, pem)) = &coordinator.authority {
            let at = named.map_or_else(|| reached.to_string(), |name| format!("{name}:{port}"));
            founding::found(&coordinator.farm, &membership, &at, *authority, pem).await?;
            announced = Announcement::new(&gethostname::gethostname().to_string_lossy(), port, *authority)
                .inspect_err(
                    |error| tracing::warn!(%error, "members do not find this coordinator by themselves when it moves"),
                )
                .ok();
        } else if !coordinator.address.ip().is_loopback() {
            tracing::warn!(
                "whoever reaches this port can use the farm, and nothing is encrypted: keep it to a network you trust, to this \
                 machine with --listen 127.0.0.1:{port}, or start it without --insecure"
            );
        }
        let ended = tokio::select! {
            () = asked_to_stop() => Ok(Exit::Ok),
            failed = coordinator.failed() => Err(CliError::new(Exit::SomeFailed, failed)),
        };
        drop(announced);
        coordinator.stop().await;
        ended
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_up_to_a_size_or_not_at_all() {
        assert_eq!([kept_texts("0"), kept_texts("1GiB"), kept_texts("500MB")], [Ok(0), Ok(1 << 30), Ok(500_000_000)]);
        assert!(kept_texts("many").unwrap_err().ends_with("or 0"));
    }

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
