//! What changes, as it changes: a stream of server-sent events.
//!
//! Read `hub` for what is told and `stream` for one listener. Nothing here is asked of the driver once per listener, and
//! nobody waits for one.

mod hub;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::IntoParams;
use wanfarm_server::farm::FarmService;
use wanfarm_types::JobId;

use crate::input::Asked;
use crate::problem::{Answer, Problem};
use hub::Hub;
use stream::Interest;

/// Streams at the same time.
const MAX_STREAMS: usize = 1000;

/// What listeners are told from.
#[derive(Clone)]
struct Source {
    hub: Hub,
    farm: FarmService,
    streams: Arc<Semaphore>,
}

/// The route of events. What is told to all is asked of `farm`, by a task that ends with it.
pub(crate) fn routes(farm: FarmService) -> Router<FarmService> {
    let source = Source { hub: Hub::start(farm.clone()), farm, streams: Arc::new(Semaphore::new(MAX_STREAMS)) };
    Router::new().route("/events", get(listen)).with_state(source)
}

/// What a listener wants to be told.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Of one job.
    job: Option<u64>,
    /// Types, with commas between them.
    #[serde(rename = "type")]
    types: Option<String>,
    /// As the field `Last-Event-ID`, for those who cannot send that.
    last_event_id: Option<u64>,
}

/// What changes, as it changes.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "events",
    params(
        Wanted,
        ("last-event-id" = Option<u64>, Header, description = "The last event that was heard: those since are told again"),
    ),
    responses((status = 200, description = "Server-sent events, without end", body = String, content_type = "text/event-stream")),
)]
async fn listen(State(source): State<Source>, Asked(wanted): Asked<Wanted>, headers: HeaderMap) -> Answer<Response> {
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{MAX_STREAMS} streams are open already"));
    let turn = source.streams.clone().try_acquire_owned().map_err(|_| busy())?;
    let interest = Interest::new(wanted.job.map(JobId), wanted.types.as_deref()).map_err(Problem::bad_request)?;
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.trim().parse().ok());
    let last = last.or(wanted.last_event_id);
    let messages = source.hub.listen().await;
    Ok(stream::respond(source.farm, messages, interest, last, turn).await)
}
