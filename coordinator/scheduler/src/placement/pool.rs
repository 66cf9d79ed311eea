//! The workers of one (model, role), by what can be done with them, and how long they all need for what is left.
//! Deliberately without tickets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{AttemptId, WorkerId};

use super::seat::{Membership, Occupant, Seat, Urgency};
use crate::pace::{Slowness, Speeds};

/// Workers in the order of their speed; those never measured stand before all others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BySpeed(BTreeSet<(Option<Slowness>, WorkerId)>);

/// The workers of one role of one model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pool {
    /// All available ones.
    pub(crate) members: BTreeSet<WorkerId>,
    /// Those of them that hold the weights, or will when the last item given to them has begun.
    pub(crate) holders: BTreeSet<WorkerId>,
    /// How many can let the weights go and load them again.
    pub(crate) elastic: usize,
    /// How fast members are.
    pub(crate) speeds: Speeds,
    /// How fast the holders are together.
    pub(crate) held_speeds: Speeds,
    /// Work of this pool in all videos that go on, from the first stage to the last.
    pub(crate) load: u128,
    /// Holders without an item.
    pub(crate) idle: BySpeed,
    /// Holders without an item for which none was revoked.
    pub(crate) idle_free: BySpeed,
    /// Members without an item that would have to load the weights first.
    pub(crate) idle_without: BySpeed,
    /// Those that run an item of this pool to its end and hold no next one, by their speed if it is known, with the work
    /// that is left of it.
    pub(crate) runners: BTreeMap<(Slowness, WorkerId), u64>,
    /// The same by when they were expected to end.
    pub(crate) ends: BTreeSet<(u64, WorkerId)>,
    /// Those that should fetch a next item, if it is more urgent than the one that follows by itself;
    /// the fastest first.
    pub(crate) nearly_done: BTreeSet<(Option<Urgency>, Option<Slowness>, WorkerId)>,
    /// Those of the others that would have to load the weights first.
    pub(crate) nearly_done_without: BTreeSet<(Option<Urgency>, Option<Slowness>, WorkerId)>,
    /// Items of this pool that are queued on a busy worker.
    pub(crate) queued: BTreeSet<(i32, AttemptId, WorkerId)>,
    /// Queued items of any pool that block a member, least important first, youngest first.
    pub(crate) next_slots: BTreeSet<(i32, Reverse<AttemptId>, WorkerId)>,
    /// Items that members could stop, least important first, youngest first.
    pub(crate) stoppable: BTreeSet<(i32, Reverse<AttemptId>, WorkerId)>,
    /// Members with an item revoked or stopping.
    pub(crate) freeing: BTreeSet<WorkerId>,
    /// Members that decode no more until some of their frames are written.
    pub(crate) full: BTreeSet<WorkerId>,
}

impl BySpeed {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, worker: WorkerId, slowness: Option<Slowness>) -> bool {
        self.0.contains(&(slowness, worker))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, with their speeds: the fastest first, after those never measured.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (Option<Slowness>, WorkerId)> {
        self.0.iter().copied()
    }

    /// All of them.
    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.0.iter().map(|(_, worker)| *worker)
    }

    /// One never measured.
    pub(crate) fn unmeasured(&self, suits: impl Fn(WorkerId) -> bool) -> Option<WorkerId> {
        let unmeasured = self.0.range(..(Some(Slowness::MIN), WorkerId(Default::default())));
        unmeasured.map(|(_, worker)| *worker).find(|worker| suits(*worker))
    }

    /// The fastest that suits. One never measured is taken for an `average` one.
    pub(crate) fn fastest(&self, average: Option<Slowness>, suits: impl Fn(WorkerId) -> bool) -> Option<Candidate> {
        let nobody = WorkerId(Default::default());
        let first = |mut range: std::collections::btree_set::Range<'_, (Option<Slowness>, WorkerId)>| {
            range.find(|(_, worker)| suits(*worker)).copied()
        };
        let known = first(self.0.range((Some(Slowness::MIN), nobody)..));
        let unknown = first(self.0.range(..(Some(Slowness::MIN), nobody)));
        let best = match (known, unknown) {
            (Some(known), Some(unknown)) => {
                if known.0 <= average {
                    known
                } else {
                    unknown
                }
            }
            (known, unknown) => known.or(unknown)?,
        };
        Some(Candidate { worker: best.1, slowness: best.0.or(average) })
    }
}

/// A worker for an item, and how fast it is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) worker: WorkerId,
    pub(crate) slowness: Option<Slowness>,
}

impl Pool {
    /// Milliseconds in which the whole pool could do all of its work, begun or not; `None` while no speed is known.
    pub(crate) fn drain(&self) -> Option<u64> {
        self.held_speeds.time(self.load)
    }

    /// Counts a worker among those of the pool, whatever it does; `elastic`: it can let the weights go.
    pub(super) fn count(&mut self, membership: Membership, worker: WorkerId, elastic: bool, present: bool) {
        let Membership { held, slowness, .. } = membership;
        put(&mut self.members, worker, present);
        let count = |speeds: &mut Speeds| if present { speeds.add(slowness) } else { speeds.remove(slowness) };
        count(&mut self.speeds);
        if held {
            put(&mut self.holders, worker, present);
            count(&mut self.held_speeds);
        }
        if elastic {
            if present { self.elastic += 1 } else { self.elastic -= 1 }
        }
    }

    /// Finds a worker by what it does.
    pub(super) fn index(&mut self, membership: Membership, worker: WorkerId, seat: &Seat, present: bool) {
        let Membership { pool, held, slowness } = membership;
        if seat.is_idle() {
            let idle = if held { &mut self.idle } else { &mut self.idle_without };
            put(&mut idle.0, (slowness, worker), present);
            if held && !seat.awaiting {
                put(&mut self.idle_free.0, (slowness, worker), present);
            }
        }
        if seat.full {
            put(&mut self.full, worker, present);
        }
        let freeing = seat.running.as_ref().is_some_and(|running| running.revoked)
            || seat.next.as_ref().is_some_and(|next| next.revoked);
        if freeing {
            put(&mut self.freeing, worker, present);
        }
        match (&seat.running, &seat.next) {
            (_, Some(next)) if !next.revoked => {
                put(&mut self.next_slots, (next.priority, Reverse(next.attempt), worker), present);
                if next.lane.pool() == pool {
                    put(&mut self.queued, (next.priority, next.attempt, worker), present);
                }
            }
            (Some(running), None) if !running.revoked => {
                if running.nearly_done {
                    let nearly_done = if held { &mut self.nearly_done } else { &mut self.nearly_done_without };
                    put(nearly_done, (running.follows, slowness, worker), present);
                } else if running.can_stop {
                    put(&mut self.stoppable, (running.priority, Reverse(running.attempt), worker), present);
                }
                if let Some(slowness) = slowness.filter(|_| running.lane.pool() == pool) {
                    match present {
                        true => self.runners.insert((slowness, worker), running.work_left()),
                        false => self.runners.remove(&(slowness, worker)),
                    };
                    put(&mut self.ends, (running.ends, worker), present);
                }
            }
            _ => {}
        }
    }
}

impl Pool {
    /// Notes how much is left of the item that a worker runs, where nothing else has changed.
    pub(super) fn note_progress(&mut self, membership: Membership, worker: WorkerId, running: &Occupant) {
        if let Some(left) = membership.slowness.and_then(|slowness| self.runners.get_mut(&(slowness, worker))) {
            *left = running.work_left();
        }
    }
}

fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
