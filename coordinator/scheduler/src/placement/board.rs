//! The snapshot the policy looks at, indexed so that one decision costs a few look-ups however many videos wait.
//! Tickets and seats are put on it whole and replaced whole; the indexes follow. Deliberately without decisions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wanfarm_types::{AttemptId, Stage, WorkerId};

use super::lane::{Lane, LaneId, PoolId, Ticket};
use crate::attempts::Work;

/// How urgent: priority, then nearness to the end of the way.
pub(crate) type Urgency = (i32, Stage);

/// A worker that may be given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) pools: Arc<[PoolId]>,
    pub(crate) running: Option<Running>,
    pub(crate) next: Option<Next>,
    /// Idle, and an item was called back for it.
    pub(crate) awaiting: bool,
}

/// What it computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) attempt: AttemptId,
    pub(crate) priority: i32,
    /// Already asked to stop.
    pub(crate) recalled: bool,
    /// It can stop between two steps.
    pub(crate) can_stop: bool,
    /// Time to fetch the inputs of the next item.
    pub(crate) nearly_done: bool,
    /// The item that will follow from this one, if this worker can run it too: it needs no fetching.
    pub(crate) follows: Option<Urgency>,
}

/// What it holds as the next item, not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) attempt: AttemptId,
    pub(crate) priority: i32,
    pub(crate) pool: PoolId,
    pub(crate) avoids: BTreeSet<WorkerId>,
    /// Already called back.
    pub(crate) recalled: bool,
}

/// The workers of one role of one model, by what can be done with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pool {
    /// All available ones.
    pub(crate) members: BTreeSet<WorkerId>,
    /// Those without an item.
    pub(crate) idle: BTreeSet<WorkerId>,
    /// Those without an item for which none was called back.
    pub(crate) idle_free: BTreeSet<WorkerId>,
    /// Those that should fetch a next item, if it is more urgent than the one that follows by itself.
    pub(crate) nearly_done: BTreeSet<(Option<Urgency>, WorkerId)>,
    /// Items of this pool that are queued on a busy worker.
    pub(crate) queued: BTreeSet<(i32, AttemptId, WorkerId)>,
    /// Queued items of any pool that block a member, least important first, youngest first.
    pub(crate) next_slots: BTreeSet<(i32, Reverse<AttemptId>, WorkerId)>,
    /// Items that members could stop, least important first, youngest first.
    pub(crate) stoppable: BTreeSet<(i32, Reverse<AttemptId>, WorkerId)>,
    /// Members with an item called back or stopping.
    pub(crate) freeing: BTreeSet<WorkerId>,
}

/// Everything the policy may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Board {
    /// Ready items that may wait per worker of the stages behind.
    pub(crate) queue_per_worker: u32,
    tickets: BTreeMap<Work, Ticket>,
    /// Those of them that avoid some worker: few.
    avoiding: BTreeSet<Work>,
    seats: BTreeMap<WorkerId, Seat>,
    lanes: BTreeMap<LaneId, Lane>,
    pools: BTreeMap<PoolId, Pool>,
    /// Where the fair share stands, per stage and priority: comparable between models.
    clocks: BTreeMap<(Stage, bool, i32), u64>,
}

impl Board {
    pub(crate) fn new(queue_per_worker: u32) -> Self {
        Self {
            queue_per_worker,
            tickets: BTreeMap::new(),
            avoiding: BTreeSet::new(),
            seats: BTreeMap::new(),
            lanes: BTreeMap::new(),
            pools: BTreeMap::new(),
            clocks: BTreeMap::new(),
        }
    }

    /// Replaces the ticket of `work`; `None` takes it off.
    pub(crate) fn offer(&mut self, work: Work, ticket: Option<Ticket>) {
        if self.tickets.get(&work) == ticket.as_ref() {
            return;
        }
        if let Some(old) = self.tickets.remove(&work) {
            let clock = self.clock(&old);
            self.avoiding.remove(&work);
            if let Some(lane) = self.lanes.get_mut(&old.lane) {
                lane.remove(&old, clock);
            }
        }
        if let Some(ticket) = ticket {
            let clock = self.clock(&ticket);
            if !ticket.avoids.is_empty() {
                self.avoiding.insert(work);
            }
            self.lanes.entry(ticket.lane).or_default().insert(&ticket, clock);
            self.tickets.insert(work, ticket);
        }
    }

    /// Counts a ticket as served in the fair share of its job.
    pub(crate) fn charge(&mut self, work: Work) {
        let Some(ticket) = self.tickets.get(&work) else { return };
        let Some(lane) = self.lanes.get_mut(&ticket.lane) else { return };
        let stood = lane.charge(ticket);
        let clock = self.clocks.entry((ticket.lane.stage, ticket.lane.begins, ticket.priority)).or_default();
        *clock = stood.max(*clock);
    }

    /// Replaces the seat of a worker; `None`: it may be given nothing.
    pub(crate) fn seat(&mut self, worker: WorkerId, seat: Option<Seat>) {
        if self.seats.get(&worker) == seat.as_ref() {
            return;
        }
        if let Some(old) = self.seats.remove(&worker) {
            self.index(worker, &old, false);
        }
        if let Some(seat) = seat {
            self.index(worker, &seat, true);
            self.seats.insert(worker, seat);
        }
    }

    pub(crate) fn ticket(&self, work: Work) -> Option<&Ticket> {
        self.tickets.get(&work)
    }

    /// The tickets that avoid some worker.
    pub(crate) fn avoiding(&self) -> impl Iterator<Item = &Ticket> {
        self.avoiding.iter().filter_map(|work| self.tickets.get(work))
    }

    pub(crate) fn seat_of(&self, worker: WorkerId) -> Option<&Seat> {
        self.seats.get(&worker)
    }

    pub(crate) fn tickets(&self) -> &BTreeMap<Work, Ticket> {
        &self.tickets
    }

    pub(crate) fn seats(&self) -> &BTreeMap<WorkerId, Seat> {
        &self.seats
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.lanes.iter().map(|(&id, lane)| (id, lane))
    }

    pub(crate) fn lane(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.get(&id)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        self.pools.iter().map(|(&id, pool)| (id, pool))
    }

    pub(crate) fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(&id)
    }

    fn clock(&self, ticket: &Ticket) -> u64 {
        self.clocks.get(&(ticket.lane.stage, ticket.lane.begins, ticket.priority)).copied().unwrap_or(0)
    }

    fn index(&mut self, worker: WorkerId, seat: &Seat, present: bool) {
        let idle = seat.running.is_none() && seat.next.is_none();
        let freeing = seat.running.as_ref().is_some_and(|running| running.recalled)
            || seat.next.as_ref().is_some_and(|next| next.recalled);
        for &id in seat.pools.iter() {
            let pool = self.pools.entry(id).or_default();
            put(&mut pool.members, worker, present);
            if idle {
                put(&mut pool.idle, worker, present);
                if !seat.awaiting {
                    put(&mut pool.idle_free, worker, present);
                }
            }
            if freeing {
                put(&mut pool.freeing, worker, present);
            }
            match (&seat.running, &seat.next) {
                (_, Some(next)) if !next.recalled => {
                    put(&mut pool.next_slots, (next.priority, Reverse(next.attempt), worker), present);
                    if next.pool == id {
                        put(&mut pool.queued, (next.priority, next.attempt, worker), present);
                    }
                }
                (Some(running), None) if !running.recalled && running.nearly_done => {
                    put(&mut pool.nearly_done, (running.follows, worker), present);
                }
                (Some(running), None) if !running.recalled && running.can_stop => {
                    put(&mut pool.stoppable, (running.priority, Reverse(running.attempt), worker), present);
                }
                _ => {}
            }
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
