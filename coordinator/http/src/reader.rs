//! Reads what happens, one after another: what is kept first, then what is recorded, without end.

use std::time::Duration;

use tokio::time::sleep;
use tonic::Status;
use wanfarm_server::farm::{FarmService, Heard};
use wanfarm_server::store::{Asked, Start};
use wanfarm_types::FarmEvent;

/// Events that are read at a time.
const READ: u32 = 100;
/// How long to wait when they cannot be read.
const PAUSE: Duration = Duration::from_secs(2);

/// Somebody who reads what happens.
pub(crate) struct Reader {
    farm: FarmService,
    heard: Heard,
    /// The last event that was read.
    last: u64,
}

impl Reader {
    /// Reads what follows this event.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub(crate) fn after(farm: FarmService, last: u64) -> Result<Self, Status> {
        // Heard from before anything is read, so that nothing falls between.
        let heard = farm.hear()?;
        Ok(Self { farm, heard, last })
    }

    /// The next events, at least one, once there are some; nothing when the coordinator stops.
    pub(crate) async fn next(&mut self) -> Option<Vec<FarmEvent>> {
        loop {
            let asked = Asked { from: Start::After(self.last), limit: READ, ..Asked::default() };
            match self.farm.events(asked).await {
                Ok(events) => match events.last() {
                    None => drop(self.heard.next().await?),
                    Some(last) => {
                        self.last = last.id;
                        return Some(events);
                    }
                },
                Err(why) => {
                    tracing::warn!(%why, "what happened cannot be read; trying again");
                    sleep(PAUSE).await;
                    // It may be because the coordinator stops.
                    self.farm.hear().ok()?;
                }
            }
        }
    }
}
