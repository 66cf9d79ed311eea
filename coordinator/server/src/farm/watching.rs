//! The farm as it changes, for callers by gRPC.

use std::time::Duration;

use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::{sleep, timeout};
use tonic::Status;
use wanfarm_proto::v1;

use super::known::{Fresh, Known};
use super::{FarmService, stopping};

use crate::limits::WATCHERS;

/// Shortest time between two updates.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Longest time without looking: not everything about a worker makes a new version.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl FarmService {
    /// Everything but videos, then what changes, until the coordinator stops.
    pub(super) fn watch_all(
        &self,
    ) -> Result<impl Stream<Item = Result<v1::FarmUpdate, Status>> + Send + use<>, Status> {
        let turn = self.watching.clone().try_acquire_owned().map_err(|why| match why {
            TryAcquireError::Closed => stopping(),
            TryAcquireError::NoPermits => {
                Status::resource_exhausted(format!("{WATCHERS} callers watch the farm already; try again later"))
            }
        })?;
        let start = (self.clone(), Known::default(), turn);
        Ok(futures::stream::try_unfold(
            start,
            |(farm, mut known, turn): (Self, Known, OwnedSemaphorePermit)| async move {
                // What changes while it is asked is found the next time.
                let mut changes = farm.changes();
                loop {
                    let is_first = known.version().is_none();
                    let fresh = known.take(farm.news(known.version()).await?);
                    if is_first || !fresh.is_empty() {
                        return Ok(Some((fresh.into(), (farm, known, turn))));
                    }
                    sleep(TELL_EVERY).await;
                    if let Ok(stops) = timeout(LOOK_EVERY, changes.wait()).await {
                        stops?;
                    }
                }
            },
        ))
    }
}

impl From<Fresh> for v1::FarmUpdate {
    fn from(fresh: Fresh) -> Self {
        let Fresh { jobs, videos, workers, forgotten_jobs, forgotten_workers } = fresh;
        let videos = videos.into_iter().map(|(job, videos)| v1::JobVideos {
            job: job.0,
            videos: videos.into_iter().map(|video| (*video).clone().into()).collect(),
        });
        Self {
            jobs: jobs.into_iter().map(Into::into).collect(),
            videos: videos.collect(),
            workers: workers.into_iter().map(Into::into).collect(),
            forgotten_jobs: forgotten_jobs.into_iter().map(|job| job.0).collect(),
            forgotten_workers: forgotten_workers.into_iter().map(|worker| worker.to_string()).collect(),
        }
    }
}
