//! `coordinator serve`.

use super::{Failed, ServeArgs, asked_to_stop, block_on, data_directory};
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
        scheduler: wanfarm_scheduler::Config::default(),
    };
    block_on(async {
        let coordinator = server::start(config).await.map_err(|error| Failed::new(Exit::SomeFailed, error))?;
        // Scripts that chose port 0 read the address from here.
        println!("listening on http://{}", coordinator.address);
        asked_to_stop().await;
        coordinator.stop().await;
        Ok(Exit::Ok)
    })
}
