//! What a video looks like while it is rendered.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use wanfarm_server::farm::FarmService;
use wanfarm_types::JobId;

use crate::content::{PRIVATE, ask_again, is_known};
use crate::input;
use crate::problem::Answer;

pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/jobs/{job}/videos/{video}/preview.gif", get(preview))
}

/// A video as it looks by now: a few small frames of what the solver expects of it. There is none before the first video of its
/// model is done since the coordinator started, and none of a video that has ended.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/preview.gif",
    tag = "videos",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses(
        (status = 200, description = "The preview, of some 40 KiB at most", body = Vec<u8>, content_type = "image/gif"),
        (status = 204, description = "Nothing of it can be shown now"),
        (status = 304, description = "The asker has it"),
    ),
)]
async fn preview(
    State(farm): State<FarmService>,
    input::Video(job, index): input::Video,
    headers: HeaderMap,
) -> Answer<Response> {
    let Some(preview) = farm.preview(job, index).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let tag = format!("\"{}\"", preview.digest);
    let mut response = match is_known(&headers, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "image/gif")], preview.gif).into_response(),
    };
    ask_again(response.headers_mut(), PRIVATE, &tag);
    Ok(response)
}
