//! Asks the coordinator once a second, and says what it heard, or that nobody answers. The prompts and speeds of what is
//! being rendered come by themselves, from a watch of each job that renders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wanfarm_client::{Client, ClientError, JobVerb, span};
use wanfarm_types::{JobId, JobState, JobSummary, Stage, VideoId, VideoStatus};

use super::night::{Left, Night};
use super::screen::News;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer is waited for.
const DEADLINE: Duration = Duration::from_secs(5);
/// What is left is estimated anew with every so manieth question.
const ESTIMATE_EVERY: u32 = 5;
/// Updates of watched jobs that may wait for the next question.
const UPDATES: usize = 64;

/// The lines of some videos of a job.
type Lines = (JobId, Vec<Arc<VideoStatus>>);

/// A coordinator that is asked.
pub(crate) struct Source {
    client: Client,
    asked: u32,
    left: Option<Left>,
    watches: BTreeMap<JobId, JoinHandle<()>>,
    videos: BTreeMap<VideoId, Arc<VideoStatus>>,
    lines: (mpsc::Sender<Lines>, mpsc::Receiver<Lines>),
}

impl Source {
    pub(crate) fn new(client: Client) -> Self {
        let lines = mpsc::channel(UPDATES);
        Self { client, asked: 0, left: None, watches: BTreeMap::new(), videos: BTreeMap::new(), lines }
    }

    /// Steers a job, and says what came of it.
    pub(crate) async fn control(mut client: Client, job: JobId, verb: JobVerb) -> News {
        let done = match verb {
            JobVerb::Pause => "paused; what runs stops after its step".to_owned(),
            JobVerb::Resume => "resumed".to_owned(),
            JobVerb::SetPriority(priority) => format!("has priority {priority}"),
            JobVerb::Cancel => "cancelled; what is finished stays".to_owned(),
            JobVerb::Retry | JobVerb::Forget { .. } => "done".to_owned(),
        };
        News::Came(match tokio::time::timeout(DEADLINE, client.control_job(job, None, verb)).await {
            Ok(Ok(())) => Ok(format!("{job}: {done}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("{job}: {}, so it may be done or not", silence())),
        })
    }

    /// Asks until nobody listens any more.
    pub(crate) async fn run(mut self, news: mpsc::Sender<News>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = news.closed() => return,
            }
            let heard = match tokio::time::timeout(DEADLINE, self.ask()).await {
                Ok(Ok(night)) => News::Night(Box::new(night)),
                Ok(Err(ClientError::Broken(why))) => News::Lost(why),
                Ok(Err(error)) => News::Lost(error.to_string()),
                Err(_) => News::Lost(silence()),
            };
            if news.send(heard).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&mut self) -> Result<Night, ClientError> {
        let (jobs, workers) = (self.client.jobs().await?, self.client.workers().await?);
        if self.asked.is_multiple_of(ESTIMATE_EVERY) {
            self.left = self.estimate(&jobs).await?;
        }
        self.asked = self.asked.wrapping_add(1);
        let rendering: BTreeSet<JobId> =
            workers.iter().filter_map(|worker| Some(worker.running.as_ref()?.video.job)).collect();
        self.watch(&jobs, &rendering);
        Ok(Night { jobs, workers, left: self.left, videos: self.videos.clone() })
    }

    /// How long all that is active takes, as far as that can be told. What is left of a job counts what goes before it or
    /// beside it, so the last job of each model tells of all.
    async fn estimate(&mut self, jobs: &[JobSummary]) -> Result<Option<Left>, ClientError> {
        let mut last: BTreeMap<&str, &JobSummary> = BTreeMap::new();
        for job in jobs.iter().filter(|job| job.state == JobState::Active) {
            let known = last.entry(&job.model).or_insert(job);
            if job.priority < known.priority {
                *known = job;
            }
        }
        let mut most: Option<Left> = None;
        for job in last.into_values() {
            let forecast = match self.client.remaining(job.job).await {
                Ok(forecast) => forecast,
                // It has been forgotten meanwhile.
                Err(ClientError::Refused(_)) => continue,
                Err(error) => return Err(error),
            };
            let time = forecast.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let Some(time) = time else { return Ok(None) };
            let bottleneck = Stage::ALL.into_iter().find(|stage| Some(stage.name()) == forecast.bottleneck);
            if most.is_none_or(|most| time > most.time) {
                most = Some(Left { at: Utc::now(), time, bottleneck });
            }
        }
        Ok(most)
    }

    /// Takes in what watches have told, and watches the jobs that render.
    fn watch(&mut self, jobs: &[JobSummary], rendering: &BTreeSet<JobId>) {
        while let Ok((job, lines)) = self.lines.1.try_recv() {
            for line in lines {
                let id = VideoId { job, index: line.index };
                if line.state.is_end() {
                    self.videos.remove(&id);
                } else {
                    self.videos.insert(id, line);
                }
            }
        }
        let open = |job: JobId| jobs.iter().any(|line| line.job == job && !line.state.is_end());
        self.watches.retain(|&job, watch| {
            let stays = open(job) && !watch.is_finished();
            if !stays {
                watch.abort();
            }
            stays
        });
        self.videos.retain(|id, _| open(id.job));
        for &job in rendering.iter().filter(|&&job| open(job)) {
            let (client, lines) = (self.client.clone(), self.lines.0.clone());
            self.watches.entry(job).or_insert_with(|| tokio::spawn(told(client, job, lines)));
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.watches.values().for_each(JoinHandle::abort);
    }
}

/// Hands on what a job's watch tells, until it ends or breaks; then it is begun anew.
async fn told(mut client: Client, job: JobId, lines: mpsc::Sender<Lines>) {
    let Ok(mut updates) = client.watch(job).await else { return };
    while let Ok(Some(update)) = updates.next().await {
        if lines.send((job, update.videos)).await.is_err() {
            return;
        }
    }
}

fn silence() -> String {
    format!("nothing heard for {}", span(DEADLINE))
}
