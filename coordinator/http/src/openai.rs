//! Videos in the shape that OpenAI's API has given them and that SGLang and others serve: what talks to these talks to a farm
//! as well, when it is given its address.
//!
//! A video there is a job of one video here: `video_17` is job 17. Jobs of several videos are told below `/api/v1` alone. What
//! is not said comes from the model; a seed is drawn and recorded. Problems are as everywhere here.

mod form;
mod told;
mod wanted;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wanfarm_client::JobVerb;
use wanfarm_manifest::{Draw, Syntax, Taken};
use wanfarm_server::farm::FarmService;
use wanfarm_types::{JobId, JobSummary, ModelInfo};

use crate::arrival::Arrivals;
use crate::input::{Asked, Caller};
use crate::problem::{Answer, Problem};
use crate::{files, input, submit};
use form::Form;
use told::{Told, VideoName};
use wanted::Wanted;

/// Most bytes of a request: a picture of the greatest size, as base64 at worst.
const MAX_BODY: usize = 48 << 20;
/// Requests that are in memory at the same time.
const MAX_READ: usize = 4;
/// Videos of a page at most, and unless others are asked for.
const LINES: (usize, usize) = (100, 20);

static READING: Arrivals = Arrivals::new(MAX_READ, "the request does not arrive, or others are read before it");

/// The routes, which have no prefix.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new()
        .route("/v1/videos", post(create).layer(DefaultBodyLimit::max(MAX_BODY)).get(list))
        .route("/v1/videos/{video}", get(one).delete(delete))
        .route("/v1/videos/{video}/content", get(content))
}

/// Queues a video.
#[utoipa::path(
    post,
    path = "/v1/videos",
    tag = "openai",
    params(
        ("idempotency-key" = Option<String>, Header, max_length = 100, description = "The client's own key: the same one again is the same video"),
    ),
    request_body(
        description = "What to render; a first frame as a part of the form, or as a data: address",
        content((Wanted = "application/json"), (Form = "multipart/form-data")),
    ),
    responses(
        (status = 200, description = "It is queued", body = Told),
        (status = 408, description = "The request does not arrive in time"),
        (status = 422, description = "There is no such video"),
        (status = 507, description = "A disk has no room"),
    ),
)]
async fn create(State(farm): State<FarmService>, Caller(by): Caller, request: Request) -> Answer<Json<Told>> {
    let key = submit::key(request.headers())?;
    let _turn = READING.turn().await?;
    let read = async {
        match form::is_form(request.headers()) {
            true => form::read(request).await,
            false => input::Json::<Wanted>::read(request).await.and_then(wanted::with_picture),
        }
    };
    let (wanted, picture) = READING.receive(read).await??;
    let (manifest, files) = wanted::manifest(&farm, wanted, picture).await?;
    let checked = farm.check_manifest(Syntax::Json, manifest, files, Draw::of_key(&key)).await?;
    let submission = checked.submission(key, Taken::NewName)?;
    let (submitted, _) = farm.submit_job(submission, checked.about().clone(), &by).await?;
    let job = submitted.job.ok_or_else(|| Problem::bad_request("nothing is left to render"))?;
    let line = farm.line(job).await?;
    Ok(Json(told(&farm, line, &farm.models().await?).await?))
}

/// Which videos are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Those that follow this one.
    #[param(pattern = "^video_[0-9]{1,19}$")]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `desc`, the newest first, or `asc`.
    #[serde(default)]
    order: Order,
}

#[derive(Deserialize, ToSchema, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Desc,
    Asc,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenAiVideoList)]
struct List {
    object: &'static str,
    data: Vec<Told>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// The videos that are jobs of their own.
#[utoipa::path(
    get,
    path = "/v1/videos",
    tag = "openai",
    params(Which),
    responses((status = 200, description = "A page of videos", body = List)),
)]
async fn list(State(farm): State<FarmService>, Asked(which): Asked<Which>) -> Answer<Json<List>> {
    let limit = which.limit.unwrap_or(LINES.1);
    if !(1..=LINES.0).contains(&limit) {
        return Err(Problem::bad_request(format!("limit: {limit} is not in 1 to {}", LINES.0)));
    }
    let none = |name: &String| Problem::bad_request(format!("after: {name:?} is no video"));
    let after = which.after.as_ref().map(|name| name.parse::<VideoName>().map_err(|_| none(name))).transpose()?;
    let is_new = which.order == Order::Desc;
    let mut jobs: Vec<JobSummary> = farm.jobs().await?.into_iter().filter(|job| job.videos == 1).collect();
    if is_new {
        jobs.reverse();
    }
    let follows = |job: &JobSummary| match after {
        None => true,
        Some(VideoName(after)) if is_new => job.job < after,
        Some(VideoName(after)) => job.job > after,
    };
    let mut rest = jobs.into_iter().filter(follows);
    let models = farm.models().await?;
    let mut data = Vec::new();
    for job in rest.by_ref().take(limit) {
        match told(&farm, job, &models).await {
            Ok(video) => data.push(video),
            // It has been forgotten meanwhile.
            Err(gone) if gone.is_not_found() => {}
            Err(other) => return Err(other),
        }
    }
    let name = |video: Option<&Told>| video.map(|video| video.id.clone());
    let (first_id, last_id) = (name(data.first()), name(data.last()));
    Ok(Json(List { object: "list", data, first_id, last_id, has_more: rest.next().is_some() }))
}

/// A video.
#[utoipa::path(
    get,
    path = "/v1/videos/{video}",
    tag = "openai",
    params(
        ("video" = String, Path, description = "The video, as `video_17`"),
    ),
    responses((status = 200, description = "The video", body = Told)),
)]
async fn one(State(farm): State<FarmService>, VideoName(job): VideoName) -> Answer<Json<Told>> {
    let line = single(&farm, job).await?;
    Ok(Json(told(&farm, line, &farm.models().await?).await?))
}

/// Which of its files.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Variant {
    /// `video`, or `spritesheet`: the contact sheet, of videos that have one.
    #[serde(default)]
    variant: Variants,
}

#[derive(Deserialize, ToSchema, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
#[schema(as = OpenAiVariant)]
enum Variants {
    #[default]
    Video,
    Spritesheet,
}

/// The file of a video that is done.
#[utoipa::path(
    get,
    path = "/v1/videos/{video}/content",
    tag = "openai",
    params(
        ("video" = String, Path, description = "The video, as `video_17`"),
        Variant,
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "The asker has it"),
        (status = 409, description = "It is not rendered yet"),
        (status = 410, description = "It does not hold what was written any more"),
        (status = 416, description = "It has no such part"),
    ),
)]
async fn content(
    State(farm): State<FarmService>,
    VideoName(job): VideoName,
    Asked(Variant { variant }): Asked<Variant>,
    headers: HeaderMap,
) -> Answer<Response> {
    let line = single(&farm, job).await?;
    if line.done == 0 {
        let why = format!("{} is not rendered, or not yet: its status says which", VideoName(job));
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let ending = match variant {
        Variants::Video => ".mp4",
        Variants::Spritesheet => ".contact.png",
    };
    files::send(&farm, input::Video(job, 0), headers, move |path| path.ends_with(ending)).await
}

#[derive(Serialize, ToSchema)]
#[schema(as = OpenAiVideoDeleted)]
struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// Gives a video up if it is not done, and forgets it. Its files stay.
#[utoipa::path(
    delete,
    path = "/v1/videos/{video}",
    tag = "openai",
    params(
        ("video" = String, Path, description = "The video, as `video_17`"),
    ),
    responses((status = 200, description = "It is forgotten", body = Deleted)),
)]
async fn delete(
    State(farm): State<FarmService>,
    VideoName(job): VideoName,
    Caller(by): Caller,
) -> Answer<Json<Deleted>> {
    single(&farm, job).await?;
    farm.steer_job(job, None, JobVerb::Forget { cancel: true }, &by).await?;
    Ok(Json(Deleted { id: VideoName(job).to_string(), object: "video.deleted", deleted: true }))
}

/// The line of a job of one video.
async fn single(farm: &FarmService, job: JobId) -> Answer<JobSummary> {
    let line = farm.line(job).await?;
    match line.videos {
        1 => Ok(line),
        count => {
            Err(Problem::not_found(format!("job {job} has {count} videos; they are below /api/v1/jobs/{job}/videos")))
        }
    }
}

/// A video as it is told.
async fn told(farm: &FarmService, line: JobSummary, models: &[ModelInfo]) -> Answer<Told> {
    let job = line.job;
    let videos = farm.videos(job).await?;
    let video = videos.first().ok_or_else(|| Problem::not_found(format!("job {job} has no video")))?;
    let asked = farm.asked_for(job, 0).await?;
    let info = models.iter().find(|info| info.name == line.model);
    Ok(Told::new(&line, video, &asked, info))
}
