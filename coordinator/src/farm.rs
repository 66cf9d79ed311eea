//! The farm API's service edge: wire requests in, the driver's answers out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::{Response, Status};
use wanfarm_proto::convert::{digest_field, parse_uuid};
use wanfarm_proto::v1::{self, farm_server::Farm};
use wanfarm_types::{JobId, WorkerId};

use crate::artifacts::Artifacts;
use crate::driver::Event;
use crate::images::Image;
use crate::jobs::{JobPhase, JobSummary, Submission, VideoPhase, VideoStatus};
use crate::requests::{Changes, JobVerb, Request, RequestError};
use crate::sessions::WorkerStatus;

/// How often a watcher looks for news: often enough for a progress bar, rarely enough for ten thousand of them.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// More videos in one job than any manifest may have.
const MOST_VIDEOS: usize = 100_000;

/// The service.
#[derive(Debug, Clone)]
pub struct FarmService {
    events: mpsc::Sender<Event>,
    artifacts: Arc<Artifacts>,
    /// Who decodes an image: one at a time, because a picture is far larger than its file.
    decoding: Arc<Semaphore>,
}

impl FarmService {
    /// A service that asks the driver, and puts images into `artifacts`.
    pub fn new(events: mpsc::Sender<Event>, artifacts: Arc<Artifacts>) -> Self {
        Self { events, artifacts, decoding: Arc::new(Semaphore::new(1)) }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Status> {
        let stopping = || Status::unavailable("the coordinator is shutting down");
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Request(request(reply))).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

#[tonic::async_trait]
impl Farm for FarmService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::JobUpdate, Status>> + Send>>;

    async fn missing_images(
        &self,
        request: tonic::Request<v1::MissingImagesRequest>,
    ) -> Result<Response<v1::MissingImagesReply>, Status> {
        let wire = request.into_inner();
        if wire.digests.len() > MOST_VIDEOS {
            return Err(Status::invalid_argument(format!("a job has at most {MOST_VIDEOS} images")));
        }
        let images = wire.digests.iter().map(|digest| digest_field(digest)).collect::<Result<_, _>>()?;
        let missing = self.ask(|reply| Request::MissingImages { images, reply }).await?;
        let digests = missing.into_iter().map(|digest| digest.0.to_vec()).collect();
        Ok(Response::new(v1::MissingImagesReply { digests }))
    }

    async fn put_image(
        &self,
        request: tonic::Request<v1::PutImageRequest>,
    ) -> Result<Response<v1::PutImageReply>, Status> {
        let data = request.into_inner().data;
        let _turn = self.decoding.acquire().await.map_err(|closed| Status::internal(closed.to_string()))?;
        let artifacts = self.artifacts.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let image = Image::read(&data).map_err(|why| Status::invalid_argument(format!("no first frame: {why}")))?;
            artifacts.put(&image.digest, &data).map_err(|error| Status::resource_exhausted(error.to_string()))?;
            Ok::<_, Status>(image)
        });
        let image = stored.await.map_err(|error| Status::internal(error.to_string()))??;
        self.ask(|reply| Request::ImageStored { image, reply }).await?;
        Ok(Response::new(v1::PutImageReply { digest: image.digest.0.to_vec() }))
    }

    async fn submit(&self, request: tonic::Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitReply>, Status> {
        let wire = request.into_inner();
        if wire.videos.is_empty() || wire.videos.len() > MOST_VIDEOS {
            let message = format!("a job has 1 to {MOST_VIDEOS} videos, not {}", wire.videos.len());
            return Err(Status::invalid_argument(message));
        }
        let submission = Submission {
            client_key: wire.client_key,
            name: wire.name,
            model: wire.model,
            priority: wire.priority,
            videos: wire.videos.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        };
        let job = self.ask(|reply| Request::Submit { submission, reply }).await?.map_err(missing)?;
        Ok(Response::new(v1::SubmitReply { job: job.0 }))
    }

    async fn watch(&self, request: tonic::Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let job = JobId(request.into_inner().job);
        let first = self.ask(|reply| Request::Changes { job, since: 0, reply }).await?.map_err(missing)?;
        // (version seen, last hint shown); `None` once the job has ended.
        let start = (!finished(&first)).then(|| (first.version, first.waiting_for.clone()));
        let service = self.clone();
        let later = futures::stream::try_unfold(start, move |state| {
            let service = service.clone();
            async move {
                let Some((mut since, shown)) = state else { return Ok(None) };
                loop {
                    tokio::time::sleep(LOOK_EVERY).await;
                    let news = service.ask(|reply| Request::Changes { job, since, reply }).await?.map_err(missing)?;
                    since = news.version;
                    let ended = finished(&news);
                    if ended || !news.videos.is_empty() || news.waiting_for != shown {
                        let next = (!ended).then(|| (since, news.waiting_for.clone()));
                        return Ok(Some((update(news), next)));
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(futures::StreamExt::chain(futures::stream::iter([Ok(update(first))]), later))))
    }

    async fn list_jobs(&self, _: tonic::Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsReply>, Status> {
        let jobs = self.ask(|reply| Request::Jobs { reply }).await?;
        let jobs = jobs.into_iter().map(|job| summary(job, String::new())).collect();
        Ok(Response::new(v1::ListJobsReply { jobs }))
    }

    async fn list_workers(
        &self,
        _: tonic::Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersReply>, Status> {
        let workers = self.ask(|reply| Request::Workers { reply }).await?;
        Ok(Response::new(v1::ListWorkersReply { workers: workers.into_iter().map(worker).collect() }))
    }

    async fn control_job(
        &self,
        request: tonic::Request<v1::ControlJobRequest>,
    ) -> Result<Response<v1::ControlJobReply>, Status> {
        let wire = request.into_inner();
        let verb = match v1::JobVerb::try_from(wire.verb) {
            Ok(v1::JobVerb::Pause) => JobVerb::Pause,
            Ok(v1::JobVerb::Resume) => JobVerb::Resume,
            Ok(v1::JobVerb::Cancel) => JobVerb::Cancel,
            Ok(v1::JobVerb::Retry) => JobVerb::Retry,
            Ok(v1::JobVerb::Unspecified) | Err(_) => return Err(Status::invalid_argument("no such verb")),
        };
        let (job, video) = (JobId(wire.job), wire.video);
        self.ask(|reply| Request::ControlJob { job, video, verb, reply }).await?.map_err(missing)?;
        Ok(Response::new(v1::ControlJobReply {}))
    }

    async fn control_worker(
        &self,
        request: tonic::Request<v1::ControlWorkerRequest>,
    ) -> Result<Response<v1::ControlWorkerReply>, Status> {
        let wire = request.into_inner();
        let worker = WorkerId(parse_uuid("worker_id", &wire.worker_id)?);
        let enable = match v1::WorkerVerb::try_from(wire.verb) {
            Ok(v1::WorkerVerb::Drain) => false,
            Ok(v1::WorkerVerb::Enable) => true,
            Ok(v1::WorkerVerb::Unspecified) | Err(_) => return Err(Status::invalid_argument("no such verb")),
        };
        self.ask(|reply| Request::ControlWorker { worker, enable, reply }).await?.map_err(missing)?;
        Ok(Response::new(v1::ControlWorkerReply {}))
    }
}

fn missing(error: RequestError) -> Status {
    Status::not_found(error.to_string())
}

fn finished(changes: &Changes) -> bool {
    changes.job.phase == JobPhase::Finished
}

fn update(changes: Changes) -> v1::JobUpdate {
    v1::JobUpdate {
        job: Some(summary(changes.job, changes.waiting_for)),
        videos: changes.videos.into_iter().map(video).collect(),
    }
}

fn summary(job: JobSummary, waiting_for: String) -> v1::JobSummary {
    let state = match job.phase {
        JobPhase::WaitingForModel | JobPhase::Active => v1::JobState::Active,
        JobPhase::Paused => v1::JobState::Paused,
        JobPhase::Finished => v1::JobState::Done,
    };
    v1::JobSummary {
        job: job.job.0,
        name: job.name,
        model: job.model,
        priority: job.priority,
        state: state.into(),
        videos: job.videos,
        done: job.done,
        failed: job.failed,
        waiting_for,
    }
}

fn video(video: VideoStatus) -> v1::VideoStatus {
    let state = match video.phase {
        VideoPhase::Waiting => v1::VideoState::Waiting,
        VideoPhase::Running => v1::VideoState::Running,
        VideoPhase::Writing => v1::VideoState::Writing,
        VideoPhase::Done => v1::VideoState::Done,
        VideoPhase::Failed => v1::VideoState::Failed,
        VideoPhase::Cancelled => v1::VideoState::Cancelled,
    };
    v1::VideoStatus {
        index: video.index,
        state: state.into(),
        stage: video.stage.map_or(v1::Stage::Unspecified, Into::into).into(),
        steps_done: video.steps_done,
        steps: video.steps,
        seconds_per_step: video.seconds_per_step,
        worker: video.worker,
        output: video.output,
        error: video.error,
        files: video.files.iter().map(|path| path.display().to_string()).collect(),
        verdict: video.verdict,
        label: video.label,
        seconds: video.seconds,
    }
}

fn worker(worker: WorkerStatus) -> v1::WorkerStatus {
    v1::WorkerStatus {
        worker_id: worker.worker.to_string(),
        name: worker.name,
        roles: worker.roles.into_iter().map(|role| v1::Role::from(role).into()).collect(),
        models: worker.models,
        device: worker.device,
        state: worker.state.to_owned(),
        detail: worker.detail,
    }
}
