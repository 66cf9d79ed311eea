//! What happened on the farm: what is kept of it, and what is being added.

use tokio::sync::broadcast;
use tonic::Status;
use wanfarm_types::{AttemptLine, FarmEvent};

use super::{FarmService, on_a_thread, stopping};
use crate::driver::Told;
use crate::store;

/// Where what happened is read and heard.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Those that are kept.
    pub(crate) kept: store::History,
    /// Those that are recorded from now on. Weak: who listens is told when the coordinator stops.
    pub(crate) told: broadcast::WeakSender<Told>,
}

/// Events as they are recorded.
#[derive(Debug)]
pub struct Heard(broadcast::Receiver<Told>);

impl Heard {
    /// The events of the next transactions, in order; `None` when the coordinator has stopped. An empty list means that
    /// some were missed, because they came faster than they were taken: they are among those that are kept.
    pub async fn next(&mut self) -> Option<Told> {
        match self.0.recv().await {
            Ok(events) => Some(events),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Told::default()),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl FarmService {
    /// The events that are kept and asked for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events(&self, asked: store::Asked) -> Result<Vec<FarmEvent>, Status> {
        let kept = self.aside.history.kept.clone();
        on_a_thread(move || kept.read(&asked)).await?.map_err(|error| Status::internal(error.to_string()))
    }

    /// What was tried, as far as it is asked for, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn attempts(&self, asked: store::AskedAttempts) -> Result<Vec<AttemptLine>, Status> {
        let kept = self.aside.history.kept.clone();
        on_a_thread(move || kept.attempts(&asked)).await?.map_err(|error| Status::internal(error.to_string()))
    }

    /// The ids of the oldest and of the newest event that is kept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events_kept(&self) -> Result<Option<(u64, u64)>, Status> {
        let kept = self.aside.history.kept.clone();
        on_a_thread(move || kept.span()).await?.map_err(|error| Status::internal(error.to_string()))
    }

    /// What is recorded from now on.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub fn hear(&self) -> Result<Heard, Status> {
        Ok(Heard(self.aside.history.told.upgrade().ok_or_else(stopping)?.subscribe()))
    }
}
