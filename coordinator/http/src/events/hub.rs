//! Asks what has changed, once for all listeners, and hands it to them.
//!
//! Listeners take from a ring of the last changes; one that is slower than the ring is told so and begins anew. While
//! nobody listens, nothing is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{sleep, timeout};
use wanfarm_server::farm::{FarmService, Fresh, Known, Told};
use wanfarm_types::{EventKind, FarmEvent, JobId, VideoStatus};

use crate::sse;

/// Shortest time between two messages: as often as somebody can follow.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Longest time between two.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Messages that a listener may be behind: 16 seconds' worth of both kinds.
const RING: usize = 128;
/// Videos of one job that a message tells one by one; of more, that the job has to be asked for again.
const MAX_VIDEOS: usize = 500;

/// Events that are gathered for one message; a transaction that has more is not divided.
const MAX_EVENTS: usize = 1000;

/// The types of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A job's line.
    Job,
    /// A video's line, with the job it is of.
    Video,
    /// A worker's line.
    Worker,
    /// Something that happened, recorded.
    Event,
    /// What the listener knows has to be asked for again.
    Resync,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Job, Self::Video, Self::Worker, Self::Event, Self::Resync];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Video => "video",
            Self::Worker => "worker",
            Self::Event => "event",
            Self::Resync => "resync",
        }
    }
}

/// One line that is told.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) kind: Kind,
    /// Of which job.
    pub(super) job: Option<JobId>,
    /// Of something that happened, its number and what it is.
    pub(super) event: Option<(u64, EventKind)>,
    /// As it is sent.
    pub(super) text: Bytes,
}

/// What changed at a time.
pub(super) type Message = Arc<[Line]>;

/// Where listeners come to.
#[derive(Debug, Clone)]
pub(super) struct Hub {
    messages: broadcast::WeakSender<Message>,
    joined: Arc<Notify>,
    /// Whether what changes from now on will be told.
    attends: watch::Receiver<bool>,
}

/// What a video's line is told with.
#[derive(Serialize)]
struct VideoLine<'v> {
    job: JobId,
    #[serde(flatten)]
    video: &'v VideoStatus,
}

/// Why something has to be asked for again.
#[derive(Serialize)]
pub(super) struct Resync {
    /// Only of this job; `null`: everything.
    pub(super) job: Option<JobId>,
    pub(super) reason: &'static str,
}

impl Line {
    pub(super) fn new(kind: Kind, job: Option<JobId>, data: &impl Serialize) -> Option<Self> {
        Some(Self { kind, job, event: None, text: sse::event(kind.name(), data)?.into() })
    }

    /// Something that happened. Its number is what a listener that comes back says it has heard.
    pub(super) fn event(event: &FarmEvent) -> Option<Self> {
        let text = format!("id: {}\n{}", event.id, sse::event(Kind::Event.name(), event)?).into();
        Some(Self { kind: Kind::Event, job: event.job, event: Some((event.id, event.kind)), text })
    }
}

impl Hub {
    /// Starts the task that asks; it ends when the coordinator does, and every stream with it.
    pub(super) fn start(farm: FarmService) -> Self {
        let messages = broadcast::Sender::new(RING);
        let (told, attends) = watch::channel(false);
        let hub = Self { messages: messages.downgrade(), joined: Arc::default(), attends };
        tokio::spawn(pass_on(farm.clone(), messages.clone()));
        tokio::spawn(tell(farm, messages, hub.joined.clone(), told));
        hub
    }

    /// Everything that changes after this has returned; nothing when the coordinator stops.
    pub(super) async fn listen(&self) -> Option<broadcast::Receiver<Message>> {
        let messages = self.messages.upgrade()?.subscribe();
        self.joined.notify_one();
        // What is asked for once this has returned must not be older than what is told.
        self.attends.clone().wait_for(|attends| *attends).await.ok()?;
        Some(messages)
    }
}

/// Hands on what is recorded, together what is recorded within a moment.
async fn pass_on(farm: FarmService, messages: broadcast::Sender<Message>) {
    let Ok(mut heard) = farm.hear() else { return };
    // What was missed is told anew of what is kept.
    let resync = || Resync { job: None, reason: "more happened than could be told" };
    let lines = |events: Told| match events.is_empty() {
        true => Line::new(Kind::Resync, None, &resync()).into_iter().collect::<Vec<_>>(),
        false => events.iter().filter_map(Line::event).collect(),
    };
    while let Some(events) = heard.next().await {
        let mut message = lines(events);
        let moment = sleep(TELL_EVERY);
        tokio::pin!(moment);
        while message.len() < MAX_EVENTS {
            tokio::select! {
                biased;
                () = &mut moment => break,
                more = heard.next() => match more {
                    Some(events) => message.extend(lines(events)),
                    None => break,
                },
            }
        }
        // Nobody may listen.
        let _ = messages.send(message.into());
    }
}

async fn tell(
    farm: FarmService,
    messages: broadcast::Sender<Message>,
    joined: Arc<Notify>,
    attends: watch::Sender<bool>,
) {
    let mut changes = farm.changes();
    let mut known = Known::default();
    loop {
        if messages.receiver_count() == 0 {
            attends.send_replace(false);
            // Who came before this was said relies on what is known.
            if messages.receiver_count() == 0 {
                known = Known::default();
                tokio::select! {
                    () = joined.notified() => {}
                    // The coordinator stops.
                    () = changes.ended() => return,
                }
            }
        }
        let Ok(news) = farm.news(known.version()).await else { return };
        // The first news is what everybody asks for who begins to listen.
        let is_first = known.version().is_none();
        let fresh = known.take(news);
        let message = if is_first { Vec::new() } else { lines(fresh) };
        if !message.is_empty() {
            // Nobody may listen any more.
            let _ = messages.send(message.into());
        }
        attends.send_replace(true);
        sleep(TELL_EVERY).await;
        // Not everything about a worker makes a new version.
        if let Ok(Err(_)) = timeout(LOOK_EVERY, changes.wait()).await {
            return;
        }
    }
}

/// What is new, as lines.
fn lines(fresh: Fresh) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut resync = |job, reason| lines.extend(Line::new(Kind::Resync, job, &Resync { job, reason }));
    fresh.forgotten_jobs.iter().for_each(|job| resync(Some(*job), "the job was forgotten"));
    if !fresh.forgotten_workers.is_empty() {
        resync(None, "a worker was forgotten");
    }
    lines.extend(fresh.jobs.iter().filter_map(|job| Line::new(Kind::Job, Some(job.job), job)));
    for (job, videos) in fresh.videos {
        if videos.len() > MAX_VIDEOS {
            let reason = "many of its videos have changed";
            lines.extend(Line::new(Kind::Resync, Some(job), &Resync { job: Some(job), reason }));
            continue;
        }
        lines.extend(videos.iter().filter_map(|video| Line::new(Kind::Video, Some(job), &VideoLine { job, video })));
    }
    lines.extend(fresh.workers.iter().filter_map(|worker| Line::new(Kind::Worker, None, worker)));
    lines
}
