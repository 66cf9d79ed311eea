//! A worker as it is known: its session, its lease, what it runs, what it holds, how fast it is.
//! Deliberately without transitions; those are in `scheduler/workers.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wanfarm_types::{AttemptId, Digest, Incarnation, Role, Stage, VideoId, WorkerId};

use crate::attempts::Work;
use crate::job::{ModelId, PoolId};
use crate::pace::{Pace, Slowness, effort};
use crate::placement::{Membership, Residency};
use crate::{Instant, Refusal, SizeClass};

/// How a worker is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Session {
    /// It listens.
    Connected,
    /// Its connection broke, its lease runs: it may be computing.
    Lost,
    /// Dead, said goodbye, silent for too long, or refused for every role.
    Gone,
}

/// A worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Worker {
    pub(crate) incarnation: Incarnation,
    pub(crate) name: String,
    pub(crate) session: Session,
    /// When its silence ends the attempts; present unless it is `Gone`.
    pub(crate) lease: Option<Instant>,
    /// What it serves, with the weights behind it.
    pub(crate) serves: BTreeMap<PoolId, Digest>,
    /// Its memory; `None` where it holds all it serves.
    pub(crate) residency: Option<Arc<Residency>>,
    /// What it serves, holds and how fast it is, shared with the placement board.
    pub(crate) memberships: Arc<[Membership]>,
    /// What it could not load: until when that is not tried again, and how often it failed.
    pub(crate) unloadable: BTreeMap<PoolId, (Instant, u32)>,
    /// The item it computes, or is about to.
    pub(crate) running: Option<AttemptId>,
    /// The item it computes after that.
    pub(crate) next: Option<AttemptId>,
    /// Idle, and this queued item of another worker was revoked for it.
    pub(crate) awaiting: Option<AttemptId>,
    /// Results in its memory, by the attempt that made them.
    pub(crate) held: BTreeMap<AttemptId, Work>,
    /// Bytes of the frames among them that are still to be written, of jobs that go on.
    pub(crate) unwritten: BTreeMap<VideoId, u64>,
    pub(crate) draining: bool,
    /// This boot is to leave once it is drained; one that booted after the drain stays.
    pub(crate) leaves: bool,
    /// Drained, and when it leaves at the latest, whatever it holds.
    pub(crate) leave_by: Option<Instant>,
    pub(crate) set_aside: Option<String>,
    /// The roles that an operator wants it to be given work of; `None`: all that it serves.
    pub(crate) assigned: Option<BTreeSet<Role>>,
    /// Those of them that it gets no work for, because of other weights.
    pub(crate) refused: BTreeMap<PoolId, Refusal>,
    /// Counts arrivals: of two workers the one with the lower number has been there for longer.
    pub(crate) arrival: u64,
    /// Different videos it failed in a role since its last success in that role: a machine whose transformer is broken
    /// may encode texts very well.
    pub(crate) streak: BTreeSet<(Role, VideoId)>,
    /// Seconds per step (or per item of a stage without steps), as measured.
    pub(crate) pace: BTreeMap<(ModelId, Stage, SizeClass), Pace>,
    /// Its speed in each pool, whatever the size, also in pools it does not serve at present.
    pub(crate) speeds: BTreeMap<PoolId, Slowness>,
}

impl Worker {
    pub(crate) fn new(incarnation: Incarnation, name: String) -> Self {
        Self {
            incarnation,
            name,
            session: Session::Gone,
            lease: None,
            serves: BTreeMap::new(),
            residency: None,
            memberships: Arc::from([]),
            unloadable: BTreeMap::new(),
            running: None,
            next: None,
            awaiting: None,
            held: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            draining: false,
            leaves: false,
            leave_by: None,
            set_aside: None,
            assigned: None,
            refused: BTreeMap::new(),
            arrival: 0,
            streak: BTreeSet::new(),
            pace: BTreeMap::new(),
            speeds: BTreeMap::new(),
        }
    }

    /// True when it may be given work.
    pub(crate) fn is_available(&self) -> bool {
        self.session == Session::Connected && !self.draining && self.set_aside.is_none()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.session == Session::Connected
    }

    /// Frees the place of an attempt; the next item moves up, as it does on the worker.
    pub(crate) fn vacate(&mut self, attempt: AttemptId) {
        if self.next == Some(attempt) {
            self.next = None;
        } else if self.running == Some(attempt) {
            self.running = self.next.take();
        }
    }

    /// Sets what it serves.
    pub(crate) fn serve(&mut self, serves: BTreeMap<PoolId, Digest>) {
        self.serves = serves;
        self.note_speeds();
    }

    /// Sets what it gets no work for.
    pub(crate) fn refuse(&mut self, refused: BTreeMap<PoolId, Refusal>) {
        self.refused = refused;
        self.note_speeds();
    }

    /// Sets what it holds.
    pub(crate) fn hold(&mut self, held: BTreeSet<PoolId>) {
        if let Some(memory) = self.residency.as_mut().filter(|memory| *memory.held() != held) {
            Arc::make_mut(memory).hold(held);
            self.note_speeds();
        }
    }

    /// Notes that it has loaded a role, and how fast.
    pub(crate) fn loaded(&mut self, pool: PoolId, seconds: f64) {
        self.unloadable.remove(&pool);
        self.note_speeds();
        let Some(memory) = &mut self.residency else { return };
        let weights = memory.roles.get(&pool).map_or(0, |role| role.weights);
        // A cast of a float saturates.
        let speed = (weights as f64 / (seconds * 1000.0)) as u64;
        if seconds.is_finite() && seconds > 0.0 && speed > 0 && memory.speed != speed {
            Arc::make_mut(memory).speed = speed;
        }
    }

    /// Notes that it could not load a role, which is not tried again until then.
    pub(crate) fn give_up(&mut self, pool: PoolId, until: Instant) {
        let (at, times) = self.unloadable.entry(pool).or_default();
        (*at, *times) = (until, *times + 1);
        self.note_speeds();
    }

    /// What it could not load may be tried again from `now` on.
    pub(crate) fn try_again(&mut self, now: Instant) {
        self.unloadable.values_mut().filter(|(until, _)| *until <= now).for_each(|(until, _)| *until = Instant(0));
        self.note_speeds();
    }

    /// Sets what an operator wants it to be given work of.
    pub(crate) fn assign_roles(&mut self, roles: Option<BTreeSet<Role>>) {
        self.assigned = roles;
        self.note_speeds();
    }

    /// True when it may be given work of a pool.
    pub(crate) fn is_member(&self, pool: PoolId) -> bool {
        self.can_run(pool) && self.assigned.as_ref().is_none_or(|roles| roles.contains(&pool.role))
    }

    /// True when what it makes of a pool is good.
    pub(crate) fn can_run(&self, pool: PoolId) -> bool {
        self.serves.contains_key(&pool) && !self.refused.contains_key(&pool)
    }

    /// True when it was not given up to load the weights of a pool, for the time being.
    fn is_loadable(&self, pool: PoolId) -> bool {
        self.unloadable.get(&pool).is_none_or(|(until, _)| *until == Instant(0))
    }

    /// True when it may be given work of a pool without loading anything.
    pub(crate) fn holds(&self, pool: PoolId) -> bool {
        self.is_member(pool) && self.residency.as_ref().is_none_or(|memory| memory.held().contains(&pool))
    }

    /// True when it is refused in every role it serves.
    pub(crate) fn is_refused(&self) -> bool {
        !self.serves.is_empty() && self.serves.keys().all(|pool| self.refused.contains_key(pool))
    }

    /// Records how long a step (or an item without steps) took; non-finite or non-positive samples are ignored.
    /// True when its speed differs notably from what was known.
    pub(crate) fn measure(&mut self, model: ModelId, stage: Stage, size: SizeClass, seconds: f64) -> bool {
        if !(seconds.is_finite() && seconds > 0.0) {
            return false;
        }
        let pace = self.pace.entry((model, stage, size)).or_default();
        pace.add(seconds);
        // The first frame is encoded by the role that decodes, which is known by how it decodes.
        let Some(seconds) = pace.seconds().filter(|_| stage != Stage::EncodeImage) else { return false };
        let (pool, now) = (PoolId { model, role: stage.role() }, Slowness::new(seconds, effort(stage, size)));
        if self.speeds.get(&pool).is_some_and(|known| known.is_about(now, 2)) {
            return false;
        }
        self.speeds.insert(pool, now);
        self.note_speeds();
        true
    }

    pub(crate) fn slowness(&self, pool: PoolId) -> Option<Slowness> {
        self.speeds.get(&pool).copied()
    }

    /// Brings up to date what the board sees.
    pub(crate) fn note_speeds(&mut self) {
        let membership = |&pool| {
            let slowness = self.speeds.get(&pool).copied();
            Membership { pool, held: self.holds(pool), slowness }
        };
        let pools = self.serves.keys().filter(|pool| self.is_member(**pool) && self.is_loadable(**pool));
        let memberships = pools.map(membership).collect();
        self.memberships = memberships;
        let unwanted = |memory: &Residency| {
            let held = memory.held().iter().copied();
            held.filter(|pool| !self.is_member(*pool)).collect::<BTreeSet<_>>()
        };
        if let Some(unwanted) = self.residency.as_deref().map(unwanted)
            && let Some(memory) = self.residency.as_mut().filter(|memory| memory.unwanted != unwanted)
        {
            Arc::make_mut(memory).unwanted = unwanted;
        }
    }
}

/// For messages to people: the name, or the id of a worker without one.
pub(crate) fn label(id: WorkerId, worker: &Worker) -> String {
    if worker.name.is_empty() { id.to_string() } else { worker.name.clone() }
}
