//! Runs a command to its end, or until a signal stops it.

use super::error::CliError;
use crate::exit::Exit;

/// Runs a command's async part. When it has ended, nothing still running in the background is waited for.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::SomeFailed, format!("cannot start the async runtime: {error}")))?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// Resolves when a person or the system asks this process to end.
pub(super) async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let told = async |kind| match signal(kind) {
            Ok(mut signals) => _ = signals.recv().await,
            // Nothing listens for it, so it ends the process at once, as the system does by default.
            Err(_) => std::future::pending().await,
        };
        tokio::select! {
            () = told(SignalKind::interrupt()) => {}
            () = told(SignalKind::terminate()) => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}
