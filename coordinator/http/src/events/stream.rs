//! One listener: is told what it has missed, then takes from the ring what it is interested in, as fast as its connection
//! does.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Bytes;
use axum::response::Response;
use futures::Stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use wanfarm_server::farm::FarmService;
use wanfarm_server::store::{Asked, Start};
use wanfarm_types::{EventKind, JobId};

use super::hub::{Kind, Line, Message, Resync};
use crate::sse;

/// Events that are read at a time of those that were missed.
const PAGE: u32 = 500;

/// What a listener wants to be told.
#[derive(Debug, Clone)]
pub(super) struct Interest {
    job: Option<JobId>,
    kinds: Vec<Kind>,
    /// Of what happened, only this; `None`: all.
    events: Option<Vec<EventKind>>,
}

impl Interest {
    /// Reads types with commas between them, those of lines and those of events; none are all of them.
    ///
    /// # Errors
    /// A type that there is none of.
    pub(super) fn new(job: Option<JobId>, types: Option<&str>) -> Result<Self, String> {
        let Some(types) = types else { return Ok(Self { job, kinds: Kind::ALL.to_vec(), events: None }) };
        let (mut kinds, mut events) = (Vec::new(), Vec::new());
        for name in types.split(',').map(str::trim) {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let event = EventKind::ALL.iter().find(|event| event.name() == name);
            if kind.is_none() && event.is_none() {
                let known =
                    Kind::ALL.iter().map(|kind| kind.name()).chain(EventKind::ALL.iter().map(|kind| kind.name()));
                return Err(format!("type: {name:?} is none of {}", known.collect::<Vec<_>>().join(", ")));
            }
            kinds.extend(kind);
            events.extend(event.copied());
        }
        let all = kinds.contains(&Kind::Event);
        if !events.is_empty() {
            kinds.push(Kind::Event);
        }
        Ok(Self { job, kinds, events: (!all).then_some(events) })
    }

    /// Workers are of no job.
    fn wants(&self, line: &Line) -> bool {
        let of_job = self.job.is_none() || line.job.is_none() || line.job == self.job;
        let events = self.events.as_ref();
        let is_meant = line.event.is_none_or(|(_, kind)| events.is_none_or(|events| events.contains(&kind)));
        of_job && is_meant && (line.kind == Kind::Resync || self.kinds.contains(&line.kind))
    }
}

/// The first thing a listener hears: from now on it is told what changes, so that what it asks for now stays right.
#[derive(Serialize)]
struct Hello {
    version: &'static str,
    /// The number of the last event before this; `null`: there was none.
    last_event: Option<u64>,
}

/// A listener, and what it has been told.
struct Listener {
    farm: FarmService,
    /// `None` once it has been told for the last time.
    messages: Option<Receiver<Message>>,
    interest: Interest,
    /// What is sent next.
    ready: VecDeque<Bytes>,
    /// The last event that it knows, while it is told what it has missed.
    missed_since: Option<u64>,
    /// Events up to this one it has been told.
    told: u64,
    _turn: OwnedSemaphorePermit,
}

/// The stream of one listener, which has heard events up to `last`. It ends when the coordinator does, or when the listener is too
/// slow.
pub(super) async fn respond(
    farm: FarmService,
    messages: Option<Receiver<Message>>,
    interest: Interest,
    last: Option<u64>,
    turn: OwnedSemaphorePermit,
) -> Response {
    let kept = farm.events_kept().await.ok().flatten();
    let hello = Hello { version: env!("CARGO_PKG_VERSION"), last_event: kept.map(|(_, newest)| newest) };
    let hello = sse::event("hello", &hello).unwrap_or_default();
    let mut ready = VecDeque::from([Bytes::from(format!("{}{hello}", sse::COME_BACK))]);
    let (oldest, newest) = kept.unwrap_or_default();
    let is_known = |last: &u64| last.saturating_add(1) >= oldest && *last <= newest;
    if last.is_some_and(|last| !is_known(&last)) {
        let gone = Resync { job: None, reason: "what happened since is not kept any more" };
        ready.extend(Line::new(Kind::Resync, None, &gone).map(|line| line.text));
    }
    let missed_since = last.filter(|last| is_known(last) && interest.kinds.contains(&Kind::Event));
    let listener = Listener { farm, messages, interest, ready, missed_since, told: 0, _turn: turn };
    sse::respond(lines(listener))
}

fn lines(listener: Listener) -> impl Stream<Item = Result<Bytes, Infallible>> {
    futures::stream::unfold(listener, |mut listener| async move {
        let next = listener.next().await?;
        Some((Ok(next), listener))
    })
}

impl Listener {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            if let Some(after) = self.missed_since {
                self.read_missed(after).await;
                continue;
            }
            match timeout(sse::KEEP_ALIVE, self.messages.as_mut()?.recv()).await {
                Err(_) => return Some(Bytes::from_static(sse::STILL_HERE.as_bytes())),
                Ok(Ok(message)) => {
                    let is_new = |line: &&Line| line.event.is_none_or(|(id, _)| id > self.told);
                    let wanted = message.iter().filter(is_new).filter(|line| self.interest.wants(line));
                    let text: Vec<u8> = wanted.flat_map(|line| &line.text).copied().collect();
                    self.ready.extend((!text.is_empty()).then(|| text.into()));
                }
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => self.give_up("the listener is slower than what happens"),
            }
        }
    }

    /// Its last words: it comes back, and asks for everything again.
    fn give_up(&mut self, reason: &'static str) {
        self.messages = None;
        self.ready.extend(Line::new(Kind::Resync, None, &Resync { job: None, reason }).map(|line| line.text));
    }

    /// Some of what happened after an event.
    async fn read_missed(&mut self, after: u64) {
        let asked = Asked { from: Start::After(after), job: self.interest.job, limit: PAGE, ..Asked::default() };
        let Ok(events) = self.farm.events(asked).await else {
            self.missed_since = None;
            return self.give_up("what happened meanwhile cannot be read");
        };
        self.missed_since = events.last().map(|last| last.id).filter(|_| events.len() == PAGE as usize);
        self.told = events.last().map_or(self.told.max(after), |last| last.id);
        let lines = events.iter().filter_map(Line::event).filter(|line| self.interest.wants(line));
        self.ready.extend(lines.map(|line| line.text));
    }
}
