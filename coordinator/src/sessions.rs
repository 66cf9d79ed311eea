//! Workers by connection: how to reach each, what it serves, what to show of it.
//!
//! A worker stays on the list when its connection ends: its name is still wanted in sidecars and tables.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use wanfarm_proto::v1::{self, coordinator_message::Body};
use wanfarm_scheduler::{Served, WorkerHello};
use wanfarm_types::{Incarnation, Role, WorkerId};

use crate::catalog::fingerprint;
use crate::dispatch::{self, Attached, Outbox};

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
    device: String,
    memory_bytes: u64,
    tensor_url: String,
    coordinator_url: String,
    served: Vec<(String, Role)>,
    outbox: Option<Outbox>,
}

/// All workers ever seen by this process.
#[derive(Debug)]
pub struct Sessions {
    sessions: BTreeMap<WorkerId, Session>,
    pace: Pace,
}

impl Session {
    /// A session, and what the scheduler is told of it.
    pub fn open(attached: Attached) -> (WorkerHello, Self) {
        let mut serves = Vec::new();
        for model in &attached.models {
            for (role, files) in &model.roles {
                let (name, weights) = (model.card.name.clone(), fingerprint(files));
                serves.push(Served { model: name, role: *role, weights });
            }
        }
        let session = Self {
            connection: attached.connection,
            incarnation: attached.incarnation,
            name: attached.name.clone(),
            device: attached.device,
            memory_bytes: attached.memory_bytes,
            tensor_url: attached.tensor_url,
            coordinator_url: attached.coordinator_url,
            served: serves.iter().map(|served| (served.model.clone(), served.role)).collect(),
            outbox: Some(attached.outbox),
        };
        let hello = WorkerHello {
            worker: attached.worker,
            incarnation: attached.incarnation,
            name: attached.name,
            serves,
            running: attached.running,
            holding: attached.holding,
        };
        (hello, session)
    }
}

impl Sessions {
    /// No workers yet.
    pub fn new(pace: Pace) -> Self {
        Self { sessions: BTreeMap::new(), pace }
    }

    /// Takes in a connection; an older one of the same worker is closed by being replaced.
    pub fn insert(&mut self, worker: WorkerId, session: Session) {
        tracing::info!(worker = %session.name, %worker, device = %session.device, "worker attached");
        self.sessions.insert(worker, session);
    }

    /// A worker from before a restart, which has not attached again.
    pub fn recall(&mut self, worker: WorkerId, name: &str, device: &str) {
        let session = Session {
            connection: 0,
            incarnation: Incarnation(Default::default()),
            name: name.to_owned(),
            device: device.to_owned(),
            memory_bytes: 0,
            tensor_url: String::new(),
            coordinator_url: String::new(),
            served: Vec::new(),
            outbox: None,
        };
        self.sessions.insert(worker, session);
    }

    /// Tells a worker at which pace this coordinator works.
    pub fn welcome(&self, worker: WorkerId) {
        let Pace { heartbeat, lease } = self.pace;
        let welcome = v1::Welcome { heartbeat_milliseconds: heartbeat, lease_milliseconds: lease };
        self.send(worker, dispatch::message(Body::Welcome(welcome)));
    }

    /// Queues a message; false when the worker is so far behind that its queue is full.
    /// A message to a worker without a connection is thrown away: re-attachment settles what was missed.
    pub fn send(&self, worker: WorkerId, message: v1::CoordinatorMessage) -> bool {
        let Some(outbox) = self.sessions.get(&worker).and_then(|session| session.outbox.as_ref()) else { return true };
        // A closed queue is a connection that has just ended; the driver is about to hear of it.
        !matches!(outbox.try_send(Ok(message)), Err(TrySendError::Full(_)))
    }

    /// Closes a worker's connection after what is queued has been sent.
    pub fn close(&mut self, worker: WorkerId) {
        if let Some(session) = self.sessions.get_mut(&worker) {
            session.outbox = None;
            // No connection has this number: whatever the old one still delivers is ignored.
            session.connection = 0;
        }
    }

    /// True when this is the worker's open connection.
    pub fn is_current(&self, worker: WorkerId, connection: u64) -> bool {
        self.sessions.get(&worker).is_some_and(|session| session.connection == connection)
    }

    /// True for a worker that has ever attached.
    pub fn knows(&self, worker: WorkerId) -> bool {
        self.sessions.contains_key(&worker)
    }

    /// The boot of the worker that attached last.
    pub fn incarnation(&self, worker: WorkerId) -> Option<Incarnation> {
        self.sessions.get(&worker).map(|session| session.incarnation)
    }

    /// Its name, for people.
    pub fn name(&self, worker: WorkerId) -> &str {
        self.sessions.get(&worker).map_or("", |session| &session.name)
    }

    /// Its device, for people.
    pub fn device(&self, worker: WorkerId) -> &str {
        self.sessions.get(&worker).map_or("", |session| &session.device)
    }

    /// Where its tensors are read; empty when it is unknown.
    pub fn tensor_url(&self, worker: WorkerId) -> String {
        self.sessions.get(&worker).map_or_else(String::new, |session| session.tensor_url.clone())
    }

    /// Where this worker reads the coordinator's tensors.
    pub fn coordinator_url(&self, worker: WorkerId) -> String {
        self.sessions.get(&worker).map_or_else(String::new, |session| session.coordinator_url.clone())
    }

    /// What a worker served when it was last heard of.
    pub fn served(&self, worker: WorkerId) -> &[(String, Role)] {
        self.sessions.get(&worker).map_or(&[], |session| &session.served)
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
