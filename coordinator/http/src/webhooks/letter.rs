//! What a target is sent: one event, as Standard Webhooks wraps it.

use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use serde::Serialize;
use wanfarm_types::{EventKind, FarmEvent, WebhookId};

use super::sign::Secret;

#[derive(Serialize)]
struct Body<'e> {
    #[serde(rename = "type")]
    kind: EventKind,
    timestamp: Option<&'e str>,
    data: &'e FarmEvent,
}

/// A request that tells `webhook` of an event, sent at `seconds` since 1970. Its id is the same whenever it is sent again.
///
/// # Errors
/// When there is no such request.
pub(super) fn letter(
    webhook: WebhookId,
    uri: &Uri,
    secret: &Secret,
    event: &FarmEvent,
    seconds: u64,
) -> Result<Request<Full<Bytes>>, String> {
    let body = Body { kind: event.kind, timestamp: event.at.as_deref(), data: event };
    let body = serde_json::to_vec(&body).map_err(|why| why.to_string())?;
    let id = format!("{webhook}.{}", event.id);
    let signature = secret.sign(&id, seconds, &body);
    Request::builder()
        .method(Method::POST)
        .uri(uri.clone())
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::USER_AGENT, concat!("wanfarm/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature)
        .body(Full::new(body.into()))
        .map_err(|why| why.to_string())
}
