//! What clients ask, in domain types: the same for gRPC and for HTTP. Answers come from the driver; what stands on the
//! disk is looked at here. An error carries gRPC's code, which says whether asking again can help.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Code, Status};
use wanfarm_client::{DiskShortage, JobVerb, Submitted, WorkerVerb};
use wanfarm_manifest::Submission;
use wanfarm_types::{
    About, Digest, JobId, JobState, JobStatus, JobSummary, ModelInfo, VideoRequest, VideoStatus, WorkerId, WorkerStatus,
};

use super::files::{self, OutputLine};
use super::judging::Judged;
use super::wire::refusal;
use super::{FarmService, on_a_thread, stopping};
use crate::disk_space;
use crate::estimate::{Estimate, Space};
use crate::meters::Counts;
use crate::outputs::Look;
use crate::preview::Preview;
use crate::requests::{AboutChange, Figures, News, Remaining, Request};
use crate::times::rfc3339_in;

pub(super) type Answer<T> = Result<T, Status>;

/// A finished file, as it was written.
#[derive(Debug, Clone)]
pub struct FinishedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Digest of what was written.
    pub blake3: Digest,
}

/// How long the driver may take to answer before the coordinator is called not ready.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// A version that no video has changed after.
const NO_VIDEOS: u64 = u64::MAX - 1;

/// Says when something of the farm has changed.
#[derive(Debug)]
pub struct Changing(watch::Receiver<u64>);

impl Changing {
    /// Waits until something has changed since the last time.
    ///
    /// # Errors
    /// When the coordinator has stopped.
    pub async fn wait(&mut self) -> Answer<()> {
        self.0.changed().await.map_err(|_| stopping())
    }

    /// Waits until the coordinator has stopped.
    pub async fn ended(&mut self) {
        while self.wait().await.is_ok() {}
    }
}

impl FarmService {
    /// Every job's line, oldest first.
    ///
    /// # Errors
    /// When the coordinator stops, as of all that can be asked.
    pub async fn jobs(&self) -> Answer<Vec<JobSummary>> {
        self.ask(|reply| Request::Jobs { reply }).await
    }

    /// A job with all its videos.
    ///
    /// # Errors
    /// When there is no such job.
    pub async fn job(&self, job: JobId) -> Answer<JobStatus> {
        let changes = self.ask(|reply| Request::Changes { job, since: 0, reply }).await?.map_err(refusal)?;
        let seconds_left = if changes.news.job.state.is_end() { None } else { self.seconds_left(job).await? };
        Ok(JobStatus { seconds_left, eta: seconds_left.and_then(rfc3339_in), ..changes.news })
    }

    /// A job's line.
    ///
    /// # Errors
    /// When there is no such job.
    pub async fn line(&self, job: JobId) -> Answer<JobSummary> {
        let changes = self.ask(|reply| Request::Changes { job, since: NO_VIDEOS, reply }).await?;
        Ok(changes.map_err(refusal)?.news.job)
    }

    /// The lines of a job's videos.
    ///
    /// # Errors
    /// When there is no such job.
    pub async fn videos(&self, job: JobId) -> Answer<Vec<Arc<VideoStatus>>> {
        let changes = self.ask(|reply| Request::Changes { job, since: 0, reply }).await?;
        Ok(changes.map_err(refusal)?.news.videos)
    }

    /// What has changed of anything since a version of the jobs.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn news(&self, since: Option<u64>) -> Answer<News> {
        self.ask(|reply| Request::News { since, reply }).await
    }

    /// Waits for changes.
    pub fn changes(&self) -> Changing {
        Changing(self.news.clone())
    }

    /// Why the coordinator can record nothing at present, and so does nothing.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn store_obstacle(&self) -> Answer<Option<String>> {
        self.ask(|reply| Request::StoreObstacle { reply }).await
    }

    /// Figures of the moment.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn figures(&self) -> Answer<Figures> {
        self.ask(|reply| Request::Figures { reply }).await
    }

    /// Why nothing can be done at present, if so: the driver does not answer, or nothing can be recorded.
    pub async fn unready(&self) -> Option<String> {
        match timeout(READY_TIMEOUT, self.store_obstacle()).await {
            Err(_) => Some("the coordinator does not answer: it waits for its disk".to_owned()),
            Ok(Ok(obstacle)) => obstacle,
            Ok(Err(stops)) => Some(stops.message().to_owned()),
        }
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.aside.meters.read()
    }

    /// Bytes that are free for finished files, and for the coordinator's own data.
    ///
    /// # Errors
    /// When the output folder does not answer.
    pub async fn free_bytes(&self) -> Answer<[Option<u64>; 2]> {
        let (output, data) = (self.output.clone(), self.artifacts.root().to_owned());
        let look = move |_: &_| [output.as_path(), data.as_path()].map(disk_space::available);
        self.looking.at(&self.output, look).await
    }

    /// Seconds until the last file of what is active among these jobs, as far as that can be told.
    ///
    /// # Errors
    /// When the coordinator stops.
    pub async fn farm_seconds_left(&self, jobs: &[JobSummary]) -> Answer<Option<f64>> {
        // What is left of a job counts what goes before it or beside it, so one job of each model tells of all.
        let mut last: BTreeMap<&str, &JobSummary> = BTreeMap::new();
        for job in jobs.iter().filter(|job| job.state == JobState::Active) {
            let known = last.entry(&job.model).or_insert(job);
            if job.priority < known.priority {
                *known = job;
            }
        }
        let mut most: Option<f64> = None;
        for job in last.into_values() {
            match self.seconds_left(job.job).await {
                Ok(Some(seconds)) => most = Some(most.map_or(seconds, |most| most.max(seconds))),
                Ok(None) => return Ok(None),
                // It has been forgotten meanwhile.
                Err(gone) if gone.code() == Code::NotFound => {}
                Err(stops) => return Err(stops),
            }
        }
        Ok(most)
    }

    /// Seconds until a job's last file, as far as that can be told.
    pub(super) async fn seconds_left(&self, job: JobId) -> Answer<Option<f64>> {
        let rest = self.remaining(job).await?;
        // Of a job that has no plan yet, nothing is known; not even that nothing is left.
        Ok(rest.farm.info.as_ref().and_then(|_| Estimate::new(&rest.work, &rest.farm.force).seconds))
    }

    pub(super) async fn remaining(&self, job: JobId) -> Answer<Remaining> {
        self.ask(|reply| Request::Remaining { job, reply }).await?.map_err(refusal)
    }

    /// The files of a video as they were written, and what became of them as far as their lengths tell; none before it is
    /// done.
    ///
    /// # Errors
    /// When there is no such video, or its folder does not answer.
    pub async fn files(&self, job: JobId, video: u32) -> Answer<Vec<OutputLine>> {
        let video = Some(video);
        let outputs = self.ask(|reply| Request::Files { job, video, reply }).await?.map_err(refusal)?;
        let root = outputs.root.clone();
        self.looking.at(&root, move |seen| files::told(&outputs, seen)).await
    }

    /// The first finished file of a video whose path below the job's output directory `is_meant`, if the video's row tells
    /// of one and it still is a file.
    ///
    /// # Errors
    /// When there is no such video, or its folder does not answer.
    pub async fn file(
        &self,
        job: JobId,
        video: u32,
        is_meant: impl Fn(&str) -> bool + Send + 'static,
    ) -> Answer<Option<FinishedFile>> {
        let video = Some(video);
        let outputs = self.ask(|reply| Request::Files { job, video, reply }).await?.map_err(refusal)?;
        let root = outputs.root.clone();
        let found = self.looking.at(&root, move |_| files::find(&outputs, is_meant)).await?;
        Ok(found.map(|(path, print)| FinishedFile { path, bytes: print.bytes, blake3: print.blake3 }))
    }

    /// What a video looks like by now; `None` while nothing of it can be shown, and when it has ended.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn preview(&self, job: JobId, video: u32) -> Answer<Option<Preview>> {
        let shown = self.ask(|reply| Request::Shown { job, video, reply }).await?.map_err(refusal)?;
        let Some(shown) = shown else { return Ok(None) };
        match self.shows.recent((job, video)) {
            Some(recent) => Ok(Some(recent)),
            None => Ok(self.shows.make((job, video), shown).await),
        }
    }

    /// Every model that workers have announced and that is not forgotten.
    ///
    /// # Errors
    /// As of [`Self::jobs`].
    pub async fn models(&self) -> Answer<Vec<ModelInfo>> {
        self.ask(|reply| Request::Models { reply }).await
    }

    /// What was asked for with a video, by its place in the manifest.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn asked_for(&self, job: JobId, video: u32) -> Answer<VideoRequest> {
        let videos = vec![video];
        let (submission, _) = self.ask(|reply| Request::Again { job, videos, reply }).await?.map_err(refusal)?;
        let asked = submission.videos.into_iter().next();
        asked.ok_or_else(|| Status::not_found(format!("job {job} has no video {video}")))
    }

    /// Every worker's line.
    ///
    /// # Errors
    /// As of [`Self::jobs`].
    pub async fn workers(&self) -> Answer<Vec<WorkerStatus>> {
        self.ask(|reply| Request::Workers { reply }).await
    }

    /// Steers a job, or one video of it by its place in the manifest. `by`: who asks, for the log.
    ///
    /// # Errors
    /// When it is not there, or not as it would have to be.
    pub async fn steer_job(&self, job: JobId, video: Option<u32>, verb: JobVerb, by: &str) -> Answer<()> {
        self.ask(|reply| Request::ControlJob { job, video, verb, by: by.to_owned(), reply }).await?.map_err(refusal)?;
        tracing::info!(%job, video, ?verb, by, "job steered");
        Ok(())
    }

    /// Says something else of a job. `by`: who asks.
    ///
    /// # Errors
    /// When it is not there, or that cannot be said.
    pub async fn describe_job(&self, job: JobId, change: AboutChange, by: &str) -> Answer<()> {
        let by = by.to_owned();
        self.ask(|reply| Request::DescribeJob { job, change, by, reply }).await?.map_err(refusal)
    }

    /// Steers a worker. `by`: who asks, for the log.
    ///
    /// # Errors
    /// When it is not there, or not as it would have to be.
    pub async fn steer_worker(&self, worker: WorkerId, verb: WorkerVerb, by: &str) -> Answer<()> {
        let said = format!("{verb:?}");
        self.ask(|reply| Request::ControlWorker { worker, verb, by: by.to_owned(), reply }).await?.map_err(refusal)?;
        tracing::info!(%worker, verb = %said, by, "worker steered");
        Ok(())
    }

    /// Queues a job whole or not at all, and tells which disks are probably too small for it. The submission, and what is
    /// said of it, were checked. `by`: who asks, for the log.
    ///
    /// # Errors
    /// When its names are taken, files that it names are not there, or its model cannot render it.
    pub async fn submit_job(
        &self,
        submission: Submission,
        about: About,
        by: &str,
    ) -> Answer<(Submitted, Vec<DiskShortage>)> {
        let (name, videos) = (submission.name.clone(), submission.videos.len());
        let (asked, submission) = on_a_thread(move || (submission.digest(), submission)).await?;
        let Judged { submission, unfit, footprints, under_way } = self.judge(submission).await?;
        let ask = |submission, places, reply| {
            let (about, unfit, by) = (about.clone(), unfit.clone(), by.to_owned());
            Request::Submit { submission, about, asked, unfit, places, by, reply }
        };
        let (submitted, places) = self.with_places(submission, ask).await?;
        let submitted = submitted.map_err(refusal)?;
        let Submitted { job, already, renamed, left_out } = submitted;
        if let Some(job) = job {
            tracing::info!(%job, name, videos, already, renamed, left_out, by, "job submitted");
        }
        let rendered = footprints.into_iter().zip(&places.looks).filter(|(_, look)| **look != Look::Complete);
        let space = Space::of(rendered.map(|(footprint, _)| footprint), under_way);
        // It is queued: a disk that cannot be looked at any more is no reason to say otherwise.
        let shortages = if submitted.already { Vec::new() } else { self.shortages(space).await.unwrap_or_default() };
        Ok((submitted, shortages))
    }
}
