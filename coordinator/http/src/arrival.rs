//! Large bodies: so few are read at the same time that memory suffices, and none may take for ever.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::problem::{Answer, Problem};

/// How long a body may take to arrive, and before that to have its turn.
const ARRIVAL: Duration = Duration::from_secs(60);

/// Bodies of one kind.
pub(crate) struct Arrivals {
    turns: Semaphore,
    /// What is said to those who are late.
    late: &'static str,
}

impl Arrivals {
    /// At most so many at the same time.
    pub(crate) const fn new(most: usize, late: &'static str) -> Self {
        Self { turns: Semaphore::const_new(most), late }
    }

    /// A turn, to be taken before the first byte of a body, and kept while anything of it is in memory.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(crate) async fn turn(&self) -> Answer<SemaphorePermit<'_>> {
        timeout(ARRIVAL, self.turns.acquire()).await.ok().and_then(Result::ok).ok_or_else(|| self.late())
    }

    /// What `read` makes of a body.
    ///
    /// # Errors
    /// When it does not arrive in time.
    pub(crate) async fn receive<T>(&self, read: impl Future<Output = T>) -> Answer<T> {
        timeout(ARRIVAL, read).await.map_err(|_| self.late())
    }

    fn late(&self) -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, self.late)
    }
}
