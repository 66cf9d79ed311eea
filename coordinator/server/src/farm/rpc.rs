//! The gRPC service: wire requests in, wire answers out. What is asked in domain types, by HTTP as by gRPC, is in `asking`.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tonic::{Response, Status, Streaming};
use wanfarm_client::{JobVerb, WorkerVerb};
use wanfarm_proto::convert::{digest_field, parse_uuid};
use wanfarm_proto::v1::{self, farm_server::Farm};
use wanfarm_types::{Digest, JobId, LogLine, WorkerId};

use super::asking::FinishedFile;
use super::paging::page;
use super::sending::Sent;
use super::wire::{self, refusal};
use super::{FarmService, MAX_IMAGES, Seeds, files, stopping};
use crate::access::Caller;
use crate::estimate::Estimate;
use crate::requests::{Changes, Request};
use crate::store::{Asked, Start};
use crate::times::rfc3339_in;

/// Shortest time between two updates of a watcher: often enough for a progress bar.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Events of one answer.
const MAX_EVENTS: u32 = 1000;

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Farm for FarmService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::JobUpdate, Status>> + Send>>;
    type WatchFarmStream = Pin<Box<dyn Stream<Item = Result<v1::FarmUpdate, Status>> + Send>>;
    type ListFilesStream = Sent<v1::OutputFile>;
    type ReadFileStream = Sent<v1::FileChunk>;
    type WorkerLogStream = Pin<Box<dyn Stream<Item = Result<v1::LogLine, Status>> + Send>>;

    async fn missing_files(&self, request: tonic::Request<v1::MissingFilesRequest>) -> Reply<v1::MissingFilesReply> {
        let files = digests(&request.into_inner().digests, "files")?;
        let missing = self.ask(|reply| Request::MissingFiles { files, reply }).await?;
        let digests = missing.into_iter().map(|digest| digest.0.to_vec()).collect();
        Ok(Response::new(v1::MissingFilesReply { digests }))
    }

    async fn put_file(&self, request: tonic::Request<Streaming<v1::GivenChunk>>) -> Reply<v1::PutFileReply> {
        let mut chunks = request.into_inner();
        let first = chunks.next().await.ok_or_else(|| Status::invalid_argument("no chunk of a file came"))??;
        let (file, bytes) = (digest_field(&first.blake3)?, first.bytes);
        let rest = chunks.map(|chunk| chunk.map(|chunk| Bytes::from(chunk.data)));
        let first = futures::stream::iter([Ok(Bytes::from(first.data))]);
        FarmService::put_file(self, file, bytes, first.chain(rest)).await?;
        Ok(Response::new(v1::PutFileReply { digest: file.0.to_vec() }))
    }

    async fn submit(&self, request: tonic::Request<v1::SubmitRequest>) -> Reply<v1::SubmitReply> {
        let by = peer(&request);
        let (submission, about) = self.read(request.into_inner()).await?;
        let (submitted, shortages) = self.submit_job(submission, about, &by).await?;
        Ok(Response::new(wire::submitted(submitted, shortages)))
    }

    async fn submit_manifest(
        &self,
        request: tonic::Request<v1::SubmitManifestRequest>,
    ) -> Reply<v1::SubmitManifestReply> {
        let by = peer(&request);
        Ok(Response::new(self.submit_text(request.into_inner(), &by).await?))
    }

    async fn render_again(&self, request: tonic::Request<v1::RenderAgainRequest>) -> Reply<v1::SubmitReply> {
        let by = peer(&request);
        let v1::RenderAgainRequest { job, videos, seed } = request.into_inner();
        let videos: BTreeSet<u32> = videos.into_iter().collect();
        if videos.is_empty() || seed.is_some() && videos.len() > 1 {
            return Err(Status::invalid_argument("name at least one video, and a single one with a seed"));
        }
        let (seeds, videos) = (seed.map_or(Seeds::Drawn, Seeds::Given), videos.into_iter().collect());
        let (submitted, shortages) = FarmService::render_again(self, JobId(job), videos, seeds, &by).await?;
        Ok(Response::new(wire::submitted(submitted, shortages)))
    }

    async fn watch_farm(&self, _: tonic::Request<v1::WatchFarmRequest>) -> Reply<Self::WatchFarmStream> {
        Ok(Response::new(Box::pin(self.watch_all()?)))
    }

    async fn list_events(&self, request: tonic::Request<v1::ListEventsRequest>) -> Reply<v1::ListEventsReply> {
        let v1::ListEventsRequest { after, job, limit } = request.into_inner();
        let limit = if limit == 0 { MAX_EVENTS } else { limit.min(MAX_EVENTS) };
        let events =
            self.events(Asked { from: Start::After(after), job: job.map(JobId), limit, ..Asked::default() }).await?;
        Ok(Response::new(v1::ListEventsReply { events: events.into_iter().map(Into::into).collect() }))
    }

    async fn list_models(&self, _: tonic::Request<v1::ListModelsRequest>) -> Reply<v1::ListModelsReply> {
        Ok(Response::new(v1::ListModelsReply { models: self.list().await? }))
    }

    async fn model_file_here(
        &self,
        request: tonic::Request<v1::ModelFileHereRequest>,
    ) -> Reply<v1::ModelFileHereReply> {
        Ok(Response::new(self.file_here(request.into_inner()).await?))
    }

    async fn put_model_file(&self, request: tonic::Request<Streaming<v1::ModelChunk>>) -> Reply<v1::PutFileReply> {
        Ok(Response::new(self.take_file(request.into_inner()).await?))
    }

    async fn keep_model(&self, request: tonic::Request<v1::KeepModelRequest>) -> Reply<v1::KeepModelReply> {
        Ok(Response::new(FarmService::keep_model(self, request.into_inner()).await?))
    }

    async fn forget_model(&self, request: tonic::Request<v1::ForgetModelRequest>) -> Reply<v1::ForgetModelReply> {
        Ok(Response::new(FarmService::forget_model(self, request.into_inner()).await?))
    }

    async fn get_model(&self, request: tonic::Request<v1::GetModelRequest>) -> Reply<v1::GetModelReply> {
        let model = request.into_inner().name;
        let farm = self.ask(|reply| Request::Farm { model, images: Vec::new(), reply }).await?;
        let info = farm.info.as_ref().map(wire::json).transpose()?;
        Ok(Response::new(v1::GetModelReply { info: info.unwrap_or_default() }))
    }

    async fn estimate(&self, request: tonic::Request<v1::EstimateRequest>) -> Reply<v1::EstimateReply> {
        use v1::estimate_request::Of;
        let reply = match request.into_inner().of {
            None => return Err(Status::invalid_argument("the message lacks what to estimate: a submission or a job")),
            Some(Of::Submission(wire)) => self.estimate_submission(self.read(wire).await?.0).await?,
            Some(Of::Job(job)) => {
                let rest = self.remaining(JobId(job)).await?;
                let estimate = Estimate::new(&rest.work, &rest.farm.force);
                let known = rest.farm.info.is_some();
                let reply = wire::estimate(estimate, rest.farm.roles, &BTreeMap::new());
                // Of a job that has no plan yet, nothing is known; not even that nothing is left.
                let seconds = reply.seconds.filter(|_| known);
                let waiting_for = rest.farm.waiting_for;
                let eta = seconds.and_then(rfc3339_in).unwrap_or_default();
                v1::EstimateReply { videos: rest.videos, model_known: known, seconds, eta, waiting_for, ..reply }
            }
        };
        Ok(Response::new(reply))
    }

    async fn watch(&self, request: tonic::Request<v1::WatchRequest>) -> Reply<Self::WatchStream> {
        let job = JobId(request.into_inner().job);
        let mut news = self.news.clone();
        // Whatever comes after this moment is news.
        news.mark_unchanged();
        let first = self.ask(|reply| Request::Changes { job, since: 0, reply }).await?.map_err(refusal)?;
        // (version seen, last hint shown, news); `None` once the job has ended.
        let start = (!finished(&first)).then(|| (first.version, first.news.job.waiting_for.clone(), news));
        let service = self.clone();
        let later = futures::stream::try_unfold(start, move |state| {
            let service = service.clone();
            async move {
                let Some((since, shown, mut news)) = state else { return Ok(None) };
                loop {
                    tokio::time::sleep(TELL_EVERY).await;
                    news.changed().await.map_err(|_| stopping())?;
                    let update = service.ask(|reply| Request::Changes { job, since, reply }).await?.map_err(refusal)?;
                    let ended = finished(&update);
                    if ended || update.version != since || update.news.job.waiting_for != shown {
                        let next = (!ended).then(|| (update.version, update.news.job.waiting_for.clone(), news));
                        return Ok(Some((update.news.into(), next)));
                    }
                }
            }
        });
        let first = futures::stream::iter([Ok(first.news.into())]);
        Ok(Response::new(Box::pin(futures::StreamExt::chain(first, later))))
    }

    async fn list_jobs(&self, request: tonic::Request<v1::ListJobsRequest>) -> Reply<v1::ListJobsReply> {
        let v1::ListJobsRequest { page_size, page_token } = request.into_inner();
        let (jobs, next_page_token) = page(self.jobs().await?, page_size, &page_token, |line| line.job.0)?;
        Ok(Response::new(v1::ListJobsReply { jobs: jobs.into_iter().map(Into::into).collect(), next_page_token }))
    }

    async fn get_report(&self, request: tonic::Request<v1::GetReportRequest>) -> Reply<v1::GetReportReply> {
        let v1::GetReportRequest { job, page_size, page_token } = request.into_inner();
        let mut report = self.report(JobId(job)).await?;
        let (videos, next_page_token) = page(report.videos, page_size, &page_token, |line| line.index)?;
        report.videos = videos;
        Ok(Response::new(v1::GetReportReply { next_page_token, ..report.into() }))
    }

    async fn list_files(&self, request: tonic::Request<v1::ListFilesRequest>) -> Reply<Self::ListFilesStream> {
        let wire = request.into_inner();
        let (job, video) = (JobId(wire.job), wire.video);
        let outputs = self.ask(|reply| Request::Files { job, video, reply }).await?.map_err(refusal)?;
        Ok(Response::new(self.sending.stream(move |send| files::list(&outputs, send)).await?))
    }

    async fn read_file(&self, request: tonic::Request<v1::ReadFileRequest>) -> Reply<Self::ReadFileStream> {
        let v1::ReadFileRequest { job, video, path } = request.into_inner();
        let job = JobId(job);
        let wanted = path.clone();
        let found = self.file(job, video, move |known| known == wanted).await?;
        let Some(FinishedFile { path: file, bytes, blake3 }) = found else {
            let what = format!("{path:?} is no finished file of this video of job {job}; ListFiles names those");
            return Err(Status::not_found(what));
        };
        Ok(Response::new(self.sending.stream(move |send| files::read(&file, (bytes, blake3), send)).await?))
    }

    async fn list_workers(&self, request: tonic::Request<v1::ListWorkersRequest>) -> Reply<v1::ListWorkersReply> {
        let v1::ListWorkersRequest { page_size, page_token } = request.into_inner();
        let (workers, next_page_token) = page(self.workers().await?, page_size, &page_token, |line| line.id.0)?;
        let workers = workers.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::ListWorkersReply { workers, next_page_token }))
    }

    async fn worker_log(&self, request: tonic::Request<v1::WorkerLogRequest>) -> Reply<Self::WorkerLogStream> {
        let v1::WorkerLogRequest { worker_id, tail, follow } = request.into_inner();
        let (worker, tail) = (WorkerId(parse_uuid("worker_id", &worker_id)?), tail as usize);
        let wire = |lines: Vec<LogLine>| futures::stream::iter(lines.into_iter().map(|line| Ok(line.into())));
        if !follow {
            return Ok(Response::new(Box::pin(wire(self.worker_log(worker, tail)?))));
        }
        let follower = self.follow_worker_log(worker, tail)?;
        let batches = futures::stream::unfold(follower, |mut follower| async move {
            let lines = follower.next().await?;
            Some((lines, follower))
        });
        Ok(Response::new(Box::pin(futures::StreamExt::flat_map(batches, wire))))
    }

    async fn control_job(&self, request: tonic::Request<v1::ControlJobRequest>) -> Reply<v1::ControlJobReply> {
        let by = peer(&request);
        let wire = request.into_inner();
        let verb = match v1::JobVerb::try_from(wire.verb) {
            Ok(v1::JobVerb::Pause) => JobVerb::Pause,
            Ok(v1::JobVerb::Resume) => JobVerb::Resume,
            Ok(v1::JobVerb::Cancel) => JobVerb::Cancel,
            Ok(v1::JobVerb::Retry) => JobVerb::Retry,
            Ok(v1::JobVerb::SetPriority) => JobVerb::SetPriority(
                wire.priority.ok_or_else(|| Status::invalid_argument("the message lacks the priority"))?,
            ),
            Ok(v1::JobVerb::Forget) => JobVerb::Forget { cancel: wire.cancel },
            Ok(v1::JobVerb::Unspecified) | Err(_) => {
                let known = "pause, resume, cancel, retry, set_priority, forget";
                let what = format!("verb {} is none that this version knows: {known}", wire.verb);
                return Err(Status::invalid_argument(what));
            }
        };
        let (job, video) = (JobId(wire.job), wire.video);
        self.steer_job(job, video, verb, &by).await?;
        Ok(Response::new(v1::ControlJobReply {}))
    }

    async fn control_worker(&self, request: tonic::Request<v1::ControlWorkerRequest>) -> Reply<v1::ControlWorkerReply> {
        let by = peer(&request);
        let wire = request.into_inner();
        let worker = WorkerId(parse_uuid("worker_id", &wire.worker_id)?);
        let verb = match v1::WorkerVerb::try_from(wire.verb) {
            Ok(v1::WorkerVerb::Drain) => WorkerVerb::Drain,
            Ok(v1::WorkerVerb::Enable) => WorkerVerb::Enable,
            Ok(v1::WorkerVerb::Forget) => WorkerVerb::Forget,
            Ok(v1::WorkerVerb::Assign) => WorkerVerb::Assign(wire::roles(&wire.roles)?),
            Ok(v1::WorkerVerb::Auto) => WorkerVerb::Auto,
            Ok(v1::WorkerVerb::Note) => WorkerVerb::Note(Some(wire.note)),
            Ok(v1::WorkerVerb::Unspecified) | Err(_) => {
                let known = "drain, enable, forget, assign, auto, note";
                let what = format!("verb {} is none that this version knows: {known}", wire.verb);
                return Err(Status::invalid_argument(what));
            }
        };
        self.steer_worker(worker, verb, &by).await?;
        Ok(Response::new(v1::ControlWorkerReply {}))
    }
}

/// The client, for the history and the log.
fn peer<T>(request: &tonic::Request<T>) -> String {
    request.extensions().get::<Caller>().map_or_else(String::new, |caller| caller.name().to_owned())
}

/// Digests from the wire, of no more files than a job has.
fn digests(wire: &[Vec<u8>], files: &str) -> Result<Vec<Digest>, Status> {
    if wire.len() > MAX_IMAGES {
        return Err(Status::invalid_argument(format!("a job has at most {MAX_IMAGES} {files}")));
    }
    Ok(wire.iter().map(|digest| digest_field(digest)).collect::<Result<_, _>>()?)
}

fn finished(changes: &Changes) -> bool {
    changes.news.job.state.is_end()
}
