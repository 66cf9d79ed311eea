//! `coordinator serve`.

use std::time::Duration;

use super::{Failed, ServeArgs, asked_to_stop, block_on, data_directory};
use crate::driver::Keep;
use crate::exit::Exit;
use crate::logging;
use crate::server::{self, ServerConfig};

pub(super) fn serve(args: ServeArgs) -> Result<Exit, Failed> {
    logging::to_stderr();
    let data = data_directory(args.data, "coordinator")?;
    let config = ServerConfig {
        listen: args.listen,
        data,
        output: args.output,
        keep: Keep::All,
        scheduler: wanfarm_scheduler::Config { lease: Duration::from_secs(args.lease), ..Default::default() },
    };
    block_on(async {
        let mut coordinator = server::start(config).await.map_err(|error| Failed::new(Exit::SomeFailed, error))?;
        // Scripts that chose port 0 read the address from here.
        println!("listening on http://{}", coordinator.address);
        let ended = tokio::select! {
            () = asked_to_stop() => Ok(Exit::Ok),
            failed = coordinator.failed() => Err(Failed::new(Exit::SomeFailed, failed)),
        };
        coordinator.stop().await;
        ended
    })
}
