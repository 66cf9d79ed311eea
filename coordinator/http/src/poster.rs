//! What a finished video looks like.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use wanfarm_server::farm::{FarmService, Poster};
use wanfarm_types::JobId;

use crate::content::{PRIVATE, ask_again, is_known};
use crate::input;
use crate::problem::{Answer, Problem};

pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/jobs/{job}/videos/{video}/poster.jpg", get(poster))
}

/// The first frame of a finished video, at most 640 pixels a side. The tag is that of the file it is made of.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/poster.jpg",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses(
        (status = 200, description = "The first frame", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "The asker has it"),
        (status = 410, description = "No file holds it any more"),
    ),
)]
async fn poster(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
    headers: HeaderMap,
) -> Answer<Response> {
    let has = |file: &_| is_known(&headers, &format!("\"{file}\""));
    let (file, mut response) = match farm.poster(job, index, has).await? {
        Poster::Nothing => {
            return Err(Problem::not_found(format!("video {index} of job {job} has no picture, or not yet")));
        }
        Poster::Lost => {
            let why = format!("the files of video {index} of job {job} do not hold what was written any more");
            return Err(Problem::new(StatusCode::GONE, why));
        }
        Poster::Known(file) => (file, StatusCode::NOT_MODIFIED.into_response()),
        Poster::Jpeg(file, jpeg) => (file, ([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response()),
    };
    ask_again(response.headers_mut(), PRIVATE, &format!("\"{file}\""));
    Ok(response)
}
