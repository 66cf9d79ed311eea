//! The connection to the coordinator: dialled, welcomed, kept alive, and dialled again for ever. Not what is sent over
//! it (`assignments`).

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, Sleep, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use wanfarm_identity::Farm;
use wanfarm_proto::dial::Target;
use wanfarm_proto::tensors::root_cause;
use wanfarm_proto::v1::dispatch_client::DispatchClient;
use wanfarm_proto::{MAX_MESSAGE_BYTES, v1};
use wanfarm_types::{Backoff, CoordinatorMessage, Errand, Hello, WorkerMessage};

use crate::WorkerError;
use crate::log::{Log, Teller};

/// How long the coordinator may take to accept the connection, and then to answer the hello.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection on which nothing is heard for this long, and then no answer for as long again, is cut.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Messages that may wait for the network. Reports wait in `assignments`, where the newer replace the older.
const OUTGOING: usize = 16;
/// After how many tries in vain the coordinator is listened for elsewhere, and how long at a time.
const BEFORE_SEARCH: u32 = 3;
const SEARCH: Duration = Duration::from_secs(5);
/// Between two tries to attach.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// What the link has to say.
#[derive(Debug)]
pub(crate) enum Event {
    /// The coordinator said welcome.
    Attached,
    /// An order came.
    Order(Box<CoordinatorMessage>),
    /// The coordinator wants a tensor that this worker made.
    Wanted(Errand),
    /// The connection is gone, for this reason; it will be dialled again.
    Lost(String),
    /// The coordinator does not want this worker.
    Refused(String),
    /// The coordinator wants this worker under another id, for this reason; it will be dialled again.
    Mistaken(String),
    /// The coordinator needs nothing more of this worker, which is drained.
    Leave,
    /// A heartbeat went out. If messages had to wait, there may be room again.
    Beat,
}

/// What is dialled, and what is told there beside the work.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) farm: Option<Farm>,
    pub(crate) log: Log,
}

#[derive(Debug)]
pub(crate) struct Link {
    target: Target,
    /// What this worker shows of itself: what the coordinator vouches for.
    farm: Option<Farm>,
    /// Where this worker's tensor service listens.
    tensors: SocketAddr,
    log: Teller,
    failures: u32,
    state: LinkState,
    /// The coordinator is listened for meanwhile.
    search: Option<JoinHandle<Option<String>>>,
}

enum LinkState {
    Pausing(Pin<Box<Sleep>>),
    Dialling(BoxFuture<'static, Result<Box<Session>, DialError>>),
    Attached(Box<Session>),
}

struct Session {
    outgoing: mpsc::Sender<WorkerMessage>,
    incoming: Streaming<v1::Frame>,
    heartbeat: Interval,
    wants_log: bool,
    /// How others know this worker, until it shows that.
    certificate: Option<String>,
}

enum DialError {
    Lost(String),
    Refused { reason: String, take_new_identity: bool },
}

/// How the coordinator is dialled.
fn endpoint(target: &Target) -> Result<Endpoint, String> {
    let endpoint = target.endpoint().map_err(|error| root_cause(&error))?;
    Ok(endpoint
        .connect_timeout(ATTACH_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true))
}

impl Link {
    /// `tensors`: where this worker's tensor service listens.
    pub(crate) fn new(Dial { target, farm, log }: Dial, tensors: SocketAddr) -> Self {
        let state = LinkState::Pausing(Box::pin(sleep(Duration::ZERO)));
        Self { target, farm, tensors, log: Teller::new(log), failures: 0, state, search: None }
    }

    /// What is dialled.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Another connection there, dialled when it is needed.
    ///
    /// # Errors
    /// When its address is none.
    pub(crate) fn channel(&self) -> Result<Channel, WorkerError> {
        let endpoint = endpoint(&self.target).map_err(|why| {
            WorkerError::Settings(format!("--coordinator {}: {why}; write it as HOST:PORT", self.target))
        })?;
        Ok(self.target.way().connect_lazy(&endpoint))
    }

    /// How the others of the farm know this worker from now on.
    fn show(&self, certificate: &str) {
        if let Some(farm) = &self.farm
            && let Err(error) = farm.credentials.show(certificate)
        {
            tracing::warn!(%error, "the coordinator sent a certificate that is none");
        }
    }

    /// Goes on until there is something to say. Safe to drop and call again: nothing is lost in between.
    /// `hello` is asked for whenever the coordinator is dialled.
    pub(crate) async fn next(&mut self, hello: impl Fn() -> Hello) -> Event {
        loop {
            match &mut self.state {
                LinkState::Pausing(pause) => {
                    pause.await;
                    self.follow().await;
                    let dial = dial(self.target.clone(), hello(), self.tensors);
                    self.state = LinkState::Dialling(dial.boxed());
                }
                LinkState::Dialling(dialling) => match dialling.await {
                    Ok(mut session) => {
                        session.certificate.take().iter().for_each(|certificate| self.show(certificate));
                        self.failures = 0;
                        self.log.begin_anew();
                        self.state = LinkState::Attached(session);
                        return Event::Attached;
                    }
                    Err(DialError::Lost(reason)) => return self.lost(reason),
                    Err(DialError::Refused { reason, take_new_identity }) => {
                        return self.refused(reason, take_new_identity);
                    }
                },
                LinkState::Attached(session) => {
                    let frame = tokio::select! {
                        frame = session.incoming.message() => frame,
                        _ = session.heartbeat.tick() => {
                            // With the queue full, what waits there shows as well as a heartbeat that we live.
                            let _ = session.outgoing.try_send(WorkerMessage::Heartbeat);
                            return Event::Beat;
                        }
                        () = self.log.due(), if session.wants_log => {
                            // Lines wait where anything else does.
                            match session.outgoing.capacity() > OUTGOING / 2 {
                                true => drop(session.outgoing.try_send(self.log.take())),
                                false => self.log.wait(),
                            }
                            continue;
                        }
                    };
                    let frame = match frame {
                        Ok(Some(frame)) => frame,
                        Ok(None) => return self.lost("the coordinator closed the connection".to_owned()),
                        Err(status) => return self.lost(status.message().to_owned()),
                    };
                    return match frame.read() {
                        Ok(CoordinatorMessage::Refused { reason, take_new_identity }) => {
                            self.refused(reason, take_new_identity)
                        }
                        Ok(CoordinatorMessage::Certificate(certificate)) => {
                            self.show(&certificate);
                            continue;
                        }
                        Ok(CoordinatorMessage::Leave) => Event::Leave,
                        Ok(CoordinatorMessage::Send(errand)) => Event::Wanted(errand),
                        Ok(order) => Event::Order(Box::new(order)),
                        Err(error) => self.lost(format!("the coordinator sent what means nothing here: {error}")),
                    };
                }
            }
        }
    }

    /// Dials elsewhere from now on, if the coordinator has said on this network that it has moved. Listens for that while it does not
    /// answer where it was.
    async fn follow(&mut self) {
        let Some(farm) = &self.farm else { return };
        match self.search.take_if(|search| search.is_finished()) {
            Some(search) => {
                if let Ok(Some(found)) = search.await
                    && found != self.target.address()
                {
                    tracing::info!(coordinator = found, "the coordinator is found on the network");
                    self.target = Target::new(&found, self.target.way().clone());
                }
            }
            None if self.search.is_none() && self.failures >= BEFORE_SEARCH => {
                let authority = farm.authority;
                // Where nothing can be heard, it is dialled where it was.
                let search = move || wanfarm_discovery::find(&authority, SEARCH).ok().flatten();
                self.search = Some(tokio::task::spawn_blocking(search));
            }
            None => {}
        }
    }

    /// True when a message would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        matches!(&self.state, LinkState::Attached(session) if session.outgoing.capacity() > 0)
    }

    /// Hands a message to the connection; without one it is gone.
    pub(crate) fn send(&self, message: WorkerMessage) {
        if let LinkState::Attached(session) = &self.state {
            let _ = session.outgoing.try_send(message);
        }
    }

    /// Says goodbye, and waits for the coordinator to have heard it.
    pub(crate) async fn close(self, reason: &str) {
        if let LinkState::Attached(session) = self.state {
            let Session { outgoing, mut incoming, .. } = *session;
            let goodbye = WorkerMessage::Goodbye { reason: reason.to_owned() };
            if outgoing.send(goodbye).await.is_ok() {
                drop(outgoing);
                while let Ok(Some(_)) = incoming.message().await {}
            }
        }
    }

    fn refused(&mut self, reason: String, take_new_identity: bool) -> Event {
        self.lost(String::new());
        if take_new_identity { Event::Mistaken(reason) } else { Event::Refused(reason) }
    }

    fn lost(&mut self, reason: String) -> Event {
        self.state = LinkState::Pausing(Box::pin(sleep(pause(self.failures, rand::random()))));
        self.failures = self.failures.saturating_add(1);
        Event::Lost(reason)
    }
}

impl std::fmt::Debug for LinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LinkState::Pausing(_) => "Pausing",
            LinkState::Dialling(_) => "Dialling",
            LinkState::Attached(_) => "Attached",
        })
    }
}

/// Less up to half of the pause by `jitter` in 0..1, so that a farm does not return as one.
fn pause(failures: u32, jitter: f64) -> Duration {
    BACKOFF.pause(failures).mul_f64(1.0 - 0.5 * jitter)
}

async fn dial(target: Target, mut hello: Hello, tensors: SocketAddr) -> Result<Box<Session>, DialError> {
    let lost = |what: &str, why: String| DialError::Lost(format!("{what}: {why}"));
    if hello.tensor_address.is_empty() {
        // If that is every interface, the coordinator fills in the one it sees.
        hello.tensor_address = tensors.to_string();
    }
    let endpoint = endpoint(&target).map_err(|why| lost("cannot connect", why))?;
    let channel = target.way().connect(&endpoint).await.map_err(|error| lost("cannot connect", root_cause(&error)))?;
    let mut client = DispatchClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (outgoing, messages) = mpsc::channel(OUTGOING);
    let messages = ReceiverStream::new(messages).map(|message: WorkerMessage| v1::Frame::of(&message));
    let frames = futures::stream::iter([v1::Frame::of(&hello)]).chain(messages);
    let answer = async {
        let mut incoming = client.attach(frames).await?.into_inner();
        let first = incoming.message().await?;
        Ok::<_, tonic::Status>((incoming, first))
    };
    let answer = tokio::time::timeout(ATTACH_TIMEOUT, answer).await;
    let answer =
        answer.map_err(|_| lost("no answer to the hello", format!("within {} s", ATTACH_TIMEOUT.as_secs())))?;
    let (incoming, first) = answer.map_err(|status| match status.code() {
        // It would say the same again.
        Code::Unauthenticated | Code::PermissionDenied => {
            DialError::Refused { reason: status.message().to_owned(), take_new_identity: false }
        }
        _ => lost("no answer to the hello", status.message().to_owned()),
    })?;
    match first.map(|frame| frame.read()) {
        Some(Ok(CoordinatorMessage::Welcome { heartbeat_milliseconds, wants_log, certificate, .. })) => {
            let period = Duration::from_millis(u64::from(heartbeat_milliseconds.max(10)));
            let mut heartbeat = tokio::time::interval(period);
            heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Ok(Box::new(Session { outgoing, incoming, heartbeat, wants_log, certificate }))
        }
        Some(Ok(CoordinatorMessage::Refused { reason, take_new_identity })) => {
            Err(DialError::Refused { reason, take_new_identity })
        }
        _ => Err(lost("no answer to the hello", "something else came instead".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        assert_eq!(pause(0, 0.0), Duration::from_millis(200));
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs_f64(7.5));
    }
}
