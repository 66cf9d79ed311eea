//! Jobs and their videos: told, steered, forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use wanfarm_client::JobVerb;
use wanfarm_server::farm::{AboutChange, FarmService};
use wanfarm_types::{FarmEvent, JobId, JobReport, JobState, JobStatus, JobSummary, VideoState, VideoStatus};

use crate::input::{self, Asked, Caller};
use crate::page_of::{Next, Turn};
use crate::problem::{Answer, Problem};

/// The routes of jobs.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new()
        .route("/jobs", get(list))
        .route("/jobs/{job}", get(one).patch(change).delete(forget))
        .route("/jobs/{job}/retry", post(retry))
        .route("/jobs/{job}/report.json", get(report))
        .route("/jobs/{job}/events", get(events))
        .route("/jobs/{job}/videos", get(videos))
        .route("/jobs/{job}/videos/{video}", get(video).patch(change_video))
        .route("/jobs/{job}/videos/{video}/retry", post(retry_video))
}

#[derive(Serialize)]
struct Jobs {
    jobs: Vec<JobSummary>,
    #[serde(flatten)]
    next: Next,
}

/// Which jobs are asked for.
#[derive(Deserialize)]
struct Which {
    state: Option<JobState>,
}

async fn list(
    State(farm): State<FarmService>,
    Asked(which): Asked<Which>,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<Jobs>> {
    let jobs = farm.jobs().await?.into_iter().filter(|job| which.state.is_none_or(|state| job.state == state));
    // The newest first, which is what somebody looks for.
    let mut jobs: Vec<_> = jobs.collect();
    jobs.reverse();
    let (jobs, next) = turn.page(jobs, |job| u64::MAX - job.job.0)?;
    Ok(Json(Jobs { jobs, next }))
}

#[derive(Serialize)]
struct OneJob {
    #[serde(flatten)]
    status: JobStatus,
    #[serde(flatten)]
    next: Next,
}

/// A job with the first page of its videos, or another one.
async fn one(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<OneJob>> {
    let status = farm.job(job).await?;
    let (videos, next) = turn.page(status.videos, key)?;
    Ok(Json(OneJob { status: JobStatus { videos, ..status }, next }))
}

/// Pages go on after the video told last.
fn key(video: &Arc<VideoStatus>) -> u64 {
    u64::from(video.index)
}

#[derive(Serialize)]
struct Videos {
    videos: Vec<Arc<VideoStatus>>,
    #[serde(flatten)]
    next: Next,
}

/// Which videos are asked for.
#[derive(Deserialize)]
struct WhichVideos {
    state: Option<VideoState>,
    /// Part of the prompt, in any case.
    prompt: Option<String>,
    /// Of the worker that computes it.
    worker: Option<String>,
    verdict: Option<String>,
}

impl WhichVideos {
    fn are_meant(&self, video: &VideoStatus) -> bool {
        let prompt = |part: &String| video.prompt.to_lowercase().contains(&part.to_lowercase());
        self.state.is_none_or(|state| video.state == state)
            && self.prompt.as_ref().is_none_or(prompt)
            && (self.worker.is_none() || self.worker == video.worker)
            && (self.verdict.is_none() || self.verdict == video.verdict)
    }
}

async fn videos(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Asked(which): Asked<WhichVideos>,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<Videos>> {
    let videos = farm.videos(job).await?.into_iter().filter(|video| which.are_meant(video));
    let (videos, next) = turn.page(videos, key)?;
    Ok(Json(Videos { videos, next }))
}

async fn video(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
) -> Answer<Json<Arc<VideoStatus>>> {
    Ok(Json(line_of(&farm, job, index).await?))
}

async fn line_of(farm: &FarmService, job: JobId, index: u32) -> Answer<Arc<VideoStatus>> {
    let videos = farm.videos(job).await?;
    let count = videos.len();
    let video = videos.into_iter().nth(index as usize);
    video.ok_or_else(|| Problem::not_found(format!("job {job} has no video {index}: it has {count}, numbered from 0")))
}

async fn report(State(farm): State<FarmService>, input::Job(job): input::Job) -> Answer<Json<JobReport>> {
    Ok(Json(farm.report(job).await?))
}

#[derive(Serialize)]
struct Events {
    events: Vec<FarmEvent>,
    #[serde(flatten)]
    next: Next,
}

/// What happened to a job, oldest first. It may have been forgotten since.
async fn events(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<Events>> {
    let (after, limit) = turn.of_numbers()?;
    // One more tells whether there is another page.
    let asked = wanfarm_server::store::Asked { after, job: Some(job), limit: limit + 1 };
    let (events, next) = turn.page(farm.events(asked).await?, |event| event.id)?;
    Ok(Json(Events { events, next }))
}

/// What a job is to become.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    state: Option<JobState>,
    #[serde(default, deserialize_with = "input::present")]
    owner: Option<Option<String>>,
    #[serde(default, deserialize_with = "input::present")]
    note: Option<Option<String>>,
    #[serde(default)]
    labels: BTreeMap<String, Option<String>>,
}

async fn change(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Caller(by): Caller,
    input::Json(change): input::Json<Change>,
) -> Answer<Json<JobSummary>> {
    let verb = match change.state {
        None => None,
        Some(JobState::Paused) => Some(JobVerb::Pause),
        Some(JobState::Active) => Some(JobVerb::Resume),
        Some(JobState::Cancelled) => Some(JobVerb::Cancel),
        Some(JobState::Done | JobState::Failed | JobState::Unknown) => {
            return Err(Problem::bad_request("state: a job can be set to active, paused or cancelled"));
        }
    };
    // Said first: whatever comes of the rest, nothing was steered that had to be said.
    let about = AboutChange { owner: change.owner, note: change.note, labels: change.labels };
    farm.describe_job(job, about, &by).await?;
    if let Some(verb) = verb {
        farm.steer_job(job, None, verb, &by).await?;
    }
    Ok(Json(farm.line(job).await?))
}

async fn retry(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Caller(by): Caller,
) -> Answer<Json<JobSummary>> {
    farm.steer_job(job, None, JobVerb::Retry, &by).await?;
    Ok(Json(farm.line(job).await?))
}

/// Whether a job that has not ended is cancelled first.
#[derive(Deserialize)]
struct Forgetting {
    #[serde(default, deserialize_with = "input::flag")]
    cancel: bool,
}

async fn forget(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Asked(Forgetting { cancel }): Asked<Forgetting>,
    Caller(by): Caller,
) -> Answer<StatusCode> {
    farm.steer_job(job, None, JobVerb::Forget { cancel }, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a video is to become.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VideoChange {
    state: VideoState,
}

async fn change_video(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
    Caller(by): Caller,
    input::Json(change): input::Json<VideoChange>,
) -> Answer<Json<Arc<VideoStatus>>> {
    if change.state != VideoState::Cancelled {
        return Err(Problem::bad_request("state: a video can be set to cancelled; POST …/retry tries it again"));
    }
    farm.steer_job(job, Some(index), JobVerb::Cancel, &by).await?;
    Ok(Json(line_of(&farm, job, index).await?))
}

async fn retry_video(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
    Caller(by): Caller,
) -> Answer<Json<Arc<VideoStatus>>> {
    farm.steer_job(job, Some(index), JobVerb::Retry, &by).await?;
    Ok(Json(line_of(&farm, job, index).await?))
}
