//! Notes what is forecast of each job when that can first be told, so that its report can hold it against what came.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::sleep;
use tonic::Code;
use wanfarm_types::{JobId, JobState};

use super::FarmService;
use super::asking::Answer;
use crate::requests::Request;

/// Between two looks, while there is something new.
const SOON: Duration = Duration::from_secs(1);
/// Between two looks at jobs of which nothing can be told for long.
const SELDOM: Duration = Duration::from_secs(30);

/// Looks whenever something has changed; ends when the coordinator does.
pub(crate) async fn note(farm: FarmService) {
    let (mut changes, mut told, mut pause) = (farm.changes(), BTreeSet::new(), SOON);
    while changes.wait().await.is_ok() {
        match farm.note_forecasts(&mut told).await {
            Ok(true) => pause = SOON,
            Ok(false) => pause = SELDOM.min(pause * 2),
            Err(_) => return,
        }
        sleep(pause).await;
    }
}

impl FarmService {
    /// Whether anything of a job was told for the first time, or there is no job left of which something could be.
    async fn note_forecasts(&self, told: &mut BTreeSet<JobId>) -> Answer<bool> {
        let jobs = self.jobs().await?;
        told.retain(|job| jobs.iter().any(|line| line.job == *job));
        let open: Vec<JobId> = jobs.iter().filter(|job| job.state == JobState::Active).map(|job| job.job).collect();
        let untold: Vec<JobId> = open.into_iter().filter(|job| !told.contains(job)).collect();
        let mut news = untold.is_empty();
        for job in untold {
            match self.seconds_left(job).await {
                Ok(Some(seconds)) => {
                    self.ask(|reply| Request::Forecast { job, seconds, reply }).await?;
                    told.insert(job);
                    news = true;
                }
                Ok(None) => {}
                // It has been forgotten meanwhile.
                Err(gone) if gone.code() == Code::NotFound => {}
                Err(stops) => return Err(stops),
            }
        }
        Ok(news)
    }
}
