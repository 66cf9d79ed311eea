//! `coordinator serve`.

use std::time::Duration;

use wanfarm_scheduler::Config;

use super::say::outln;
use super::{Failed, ServeArgs, asked_to_stop, block_on, data_directory};
use crate::driver::Keep;
use crate::exit::Exit;
use crate::logging;
use crate::server::{self, ServerConfig};

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

pub(super) fn serve(args: ServeArgs) -> Result<Exit, Failed> {
    logging::of_service();
    let scheduler = policy(&args);
    let data = data_directory(args.data, "coordinator")?;
    let config = ServerConfig { listen: args.listen, data, output: args.output, keep: Keep::All, scheduler };
    block_on(async {
        let mut coordinator = server::start(config).await.map_err(super::not_started)?;
        // Scripts that chose port 0 read the address from here.
        outln!("listening on http://{}", coordinator.address);
        if !coordinator.address.ip().is_loopback() {
            let host = gethostname::gethostname();
            let at = format!("{}:{}", host.display(), coordinator.address.port());
            tracing::info!("workers and clients on this network reach it with --coordinator {at}");
            tracing::warn!(
                "whoever reaches this port can use the farm, without a password or encryption: keep it to a network you \
                 trust, or to this machine with --listen 127.0.0.1:{}",
                coordinator.address.port()
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
