//! Tries whether anybody answers at the addresses of workers. Not what follows from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use wanfarm_proto::Location;
use wanfarm_proto::tensors::{Puller, mark};
use wanfarm_types::{Incarnation, WorkerId};

use crate::address::Reach;
use crate::event::Event;
use crate::outbox::WeakOutbox;

/// How often a worker's address is tried, besides when a read from it has failed.
const DIAL_INTERVAL: Duration = Duration::from_secs(60);

/// A worker to be dialled back.
#[derive(Debug)]
pub struct Suspect {
    pub connection: u64,
    pub worker: WorkerId,
    pub incarnation: Incarnation,
    pub location: Option<Location>,
    /// Its connection stands as long as this does.
    pub outbox: WeakOutbox,
    /// Notified when a read from it failed: dial at once.
    pub doubt: Arc<Notify>,
}

/// Dials workers back.
#[derive(Debug, Clone)]
pub struct Dialler {
    puller: Puller,
    events: mpsc::Sender<Event>,
}

impl Dialler {
    /// A dialler that reports to the driver.
    pub fn new(puller: Puller, events: mpsc::Sender<Event>) -> Self {
        Self { puller, events }
    }

    /// Dials a worker back, now and again for as long as its connection stands.
    pub fn watch(&self, suspect: Suspect) {
        tokio::spawn(watch(suspect, self.clone()));
    }
}

async fn watch(suspect: Suspect, Dialler { puller, events }: Dialler) {
    let Suspect { connection, worker, incarnation, location, outbox, doubt } = suspect;
    let (mark, _) = mark(incarnation);
    while outbox.upgrade().is_some() {
        let reach = match &location {
            None => Reach::Unreached("it listens for its own machine only".to_owned()),
            Some(location) => match puller.pull(&mark, &[location.to_string()]).await {
                Ok(_) => Reach::Reached,
                Err(error) => Reach::Unreached(error.reasons()),
            },
        };
        if events.send(Event::DialledBack { connection, worker, reach }).await.is_err() {
            return;
        }
        let _ = tokio::time::timeout(DIAL_INTERVAL, doubt.notified()).await;
    }
}
