//! The files of finished videos. Only what a video's own row tells of is read, and its digest is its tag: a browser that has
//! a file asks for it again without getting it again, and a player fetches the part that it shows.

use std::io::{self, SeekFrom};
use std::ops::Range;

use axum::body::{Body, Bytes};
use axum::extract::{RawPathParams, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::Stream;
use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use utoipa::ToSchema;
use wanfarm_server::farm::{FarmService, FinishedFile, OutputLine};
use wanfarm_types::{Digest, FileState, JobId};

use crate::content::{PRIVATE, ask_again, content_type, is_known, plain};
use crate::input::{self, Asked};
use crate::page_of::{Next, Turn};
use crate::problem::{Answer, Problem};
use crate::range::{Part, part};

/// Bytes read at a time.
const CHUNK_BYTES: u64 = 256 << 10;

/// The routes of files.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new()
        .route("/jobs/{job}/videos/{video}/video.mp4", get(mp4))
        .route("/jobs/{job}/videos/{video}/video.gif", get(gif))
        .route("/jobs/{job}/videos/{video}/contact.png", get(contact))
        .route("/jobs/{job}/videos/{video}/sidecar.json", get(sidecar))
        .route("/jobs/{job}/videos/{video}/files", get(list))
        .route("/jobs/{job}/videos/{video}/files/{*path}", get(by_path))
}

/// A file of a video, as it was written.
#[derive(Serialize, ToSchema)]
struct OutputFile {
    /// Below the job's output directory, with `/`.
    path: String,
    /// Length in bytes.
    bytes: u64,
    #[schema(value_type = String)]
    blake3: Digest,
    /// What it is now, as far as its length tells.
    state: FileState,
}

#[derive(Serialize, ToSchema)]
struct OutputFiles {
    files: Vec<OutputFile>,
    #[serde(flatten)]
    next: Next,
}

/// The files of a video, each frame among them; none before it is done.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/files",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
        Turn,
    ),
    responses((status = 200, description = "A page of files", body = OutputFiles)),
)]
async fn list(
    State(farm): State<FarmService>,
    input::Video(job, video): input::Video,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<OutputFiles>> {
    let files = farm.files(job, video).await?;
    let (files, next) = turn.page((1..).zip(files), |(place, _)| *place)?;
    let told = |(_, OutputLine { path, bytes, blake3, state })| OutputFile { path, bytes, blake3, state };
    Ok(Json(OutputFiles { files: files.into_iter().map(told).collect(), next }))
}

/// The video.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/video.mp4",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "video/mp4"),
        (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "The asker has it"),
        (status = 410, description = "It does not hold what was written any more"),
        (status = 416, description = "It has no such part"),
    ),
)]
async fn mp4(State(farm): State<FarmService>, video: input::Video, headers: HeaderMap) -> Answer<Response> {
    send(&farm, video, headers, |path| path.ends_with(".mp4")).await
}

/// The video as a GIF.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/video.gif",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "image/gif"),
        (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "image/gif"),
        (status = 304, description = "The asker has it"),
        (status = 410, description = "It does not hold what was written any more"),
        (status = 416, description = "It has no such part"),
    ),
)]
async fn gif(State(farm): State<FarmService>, video: input::Video, headers: HeaderMap) -> Answer<Response> {
    send(&farm, video, headers, |path| path.ends_with(".gif")).await
}

/// Frames of the video on one sheet.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/contact.png",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "image/png"),
        (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "image/png"),
        (status = 304, description = "The asker has it"),
        (status = 410, description = "It does not hold what was written any more"),
        (status = 416, description = "It has no such part"),
    ),
)]
async fn contact(State(farm): State<FarmService>, video: input::Video, headers: HeaderMap) -> Answer<Response> {
    send(&farm, video, headers, |path| path.ends_with(".contact.png")).await
}

/// What the video was made of.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/sidecar.json",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/json"),
        (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "application/json"),
        (status = 304, description = "The asker has it"),
        (status = 410, description = "It does not hold what was written any more"),
        (status = 416, description = "It has no such part"),
    ),
)]
async fn sidecar(State(farm): State<FarmService>, video: input::Video, headers: HeaderMap) -> Answer<Response> {
    send(&farm, video, headers, |path| path.ends_with(".json")).await
}

/// A file by its path below the job's output directory.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{job}/videos/{video}/files/{path}",
    tag = "files",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
        ("path" = String, Path, description = "The path as the sidecar has it, slashes and all"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "*/*"),
        (status = 206, description = "The part asked for", body = Vec<u8>, content_type = "*/*"),
        (status = 304, description = "The asker has it"),
        (status = 410, description = "It does not hold what was written any more"),
        (status = 416, description = "It has no such part"),
    ),
)]
async fn by_path(
    State(farm): State<FarmService>,
    video: input::Video,
    path: RawPathParams,
    headers: HeaderMap,
) -> Answer<Response> {
    let path = path.iter().find(|(name, _)| *name == "path").map_or_else(String::new, |(_, path)| path.to_owned());
    // Compared with what is recorded, so nothing else can be meant, whatever it says.
    send(&farm, video, headers, move |known| known == path).await
}

/// A file of a video that `is_meant`, or the part of it that is asked for.
pub(crate) async fn send(
    farm: &FarmService,
    input::Video(job, index): input::Video,
    headers: HeaderMap,
    is_meant: impl Fn(&str) -> bool + Send + 'static,
) -> Answer<Response> {
    let found = farm.file(job, index, is_meant).await?;
    let Some(file) = found else {
        return Err(Problem::not_found(format!("video {index} of job {job} has no such file, or not yet")));
    };
    let tag = format!("\"{}\"", file.blake3);
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        content(&file, &headers, &tag).await?
    };
    let fields = response.headers_mut();
    ask_again(fields, PRIVATE, &tag);
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(shown) = format!("inline; filename=\"{}\"", plain(&name)).parse() {
        fields.insert(header::CONTENT_DISPOSITION, shown);
    }
    if response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type(&name)));
    }
    Ok(response)
}

/// The part of a file that is asked for.
async fn content(file: &FinishedFile, headers: &HeaderMap, tag: &str) -> Answer<Response> {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A part of another file than the browser has the rest of would be of no use to it.
    let is_same = field(header::IF_RANGE).is_none_or(|known| known == tag);
    let asked = field(header::RANGE).filter(|_| is_same).map_or(Part::Whole, |range| part(range, file.bytes));
    let (status, range) = match asked {
        Part::Whole => (StatusCode::OK, 0..file.bytes),
        Part::Bytes(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::None => {
            let why = format!("the file has {} bytes", file.bytes);
            let all = format!("bytes */{}", file.bytes);
            return Ok(
                ([(header::CONTENT_RANGE, all)], Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, why)).into_response()
            );
        }
    };
    let unreadable = |error: io::Error| {
        let why = format!("the coordinator cannot read {}: {error}", file.path.display());
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    };
    let mut opened = File::open(&file.path).await.map_err(unreadable)?;
    if opened.metadata().await.map_err(unreadable)?.len() != file.bytes {
        let why = format!("{} does not hold what was written any more", file.path.display());
        return Err(Problem::new(StatusCode::GONE, why));
    }
    opened.seek(SeekFrom::Start(range.start)).await.map_err(unreadable)?;
    let length = (header::CONTENT_LENGTH, (range.end - range.start).to_string());
    let place = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| [(header::CONTENT_RANGE, format!("bytes {}-{}/{}", range.start, range.end - 1, file.bytes))]);
    let whole = (status == StatusCode::OK).then_some(file.blake3.0);
    let body = Body::from_stream(chunks(opened, range, whole));
    let response = (status, [length], body).into_response();
    Ok(match place {
        Some(place) => (place, response).into_response(),
        None => response,
    })
}

/// The bytes of a range, read as fast as they are taken. A whole file whose digest is another one than `expected` breaks off before its
/// last chunk, so that nobody takes it for what was written.
fn chunks(file: File, range: Range<u64>, expected: Option<[u8; 32]>) -> impl Stream<Item = io::Result<Bytes>> {
    let start = (file, range.end - range.start, expected, blake3::Hasher::new());
    futures::stream::try_unfold(start, |(mut file, left, expected, mut hasher)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; usize::try_from(left.min(CHUNK_BYTES)).unwrap_or_default()];
        file.read_exact(&mut chunk).await?;
        let left = left - chunk.len() as u64;
        if let Some(expected) = expected {
            hasher.update(&chunk);
            if left == 0 && *hasher.finalize().as_bytes() != expected {
                return Err(io::Error::other("the file holds other bytes than were written"));
            }
        }
        Ok(Some((Bytes::from(chunk), (file, left, expected, hasher))))
    })
}
