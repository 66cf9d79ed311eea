//! Server-sent events, as every stream of them has it: how one is written, and what keeps a quiet one open.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;

/// How often something is sent even if nothing happens, so that both ends notice when the other is gone.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What is sent then.
pub(crate) const STILL_HERE: &str = ": still here\n\n";
/// The first line of a stream: how soon a browser is to come back, in milliseconds.
pub(crate) const COME_BACK: &str = "retry: 1000\n";

/// An event of a type. Nothing of what is no JSON, which no line told here is.
pub(crate) fn event(name: &str, data: &impl Serialize) -> Option<String> {
    // Always on one line.
    serde_json::to_string(data).ok().map(|data| format!("event: {name}\ndata: {data}\n\n"))
}

/// The answer that sends this stream.
pub(crate) fn respond(lines: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (fields, Body::from_stream(lines)).into_response()
}
