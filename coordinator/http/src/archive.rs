//! All finished files of a job as one.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use wanfarm_server::farm::FarmService;
use wanfarm_types::JobId;

use crate::content::plain;
use crate::input;
use crate::problem::Answer;

pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/jobs/{job}/archive.zip", get(archive))
}

/// All finished files of a job, by their paths below its output directory, with its report so far, as a zip file that is made
/// while it is sent. A file that is not there as it was written is left out, and named in `MISSING.txt`.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/archive.zip",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
    ),
    responses(
        (status = 200, description = "The archive", body = Vec<u8>, content_type = "application/zip"),
        (status = 409, description = "It has too many files for one"),
        (status = 503, description = "Several are being sent already"),
    ),
)]
async fn archive(State(farm): State<FarmService>, input::Job(job): input::Job) -> Answer<Response> {
    let (name, archive) = farm.archive(job).await?;
    let fields = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.zip\"", plain(&name))),
    ];
    Ok((fields, Body::from_stream(archive)).into_response())
}
