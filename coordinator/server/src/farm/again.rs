//! Videos of a job once more, with other seeds, as a job of their own.

use rand::Rng;
use wanfarm_client::{DiskShortage, Submitted};
use wanfarm_manifest::check_submission;
use wanfarm_types::JobId;

use super::asking::Answer;
use super::wire::refusal;
use super::{FarmService, on_a_thread};
use crate::requests::Request;

/// The seeds of videos that are rendered again.
#[derive(Debug, Clone, Copy)]
pub enum Seeds {
    /// One for each, drawn anew.
    Drawn,
    /// This one, for a single video.
    Given(u64),
}

impl FarmService {
    /// Queues videos of a job, by their places in its manifest, again with other seeds. What stands where they were written
    /// stays. `by`: who asks.
    ///
    /// # Errors
    /// When one of them is not there, or the job cannot be queued.
    pub async fn render_again(
        &self,
        job: JobId,
        videos: Vec<u32>,
        seeds: Seeds,
        by: &str,
    ) -> Answer<(Submitted, Vec<DiskShortage>)> {
        let (mut submission, about) =
            self.ask(|reply| Request::Again { job, videos, reply }).await?.map_err(refusal)?;
        for video in &mut submission.videos {
            let seed = match seeds {
                Seeds::Drawn => rand::rng().random_range(0..=u64::from(u32::MAX)),
                Seeds::Given(seed) => seed,
            };
            // A name that ends with the seed, as names do where nothing else is asked for, tells the new one.
            if let Some(stem) = video.output.strip_suffix(&format!("-{}", video.seed)) {
                video.output = format!("{stem}-{seed}");
            }
            video.seed = seed;
            video.swept.replace("seed", &seed.to_string());
        }
        let checked = move || check_submission(&submission).map(|()| submission);
        let submission = on_a_thread(checked).await?.map_err(tonic::Status::invalid_argument)?;
        self.submit_job(submission, about, by).await
    }
}
