//! Jobs and their videos: told, steered, forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::{Error, IntoDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};
use wanfarm_client::JobVerb;
use wanfarm_server::farm::{AboutChange, FarmService};
use wanfarm_server::store;
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
        .route("/jobs/{job}/report.html", get(report_page))
        .route("/jobs/{job}/events", get(events))
        .route("/jobs/{job}/videos", get(videos))
        .route("/jobs/{job}/videos/{video}", get(video).patch(change_video))
        .route("/jobs/{job}/videos/{video}/retry", post(retry_video))
}

#[derive(Serialize, ToSchema)]
struct Jobs {
    jobs: Vec<JobSummary>,
    #[serde(flatten)]
    next: Next,
}

/// Reads a state, but not a word that is none: that would be taken for one of a later version.
fn known<'de, S, D>(from: D, name: fn(S) -> &'static str) -> Result<Option<S>, D::Error>
where
    S: Deserialize<'de> + Copy,
    D: Deserializer<'de>,
{
    let word = String::deserialize(from)?;
    let state = S::deserialize(word.clone().into_deserializer())?;
    let is_one = name(state) == word;
    is_one.then_some(Some(state)).ok_or_else(|| D::Error::custom(format!("there is no state {word:?}")))
}

fn known_job<'de, D: Deserializer<'de>>(from: D) -> Result<Option<JobState>, D::Error> {
    known(from, JobState::name)
}

fn known_video<'de, D: Deserializer<'de>>(from: D) -> Result<Option<VideoState>, D::Error> {
    known(from, VideoState::name)
}

/// What a report's page may do: show itself.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Which jobs are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// In this state.
    #[serde(default, deserialize_with = "known_job")]
    state: Option<JobState>,
}

/// The jobs, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "jobs",
    params(
        Which, Turn,
    ),
    responses((status = 200, description = "A page of jobs", body = Jobs)),
)]
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

#[derive(Serialize, ToSchema)]
struct OneJob {
    #[serde(flatten)]
    status: JobStatus,
    #[serde(flatten)]
    next: Next,
}

/// A job with the first page of its videos, or another one.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
        Turn,
    ),
    responses((status = 200, description = "The job", body = OneJob)),
)]
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

#[derive(Serialize, ToSchema)]
struct Videos {
    videos: Vec<Arc<VideoStatus>>,
    #[serde(flatten)]
    next: Next,
}

/// Which videos are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WhichVideos {
    /// In this state.
    #[serde(default, deserialize_with = "known_video")]
    state: Option<VideoState>,
    /// Part of the prompt, in any case.
    prompt: Option<String>,
    /// Of the worker that computes it.
    worker: Option<String>,
    /// With this verdict of the quality gate.
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

/// The videos of a job, in the order of its manifest.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos",
    tag = "videos",
    params(
        ("job" = JobId, Path, description = "The job"),
        WhichVideos,
        Turn,
    ),
    responses((status = 200, description = "A page of videos", body = Videos)),
)]
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

/// One video.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}",
    tag = "videos",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses((status = 200, description = "The video", body = VideoStatus)),
)]
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

/// What came of a job and where the time went, so far.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/report.json",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
    ),
    responses((status = 200, description = "The report", body = JobReport)),
)]
async fn report(State(farm): State<FarmService>, input::Job(job): input::Job) -> Answer<Json<JobReport>> {
    Ok(Json(farm.report(job).await?))
}

/// The same as one page that needs nothing else: with a still of each finished video, to be kept, sent and printed.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/report.html",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
    ),
    responses((status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8")),
)]
async fn report_page(State(farm): State<FarmService>, input::Job(job): input::Job) -> Answer<Response> {
    let page = farm.report_page(job).await?;
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((fields, page).into_response())
}

#[derive(Serialize, ToSchema)]
struct Events {
    events: Vec<FarmEvent>,
    #[serde(flatten)]
    next: Next,
}

/// What happened to a job, oldest first. It may have been forgotten since.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/events",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
        Turn,
    ),
    responses((status = 200, description = "A page of events", body = Events)),
)]
async fn events(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<Events>> {
    let (after, limit) = turn.of_numbers()?;
    // One more tells whether there is another page.
    let asked =
        store::Asked { from: store::Start::After(after), job: Some(job), limit: limit + 1, ..Default::default() };
    let (events, next) = turn.page(farm.events(asked).await?, |event| event.id)?;
    Ok(Json(Events { events, next }))
}

/// What labels may be, which their type does not say.
fn labels() -> Object {
    let text = |pattern: &str| ObjectBuilder::new().min_length(Some(1)).max_length(Some(100)).pattern(Some(pattern));
    let value = text(r"^[^\x00-\x1f\x7f-\x9f]*$").schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let name = text("^[A-Za-z0-9._-]+$").schema_type(Type::String);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Labels by name; `null` takes one away, and those that are not named stay"))
        .property_names(Some(name))
        .additional_properties(Some(value))
        .max_properties(Some(32))
        .build()
}

/// The states that a job can be set to.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WantedJobState)]
enum Wanted {
    /// It goes on.
    Active,
    /// Nothing more of it is started.
    Paused,
    /// It is given up.
    Cancelled,
}

/// What a job is to become.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = JobChange)]
struct Change {
    state: Option<Wanted>,
    /// Higher goes first.
    #[schema(maximum = 100)]
    priority: Option<u32>,
    /// Whose it is; `null`: nobody's.
    #[serde(default, deserialize_with = "input::present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    owner: Option<Option<String>>,
    /// What there is to say of it; `null`: nothing.
    #[serde(default, deserialize_with = "input::present")]
    #[schema(value_type = Option<String>, max_length = 4000, pattern = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$")]
    note: Option<Option<String>>,
    /// Labels by name; `null` takes one away, and those that are not named stay.
    #[serde(default)]
    #[schema(schema_with = labels)]
    labels: BTreeMap<String, Option<String>>,
}

/// Pauses a job, lets it go on, gives it up, lets it go before others, or says something else of it. What is absent stays as it is.
#[utoipa::path(
    patch,
    path = "/api/v1/jobs/{job}",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
    ),
    request_body = Change,
    responses((status = 200, description = "The job as it is now", body = JobSummary)),
)]
async fn change(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Caller(by): Caller,
    input::Json(change): input::Json<Change>,
) -> Answer<Json<JobSummary>> {
    let verb = change.state.map(|state| match state {
        Wanted::Active => JobVerb::Resume,
        Wanted::Paused => JobVerb::Pause,
        Wanted::Cancelled => JobVerb::Cancel,
    });
    // Said first: whatever comes of the rest, nothing was steered that had to be said.
    let about = AboutChange { owner: change.owner, note: change.note, labels: change.labels };
    farm.describe_job(job, about, &by).await?;
    for verb in change.priority.map(JobVerb::SetPriority).into_iter().chain(verb) {
        farm.steer_job(job, None, verb, &by).await?;
    }
    Ok(Json(farm.line(job).await?))
}

/// Takes up again the videos of a job that failed or were given up.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{job}/retry",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
    ),
    responses((status = 200, description = "The job as it is now", body = JobSummary)),
)]
async fn retry(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Caller(by): Caller,
) -> Answer<Json<JobSummary>> {
    farm.steer_job(job, None, JobVerb::Retry, &by).await?;
    Ok(Json(farm.line(job).await?))
}

/// Whether a job that has not ended is cancelled first.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Forgetting {
    #[serde(default, deserialize_with = "input::flag")]
    cancel: bool,
}

/// Forgets a job that has ended; its files stay.
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{job}",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
        Forgetting,
    ),
    responses((status = 204, description = "It is forgotten")),
)]
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
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VideoChange {
    state: WantedVideo,
}

/// The states that a video can be set to. `POST …/retry` tries it again.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WantedVideoState)]
enum WantedVideo {
    /// It is given up.
    Cancelled,
}

/// Gives a video up.
#[utoipa::path(
    patch,
    path = "/api/v1/jobs/{job}/videos/{video}",
    tag = "videos",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    request_body = VideoChange,
    responses((status = 200, description = "The video as it is now", body = VideoStatus)),
)]
async fn change_video(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
    Caller(by): Caller,
    input::Json(VideoChange { state: WantedVideo::Cancelled }): input::Json<VideoChange>,
) -> Answer<Json<Arc<VideoStatus>>> {
    farm.steer_job(job, Some(index), JobVerb::Cancel, &by).await?;
    Ok(Json(line_of(&farm, job, index).await?))
}

/// Takes up again a video that failed or was given up.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{job}/videos/{video}/retry",
    tag = "videos",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses((status = 200, description = "The video as it is now", body = VideoStatus)),
)]
async fn retry_video(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
    Caller(by): Caller,
) -> Answer<Json<Arc<VideoStatus>>> {
    farm.steer_job(job, Some(index), JobVerb::Retry, &by).await?;
    Ok(Json(line_of(&farm, job, index).await?))
}
