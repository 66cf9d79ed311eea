//! Waiting at the start for a database that another program has locked. A coordinator that runs waits as for a full
//! disk: see the driver's `obstacles`.

#![expect(clippy::disallowed_methods, reason = "runs before the loop starts")]

use std::time::{Duration, Instant};

use super::StoreError;

/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How often it is said that there is something to wait for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Tries again for as long as another program has the database locked, and says so. Blocks until it lets go.
///
/// # Errors
/// Any other of the attempt's.
pub fn when_unlocked<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut said: Option<Instant> = None;
    loop {
        let error = match attempt() {
            Err(error @ StoreError::Locked { .. }) => error,
            done => return done,
        };
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            tracing::warn!(%error, "waiting");
            said = Some(Instant::now());
        }
        std::thread::sleep(RETRY_DELAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_is_waited_for() {
        let path = || std::path::PathBuf::from("rows");
        let mut tries = 0;
        let done = when_unlocked(|| {
            tries += 1;
            if tries < 3 { Err(StoreError::Locked { path: path() }) } else { Ok(tries) }
        });
        assert_eq!(done.unwrap(), 3);
        let error = when_unlocked::<()>(|| Err(StoreError::Full { path: path() })).unwrap_err();
        assert!(error.is_full(), "{error}");
    }
}
