//! One listener: takes from the ring what it is interested in, as fast as its connection does.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use wanfarm_types::JobId;

use super::hub::{Kind, Line, Message, Resync};

/// How often something is sent even if nothing happens, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a browser is to come back, in milliseconds.
const COME_BACK: u32 = 1000;

/// What a listener wants to be told.
#[derive(Debug, Clone)]
pub(super) struct Interest {
    job: Option<JobId>,
    kinds: Vec<Kind>,
}

impl Interest {
    /// Reads types with commas between them; none are all of them.
    ///
    /// # Errors
    /// A type that there is none of.
    pub(super) fn new(job: Option<JobId>, types: Option<&str>) -> Result<Self, String> {
        let kind = |name: &str| {
            let known = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim());
            known.ok_or_else(|| format!("type: {name:?} is none of {}", Kind::ALL.map(Kind::name).join(", ")))
        };
        let kinds = types.map(|types| types.split(',').map(kind).collect()).transpose()?;
        Ok(Self { job, kinds: kinds.unwrap_or_else(|| Kind::ALL.to_vec()) })
    }

    /// Workers are of no job.
    fn wants(&self, line: &Line) -> bool {
        let of_job = self.job.is_none() || line.job.is_none() || line.job == self.job;
        of_job && (line.kind == Kind::Resync || self.kinds.contains(&line.kind))
    }
}

/// The first thing a listener hears: from now on it is told what changes, so that what it asks for now stays right.
#[derive(Serialize)]
struct Hello {
    version: &'static str,
}

/// The stream of one listener. It ends when the coordinator does, or when the listener is too slow.
pub(super) fn respond(messages: Option<Receiver<Message>>, interest: Interest, turn: OwnedSemaphorePermit) -> Response {
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (fields, Body::from_stream(lines(messages, interest, turn))).into_response()
}

fn lines(
    messages: Option<Receiver<Message>>,
    interest: Interest,
    turn: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let hello = serde_json::to_string(&Hello { version: env!("CARGO_PKG_VERSION") }).unwrap_or_default();
    let first = Bytes::from(format!("retry: {COME_BACK}\nevent: hello\ndata: {hello}\n\n"));
    let rest = futures::stream::unfold((messages, interest, turn), |(messages, interest, turn)| async move {
        let mut messages = messages?;
        loop {
            let text = match timeout(KEEP_ALIVE, messages.recv()).await {
                Err(_) => Bytes::from_static(b": still here\n\n"),
                Ok(Ok(message)) => {
                    let wanted = message.iter().filter(|line| interest.wants(line));
                    wanted.flat_map(|line| &line.text).copied().collect::<Vec<u8>>().into()
                }
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => {
                    // Its last words: it comes back, and asks for everything again.
                    let last = Resync { job: None, reason: "the listener is slower than what happens" };
                    return Some((Ok(Line::new(Kind::Resync, None, &last)?.text), (None, interest, turn)));
                }
            };
            if !text.is_empty() {
                return Some((Ok(text), (Some(messages), interest, turn)));
            }
        }
    });
    futures::StreamExt::chain(futures::stream::iter([Ok(first)]), rest)
}
