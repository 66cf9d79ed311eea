//! Workers by connection: how to reach each, what it serves, what to show of it.
//!
//! A worker stays on the list when its connection ends: its name is still wanted in sidecars and tables.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use wanfarm_proto::Location;
use wanfarm_scheduler::{Served, WorkerHello};
use wanfarm_types::{
    CoordinatorMessage, Digest, Incarnation, KeyId, ModelFile, Role, ServedModel, ServedRole, StoredWeights, WorkerId,
};

use crate::address::{Address, Ends, Reach};
use crate::catalog::fingerprint;
use crate::dialler::Suspect;
use crate::event::Attached;
use crate::logs::{Logs, SharedLogs};
use crate::outbox::{Outbox, WeakOutbox};
use crate::presence::Presence;
use crate::source::Source;
use crate::times::Moment;

/// Boots of a worker that are remembered, to know them again.
const BOOTS: usize = 8;

/// How long a worker that others had to go round is shown as one that they cannot reach.
const GONE_ROUND: Duration = Duration::from_secs(600);

/// What workers are told when they attach.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Milliseconds between heartbeats.
    pub heartbeat: u32,
    /// Milliseconds after which a silent worker loses its work.
    pub lease: u32,
}

impl Pace {
    /// Four heartbeats to a lease.
    pub fn of_lease(lease: Duration) -> Self {
        let lease = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        Self { heartbeat: lease / 4, lease }
    }
}

/// One worker.
#[derive(Debug)]
pub struct Session {
    connection: u64,
    incarnation: Incarnation,
    name: String,
    /// The version of its program.
    build: String,
    host: String,
    device: String,
    memory_bytes: u64,
    /// `None` of one that has not been here since the start.
    presence: Option<Presence>,
    weights: Vec<StoredWeights>,
    address: Address,
    ends: Ends,
    /// The key of the machine; `None` where nothing is encrypted.
    member: Option<KeyId>,
    /// By which others of the farm know it.
    certificate: Option<String>,
    reach: Reach,
    /// Notified when a read from its address fails.
    doubt: Arc<Notify>,
    /// When another worker could not read from it, though the coordinator can.
    gone_round: Option<Instant>,
    served: Vec<(String, Role)>,
    /// The files of its models.
    files: BTreeSet<Digest>,
    /// Those beside the roles' of each model.
    beside: BTreeMap<String, Vec<ModelFile>>,
    /// Why some of its models are refused, a sentence each.
    passed_over: Vec<String>,
    outbox: Option<Outbox>,
    /// Boots that were attached before this one, the latest last.
    before: Vec<Incarnation>,
}

/// All workers ever seen by this process.
#[derive(Debug)]
pub struct Sessions {
    version: u64,
    sessions: BTreeMap<WorkerId, Session>,
    /// What those that are known here have logged.
    logs: Logs,
    pace: Pace,
}

impl Session {
    /// Opens a session, and makes the hello for the scheduler. `passed_over`: why models were taken out of its hello.
    pub fn open(attached: Attached, passed_over: Vec<String>) -> (WorkerHello, Self) {
        let Attached { connection, hello, build, address, ends, outbox, member, certificate } = attached;
        let (mut serves, mut weights, mut held) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut told = BTreeMap::new();
        for ServedModel { info, roles, beside } in hello.models {
            held.extend(beside.iter().map(|file| file.blake3));
            told.insert(info.name.clone(), beside);
            for ServedRole { role, files, encoding, bytes, footprint } in roles {
                held.extend(files.iter().map(|file| file.blake3));
                serves.push(Served { model: info.name.clone(), role, weights: fingerprint(&files), footprint });
                weights.push(StoredWeights { model: info.name.clone(), role, encoding, bytes });
            }
        }
        let session = Self {
            connection,
            incarnation: hello.incarnation,
            name: hello.name.clone(),
            build,
            host: hello.host,
            device: hello.device,
            memory_bytes: hello.memory_bytes,
            presence: None,
            weights,
            address,
            ends,
            member,
            certificate,
            reach: Reach::Untried,
            doubt: Arc::default(),
            gone_round: None,
            served: serves.iter().map(|served| (served.model.clone(), served.role)).collect(),
            files: held,
            beside: told,
            passed_over,
            outbox: Some(outbox),
            before: Vec::new(),
        };
        let hello = WorkerHello {
            worker: hello.worker,
            incarnation: hello.incarnation,
            name: hello.name,
            serves,
            budget: hello.budget_bytes,
            loaded: hello.loaded,
            running: hello.running,
            holding: hello.holding,
        };
        (hello, session)
    }
}

impl Session {
    fn weak_outbox(&self) -> Option<WeakOutbox> {
        self.outbox.as_ref().map(Outbox::downgrade)
    }

    fn may_be_dialled(&self) -> bool {
        !matches!(self.reach, Reach::Unreached(_))
    }

    fn hidden(&self) -> Option<String> {
        let gone_round = self.gone_round.is_some_and(|at| at.elapsed() < GONE_ROUND);
        let who = match self.reach {
            Reach::Unreached(_) => "others",
            _ if gone_round => "some machines",
            _ => return None,
        };
        Some(match &self.address {
            Address::Unknown => "it gives no address: its results go round by the coordinator".to_owned(),
            address => format!(
                "{who} cannot reach it at {address}: its results go round by the coordinator, which is slower; open the \
                 port or give --advertise"
            ),
        })
    }
}

impl Sessions {
    /// No workers yet.
    pub fn new(pace: Pace) -> Self {
        Self { sessions: BTreeMap::new(), logs: Logs::default(), pace, version: 0 }
    }

    /// What workers log, as long as this is here.
    pub(crate) fn logs(&self) -> SharedLogs {
        self.logs.shared()
    }

    /// Adds a connection, made now; an older one of the same worker is closed by being replaced.
    pub fn insert(&mut self, worker: WorkerId, mut session: Session, now: Moment) {
        let Session { name, build, device, .. } = &session;
        tracing::info!(worker = name, id = %worker, device, version = build, "worker attached");
        session.presence = Some(Presence::begins(now));
        if let Some(old) = self.sessions.remove(&worker) {
            let is_same = old.incarnation == session.incarnation;
            session.presence = old.presence.map(|presence| presence.resumes(now, is_same)).or(session.presence);
            session.before = old.before;
            session.before.push(old.incarnation);
            session.before.retain(|boot| *boot != session.incarnation);
            let surplus = session.before.len().saturating_sub(BOOTS);
            session.before.drain(..surplus);
        }
        self.sessions.insert(worker, session);
        self.logs.open(worker);
        self.version += 1;
    }

    /// Grows with every change of who is connected.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The name of the other process, if two that live have one worker id: a boot that another one has replaced says
    /// hello again while the other is attached. A boot that is dead says nothing again, so an ordinary restart is none.
    pub fn twin(&self, worker: WorkerId, incarnation: Incarnation) -> Option<&str> {
        let session = self.sessions.get(&worker)?;
        let lives = session.outbox.as_ref().is_some_and(|outbox| !outbox.is_closed());
        (lives && session.before.contains(&incarnation)).then_some(&session.name)
    }

    /// A worker from before a restart, which has not attached again.
    pub fn recall(&mut self, worker: WorkerId, name: &str, device: &str) {
        let session = Session {
            connection: 0,
            incarnation: Incarnation(Default::default()),
            name: name.to_owned(),
            build: String::new(),
            host: String::new(),
            device: device.to_owned(),
            memory_bytes: 0,
            presence: None,
            weights: Vec::new(),
            address: Address::Unknown,
            ends: Ends::default(),
            member: None,
            certificate: None,
            reach: Reach::Untried,
            doubt: Arc::default(),
            gone_round: None,
            served: Vec::new(),
            files: BTreeSet::new(),
            beside: BTreeMap::new(),
            passed_over: Vec::new(),
            outbox: None,
            before: Vec::new(),
        };
        self.sessions.insert(worker, session);
        self.logs.open(worker);
    }

    /// Tells a worker at which pace this coordinator works.
    pub fn welcome(&self, worker: WorkerId) {
        let Pace { heartbeat, lease } = self.pace;
        let welcome = CoordinatorMessage::Welcome {
            heartbeat_milliseconds: heartbeat,
            lease_milliseconds: lease,
            wants_log: true,
            certificate: self.sessions.get(&worker).and_then(|session| session.certificate.clone()),
        };
        self.send(worker, welcome);
    }

    /// Queues a message; false when the worker is so far behind that its queue is full.
    /// A message to a worker without a connection is thrown away: re-attachment settles what was missed.
    pub fn send(&self, worker: WorkerId, message: CoordinatorMessage) -> bool {
        let Some(outbox) = self.sessions.get(&worker).and_then(|session| session.outbox.as_ref()) else { return true };
        // A closed queue is a connection that has just ended; the driver is about to hear of it.
        !matches!(outbox.try_send(message), Err(TrySendError::Full(_)))
    }

    /// Closes a worker's connection after what is queued has been sent.
    pub fn close(&mut self, worker: WorkerId) {
        if let Some(session) = self.sessions.get_mut(&worker) {
            session.outbox = None;
            self.version += 1;
            // No connection has this number: whatever the old one still delivers is ignored.
            session.connection = 0;
        }
    }

    /// True when this is the worker's open connection.
    pub fn is_current(&self, worker: WorkerId, connection: u64) -> bool {
        self.sessions.get(&worker).is_some_and(|session| session.connection == connection)
    }

    /// Forgets a worker.
    pub fn remove(&mut self, worker: WorkerId) {
        self.sessions.remove(&worker);
        self.logs.forget(worker);
    }

    /// How many workers that are here have all of these files.
    pub fn holders(&self, files: &[ModelFile]) -> u32 {
        let has_all = |session: &&Session| {
            session.outbox.is_some() && files.iter().all(|file| session.files.contains(&file.blake3))
        };
        self.sessions.values().filter(has_all).count().try_into().unwrap_or(u32::MAX)
    }

    /// The files beside the roles' of a model, as one of those tells that are here and serve it.
    pub fn beside(&self, model: &str) -> Vec<ModelFile> {
        let here = self.sessions.values().filter(|session| session.outbox.is_some());
        here.filter_map(|session| session.beside.get(model))
            .max_by_key(|files| files.len())
            .cloned()
            .unwrap_or_default()
    }

    /// A worker that is here and has this file of a model.
    pub fn holder_of_file(&self, file: &Digest) -> Option<WorkerId> {
        let holds = |(_, session): &(&WorkerId, &Session)| session.outbox.is_some() && session.files.contains(file);
        // Not always the same one.
        let holders: Vec<WorkerId> = self.sessions.iter().filter(holds).map(|(worker, _)| *worker).collect();
        holders.choose(&mut rand::rng()).copied()
    }

    /// The workers of a machine.
    pub fn of_member(&self, key: KeyId) -> Vec<WorkerId> {
        let own = self.sessions.iter().filter(|(_, session)| session.member == Some(key));
        own.map(|(worker, _)| *worker).collect()
    }

    /// Every worker that has ever attached.
    pub fn known(&self) -> impl Iterator<Item = WorkerId> {
        self.sessions.keys().copied()
    }

    /// The boot of the worker that attached last.
    pub fn incarnation(&self, worker: WorkerId) -> Option<Incarnation> {
        self.sessions.get(&worker).map(|session| session.incarnation)
    }

    /// The display name.
    pub fn name(&self, worker: WorkerId) -> &str {
        self.sessions.get(&worker).map_or("", |session| &session.name)
    }

    /// The version of its program; empty when that is not known, as of [`Self::host`].
    pub fn build(&self, worker: WorkerId) -> &str {
        self.sessions.get(&worker).map_or("", |session| &session.build)
    }

    /// What its machine calls itself.
    pub fn host(&self, worker: WorkerId) -> &str {
        self.sessions.get(&worker).map_or("", |session| &session.host)
    }

    /// When it was here, since the start.
    pub(crate) fn presence(&self, worker: WorkerId) -> Option<&Presence> {
        self.sessions.get(&worker)?.presence.as_ref()
    }

    /// As [`Self::presence`], to be told what it does.
    pub(crate) fn presence_mut(&mut self, worker: WorkerId) -> Option<&mut Presence> {
        self.sessions.get_mut(&worker)?.presence.as_mut()
    }

    /// How its weights are stored.
    pub fn weights(&self, worker: WorkerId) -> &[StoredWeights] {
        self.sessions.get(&worker).map_or(&[], |session| &session.weights)
    }

    /// The display name of the device.
    pub fn device(&self, worker: WorkerId) -> &str {
        self.sessions.get(&worker).map_or("", |session| &session.device)
    }

    /// The ways to what a worker holds.
    pub fn source(&self, worker: WorkerId) -> Source {
        let Some(session) = self.sessions.get(&worker) else { return Source::nowhere(worker.to_string()) };
        let Some(outbox) = session.weak_outbox() else { return Source::nowhere(session.name.clone()) };
        let location = session.address.here().filter(|_| session.may_be_dialled());
        Source { name: session.name.clone(), location, outbox, doubt: session.doubt.clone() }
    }

    /// Where the reader reads what the holder holds; `None` where it has to ask the coordinator.
    pub fn location(&self, holder: WorkerId, reader: WorkerId) -> Option<Location> {
        let (holder, reader) = (self.sessions.get(&holder)?, self.sessions.get(&reader)?);
        holder.address.seen_by(reader.ends).filter(|_| holder.may_be_dialled())
    }

    /// Where this worker reads the coordinator's tensors: the address it dialled.
    pub fn coordinator(&self, worker: WorkerId) -> Option<Location> {
        self.sessions.get(&worker)?.ends.local.map(Location::from)
    }

    /// What the dialler needs to dial a worker back.
    pub fn suspect(&self, worker: WorkerId) -> Option<Suspect> {
        let session = self.sessions.get(&worker)?;
        Some(Suspect {
            connection: session.connection,
            worker,
            incarnation: session.incarnation,
            location: session.address.here(),
            outbox: session.weak_outbox()?,
            doubt: session.doubt.clone(),
        })
    }

    /// Records whether a worker answers at its address.
    pub fn dialled_back(&mut self, worker: WorkerId, reach: Reach) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        if session.reach == reach {
            return;
        }
        session.reach = reach;
        match (&session.reach, session.hidden()) {
            (Reach::Unreached(why), Some(hidden)) => tracing::warn!(worker = %session.name, %why, "{hidden}"),
            _ => tracing::info!(worker = %session.name, "others can read from it"),
        }
    }

    /// Records that a reader asked the coordinator for what it could have read from this worker.
    pub fn go_round(&mut self, worker: WorkerId) {
        let Some(session) = self.sessions.get_mut(&worker).filter(|session| session.reach == Reach::Reached) else {
            return;
        };
        let news = session.gone_round.replace(Instant::now()).is_none();
        if let Some(hidden) = session.hidden().filter(|_| news) {
            tracing::warn!(worker = %session.name, "{hidden}");
        }
    }

    /// Why others cannot read from this worker and what to do, if they cannot.
    pub fn hidden(&self, worker: WorkerId) -> Option<String> {
        self.sessions.get(&worker).filter(|session| session.outbox.is_some())?.hidden()
    }

    /// Its address, and whether it is known to be reached by others, or not to be.
    pub fn address(&self, worker: WorkerId) -> (String, Option<bool>) {
        let Some(session) = self.sessions.get(&worker) else { return (String::new(), None) };
        let reachable = match session.reach {
            Reach::Untried => None,
            Reach::Unreached(_) => Some(false),
            Reach::Reached => Some(session.hidden().is_none()),
        };
        (session.address.to_string(), reachable)
    }

    /// What a worker serves, by its last hello.
    pub fn served(&self, worker: WorkerId) -> &[(String, Role)] {
        self.sessions.get(&worker).map_or(&[], |session| &session.served)
    }

    /// Why some of a worker's models are refused, a sentence each.
    pub fn passed_over(&self, worker: WorkerId) -> &[String] {
        self.sessions.get(&worker).map_or(&[], |session| &session.passed_over)
    }

    /// Main memory of its machine in bytes; 0 when it is unknown.
    pub fn memory_bytes(&self, worker: WorkerId) -> u64 {
        self.sessions.get(&worker).map_or(0, |session| session.memory_bytes)
    }

    /// Workers with an open connection.
    pub fn connected(&self) -> impl Iterator<Item = WorkerId> {
        self.sessions.iter().filter(|(_, session)| session.outbox.is_some()).map(|(&worker, _)| worker)
    }
}
