//! Files that manifests name, pictures, clips and LoRA files: given by their digest before the manifest that names them.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::routing::head;
use futures::StreamExt;
use tokio::time::timeout;
use tonic::Status;
use wanfarm_server::farm::FarmService;
use wanfarm_types::MAX_LORA_BYTES;

use crate::input;
use crate::problem::{Answer, Problem};

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// The routes of blobs.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/blobs/{blake3}", head(holds).put(put))
}

/// Whether the coordinator has a file. One that it has stays for an hour, and as long as a job names it.
#[utoipa::path(
    head,
    path = "/api/v1/blobs/{blake3}",
    tag = "blobs",
    params(
        ("blake3" = String, Path, pattern = "^[0-9a-f]{64}$", description = "The BLAKE3 digest of the file"),
    ),
    responses((status = 200, description = "It has the file")),
)]
async fn holds(State(farm): State<FarmService>, input::Blob(blob): input::Blob) -> Answer<StatusCode> {
    match farm.holds_file(blob).await? {
        true => Ok(StatusCode::OK),
        false => Err(Problem::not_found(format!("there is no file {blob}"))),
    }
}

/// Gives the coordinator a picture, a clip or a LoRA file, whose length is announced.
#[utoipa::path(
    put,
    path = "/api/v1/blobs/{blake3}",
    tag = "blobs",
    params(
        ("blake3" = String, Path, pattern = "^[0-9a-f]{64}$", description = "The BLAKE3 digest of the file"),
    ),
    request_body(description = "The file", content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It has the file now"),
        (status = 204, description = "It had the file"),
        (status = 408, description = "The file does not arrive in time"),
        (status = 411, description = "The length is not announced"),
        (status = 507, description = "The disk has no room"),
    ),
)]
async fn put(State(farm): State<FarmService>, input::Blob(blob): input::Blob, request: Request) -> Answer<StatusCode> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes: u64 = announced
        .ok_or_else(|| Problem::new(StatusCode::LENGTH_REQUIRED, "say with Content-Length how many bytes will come"))?;
    if bytes > MAX_LORA_BYTES {
        let why = format!("a file has at most {} GiB", MAX_LORA_BYTES >> 30);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    // One that comes to a stop is given up; what had come is not kept.
    let body = request.into_body().into_data_stream();
    let chunks = futures::stream::try_unfold(body, |mut body| async move {
        match timeout(SILENCE, body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some((chunk, body))),
            Ok(Some(Err(why))) => Err(Status::invalid_argument(format!("the file broke off: {why}"))),
            Err(_) => Err(Status::cancelled("the file does not arrive")),
        }
    });
    match farm.put_file(blob, bytes, chunks).await {
        Ok(true) => Ok(StatusCode::CREATED),
        Ok(false) => Ok(StatusCode::NO_CONTENT),
        Err(status) if status.code() == tonic::Code::Cancelled => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, status.message()))
        }
        Err(status) => Err(status.into()),
    }
}
