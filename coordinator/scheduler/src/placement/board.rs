//! The snapshot the policy looks at, indexed so that one decision costs a few look-ups however many videos wait.
//! Tickets and seats are put on it whole and replaced whole; the indexes follow. Deliberately without decisions.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{ItemSize, JobId, Stage, WorkerId};

use super::lane::{Lane, Ticket};
use super::pool::Pool;
use super::seat::Seat;
use crate::attempts::Work;
use crate::job::{LaneId, ModelId, PoolId};
use crate::pace::Slowness;

/// Everything the policy may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Board {
    /// Ready items that may wait per worker of the stages behind.
    pub(crate) queue_per_worker: u32,
    /// Milliseconds that moving a running video may cost.
    pub(crate) move_margin: u64,
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
    pub(crate) fn new(queue_per_worker: u32, move_margin: u64) -> Self {
        Self {
            queue_per_worker,
            move_margin,
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
        let LaneId { model, stage, begins, .. } = ticket.lane;
        let lanes = self.lanes.range_mut(sizes(model, stage, begins));
        let stood = lanes.map(|(id, lane)| (*id == ticket.lane, lane.charge(ticket)));
        // A job that waits in several sizes is one job.
        let stood = stood.filter(|(own, _)| *own).map(|(_, stood)| stood).sum::<u64>();
        let clock = self.clocks.entry((ticket.lane.stage, ticket.lane.begins, ticket.priority)).or_default();
        *clock = stood.max(*clock);
    }

    /// Replaces the seat of a worker; `None`: it may be given nothing.
    pub(crate) fn seat(&mut self, worker: WorkerId, seat: Option<Seat>) {
        let Self { seats, pools, .. } = self;
        match (seats.entry(worker), seat) {
            (Entry::Occupied(mut old), Some(seat)) => {
                if old.get().is_indexed_like(&seat) {
                    if let Some(running) = &seat.running
                        && let Some(membership) = seat.memberships.iter().find(|of| of.pool == running.lane.pool())
                        && let Some(pool) = pools.get_mut(&membership.pool)
                    {
                        pool.note_progress(*membership, worker, running);
                    }
                } else {
                    // What a worker does changes with every item, what it can do seldom.
                    let counts = !old.get().counts_like(&seat);
                    index(pools, worker, old.get(), counts, false);
                    index(pools, worker, &seat, counts, true);
                }
                old.insert(seat);
            }
            (Entry::Occupied(old), None) => index(pools, worker, &old.remove(), true, false),
            (Entry::Vacant(free), Some(seat)) => index(pools, worker, free.insert(seat), true, true),
            (Entry::Vacant(_), None) => {}
        }
    }

    /// Counts work that is still to be done in a pool.
    pub(crate) fn add_load(&mut self, pool: PoolId, work: u128) {
        self.pools.entry(pool).or_default().load += work;
    }

    /// Counts work as done, or as not to be done any more.
    pub(crate) fn remove_load(&mut self, pool: PoolId, work: u128) {
        self.pools.entry(pool).or_default().load -= work;
    }

    /// Gives a job back what it was charged for and did not get.
    pub(crate) fn refund(&mut self, lane: LaneId, priority: i32, job: JobId, cost: u64) {
        for (_, lane) in self.lanes.range_mut(sizes(lane.model, lane.stage, lane.begins)) {
            lane.refund(priority, job, cost);
        }
    }

    /// The ready items of a pool.
    pub(crate) fn waiting(&self, pool: PoolId) -> usize {
        self.lanes.iter().filter(|(id, _)| id.pool() == pool).map(|(_, lane)| lane.at_least(i32::MIN)).sum()
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

    /// How fast a worker is in a pool, if that was measured.
    pub(crate) fn slowness(&self, worker: WorkerId, pool: PoolId) -> Option<Slowness> {
        self.seats.get(&worker)?.memberships.iter().find(|membership| membership.pool == pool)?.slowness
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

    /// The lanes of a stage, whatever the size.
    pub(crate) fn lanes_of(&self, model: ModelId, stage: Stage) -> impl Iterator<Item = &Lane> {
        let lanes = [false, true].map(|begins| self.lanes.range(sizes(model, stage, begins)));
        lanes.into_iter().flatten().map(|(_, lane)| lane)
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
}

/// Finds a worker in its pools by what it does, or no more; `counts`: by what it can do as well.
fn index(pools: &mut BTreeMap<PoolId, Pool>, worker: WorkerId, seat: &Seat, counts: bool, present: bool) {
    for membership in seat.memberships.iter() {
        let pool = pools.entry(membership.pool).or_default();
        if counts {
            pool.count(*membership, worker, seat.residency.is_some(), present);
        }
        pool.index(*membership, worker, seat, present);
    }
}

/// The lanes that differ in size alone.
fn sizes(model: ModelId, stage: Stage, begins: bool) -> std::ops::RangeInclusive<LaneId> {
    let [first, last] = [0, u64::MAX].map(|tokens| ItemSize { tokens, frame: tokens, kept: tokens });
    LaneId { model, stage, begins, size: first }..=LaneId { model, stage, begins, size: last }
}
