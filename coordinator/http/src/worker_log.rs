//! What a worker logs: its last lines, and those that come.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use wanfarm_server::farm::{FarmService, Follower};
use wanfarm_types::{LogLine, WorkerId};

use crate::input::{self, Asked};
use crate::problem::{Answer, Problem};
use crate::sse;

/// Streams at the same time.
const MAX_STREAMS: usize = 200;
/// Lines that are told where nobody says how many.
const TAIL: u32 = 100;
/// Lines that can be asked for: no more are kept.
const MAX_TAIL: u32 = 1000;

/// The route of logs.
pub(crate) fn routes() -> Router<FarmService> {
    let turns = Arc::new(Semaphore::new(MAX_STREAMS));
    Router::new().route("/workers/{worker}/log", get(log)).layer(Extension(turns))
}

/// What of a log is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// How many of the last lines, 0 to 1000; 100 unless it says so.
    #[param(minimum = 0, maximum = 1000)]
    tail: Option<u32>,
    /// Also those that come, as a stream without end: `event: line` with a line in `data`. Who is slower than the worker is told
    /// in a line how many it has missed.
    #[serde(default, deserialize_with = "input::flag")]
    #[param(value_type = Option<bool>)]
    follow: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WorkerLog)]
struct Log {
    /// Oldest first.
    lines: Vec<LogLine>,
}

/// What a worker logs: its last lines, at most a thousand and 64 KiB of them. They are kept while the coordinator runs and until
/// the worker is forgotten.
#[utoipa::path(
    get,
    path = "/api/v1/workers/{worker}/log",
    tag = "workers",
    params(
        ("worker" = WorkerId, Path, description = "The worker"),
        Wanted,
    ),
    responses((
        status = 200,
        description = "Its last lines",
        content((Log = "application/json"), (String = "text/event-stream")),
    )),
)]
async fn log(
    State(farm): State<FarmService>,
    Extension(turns): Extension<Arc<Semaphore>>,
    input::Worker(worker): input::Worker,
    Asked(Wanted { tail, follow }): Asked<Wanted>,
) -> Answer<Response> {
    let tail = tail.unwrap_or(TAIL);
    if tail > MAX_TAIL {
        return Err(Problem::bad_request(format!("tail: {tail} is not in 0 to {MAX_TAIL}")));
    }
    let tail = tail as usize;
    if !follow {
        return Ok(Json(Log { lines: farm.worker_log(worker, tail)? }).into_response());
    }
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{MAX_STREAMS} logs are followed already"));
    let turn = turns.try_acquire_owned().map_err(|_| busy())?;
    let follower = farm.follow_worker_log(worker, tail)?;
    Ok(sse::respond(events(follower, turn)))
}

/// The events of one listener, which takes from the log as fast as its connection does.
fn events(follower: Follower, turn: OwnedSemaphorePermit) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let first = format!("{}\n", sse::COME_BACK);
    futures::stream::unfold((Some(first), follower, turn), |(first, mut follower, turn)| async move {
        let text = match first {
            Some(first) => first,
            None => match timeout(sse::KEEP_ALIVE, follower.next()).await {
                Ok(lines) => lines?.iter().filter_map(|line| sse::event("line", line)).collect(),
                Err(_) => sse::STILL_HERE.to_owned(),
            },
        };
        Some((Ok(text.into()), (None, follower, turn)))
    })
}
