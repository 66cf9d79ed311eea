//! Traces of what was rendered, for tools that read OpenTelemetry: one for each video that has ended, with a span for each
//! try of a piece of it. Sent by OTLP over HTTP to where the operator says; nothing waits for it, and what cannot be sent for
//! a while is left out.

mod spans;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use prost::Message;
use tokio::time::sleep;
use wanfarm_server::farm::FarmService;
use wanfarm_server::store::AskedAttempts;
use wanfarm_types::{Backoff, EventKind, FarmEvent, JobId};

use crate::reader::Reader;
use crate::wire::{Outcome, Wire};
use spans::Rendered;

/// Tries of a video that are told of.
const MAX_SPANS: u32 = 1000;
/// Pauses between tries to send a trace.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// How often a trace is tried.
const TRIES: u32 = 5;

/// Where traces are sent.
#[derive(Debug, Clone)]
pub struct Collector(Uri);

/// The text is no address of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write the address of a collector that takes OTLP over HTTP, http://collector.studio.example:4318")]
pub struct BadCollector;

impl std::str::FromStr for Collector {
    type Err = BadCollector;

    /// Reads an address, to which `/v1/traces` is added.
    fn from_str(text: &str) -> Result<Self, BadCollector> {
        let uri: Uri = format!("{}/v1/traces", text.trim_end_matches('/')).parse().map_err(|_| BadCollector)?;
        let is_one = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
        if is_one { Ok(Self(uri)) } else { Err(BadCollector) }
    }
}

/// Sends traces of what ends from now on, until the coordinator stops.
pub(crate) async fn send(farm: FarmService, Collector(uri): Collector) {
    let newest = match farm.events_kept().await {
        Ok(newest) => newest,
        Err(why) => {
            tracing::warn!(%uri, %why, "what happened cannot be read: no traces are sent; start the coordinator again");
            return;
        }
    };
    let Ok(mut reader) = Reader::after(farm.clone(), newest.map_or(0, |(_, newest)| newest)) else { return };
    let (wire, mut is_heard) = (Wire::default(), true);
    while let Some(events) = reader.next().await {
        for event in events {
            let ends = [EventKind::VideoDone, EventKind::VideoFailed, EventKind::VideoCancelled].contains(&event.kind);
            let Some((job, video)) = event.job.zip(event.video).filter(|_| ends) else { continue };
            // It may have been forgotten meanwhile.
            let Some(trace) = trace(&farm, job, video, &event).await else { continue };
            match deliver(&wire, &uri, trace).await {
                Ok(()) => is_heard = true,
                Err(why) => {
                    // Said once, and not for every video of a night.
                    if std::mem::replace(&mut is_heard, false) {
                        tracing::warn!(%uri, %why, "traces cannot be sent; those of now are left out");
                    }
                }
            }
        }
    }
}

/// The trace of a video that has ended, as it is sent.
async fn trace(farm: &FarmService, job: JobId, video: u32, event: &FarmEvent) -> Option<Bytes> {
    let line = farm.line(job).await.ok()?;
    let status = Arc::clone(farm.videos(job).await.ok()?.get(video as usize)?);
    let asked = AskedAttempts { job: Some(job), video: Some(video), limit: MAX_SPANS, ..AskedAttempts::default() };
    let attempts = farm.attempts(asked).await.ok()?;
    let rendered = Rendered { job: &line, video: &status, attempts: &attempts, ended: event.at.as_deref() };
    Some(rendered.trace()?.encode_to_vec().into())
}

async fn deliver(wire: &Wire, uri: &Uri, trace: Bytes) -> Result<(), String> {
    let mut failures = 0;
    loop {
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .header(header::USER_AGENT, concat!("wanfarm/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(trace.clone()))
            .map_err(|why| why.to_string())?;
        let (why, wait) = match wire.send(request).await {
            Outcome::Heard => return Ok(()),
            Outcome::Gone => return Err("it answers 410 Gone".to_owned()),
            Outcome::Refused(why) => return Err(why),
            Outcome::Failed(why, wait) => (why, wait),
        };
        failures += 1;
        if failures == TRIES {
            return Err(why);
        }
        sleep(wait.unwrap_or_default().clamp(BACKOFF.pause(failures - 1), Duration::from_secs(30))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_by_http() {
        for good in ["http://10.0.0.7:4318", "https://collector.example/otlp/"] {
            assert!(good.parse::<Collector>().is_ok(), "{good}");
        }
        for bad in ["", "10.0.0.7:4318", "grpc://a:4317", "http://", "http://a?x=y", "http://a b"] {
            assert!(bad.parse::<Collector>().is_err(), "{bad}");
        }
    }
}
