//! Which idle worker changes what it holds for a ready item, and when that pays.
//!
//! A worker that has something to do with what it holds does that first: it changes when it would idle, when something
//! more important waits, or when nobody at all holds what waits and others hold what it lets go. So each of one machine's
//! experts is loaded about once for a whole batch, and several machines share the stages without being told.

use std::collections::BTreeSet;

use wanfarm_types::{Stage, WorkerId};

use super::board::Board;
use super::lane::Ticket;
use super::place::{Place, has_room, may_run_at_once, may_run_on};
use super::pool::{Candidate, Pool};
use super::residency::Residency;
use super::seat::Seat;
use crate::job::PoolId;
use crate::pace::Slowness;

/// Workers looked at for one load, the fastest first.
const LOOK: usize = 6;

/// Times as long as a load the work that waits must take before a worker leaves other work of equal importance for it.
const WORTH: u64 = 30;

/// Items that make it so while nobody knows how long they take.
const MANY: usize = 4;

/// A worker that should load what an item needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) worker: WorkerId,
    /// It takes nothing out of memory that there is work for, or it should do so in any case.
    pub(super) spares: bool,
}

/// The worker that should load, idle or nearly done, if any should: of those that need let nothing go, else of all, the
/// one that is soonest done with the item.
pub(super) fn find(board: &Board, pool: &Pool, ticket: &Ticket, place: Place) -> Option<Load> {
    let average = pool.speeds.average();
    let has_room = |worker: WorkerId| has_room(board, ticket.lane, worker);
    let is_now = matches!(place, Place::Now);
    // Where so many idle holders have room, one of them takes it.
    let cramped = pool.idle.candidates().take(LOOK).filter(|(_, worker)| !has_room(*worker));
    let idle = pool.idle_without.candidates().chain(cramped);
    let urgency = Some((ticket.priority, ticket.lane.stage));
    let nearly_done = pool.nearly_done_without.iter().take_while(|(follows, ..)| *follows < urgency);
    let nearly_done = nearly_done.map(|&(_, slowness, worker)| (slowness, worker));
    let candidates = idle.filter(|_| is_now).chain(nearly_done.filter(|_| !is_now));
    let seated = candidates.filter_map(|(slowness, worker)| Some((slowness, worker, board.seat_of(worker)?)));
    let mut candidates =
        seated.filter(|(_, worker, seat)| may_run_on(board, pool, ticket, *worker, seat)).take(LOOK).peekable();
    candidates.peek()?;
    let demand = Demand::of(board, pool, ticket);
    let is_served = pool.holders.iter().any(|holder| may_run_at_once(board, pool, ticket, *holder));
    let loads = candidates.filter_map(|(slowness, worker, seat)| {
        let to = Candidate { worker, slowness: slowness.or(average) };
        let memory = seat.residency.as_ref()?;
        if is_served && !demand.gains(pool, ticket, memory, to) {
            return None;
        }
        let lost = lost(board, ticket, memory);
        let spares = lost.is_empty() || !is_served && demand.is_due(board, pool, ticket, memory, to, &lost);
        // What follows from its item on its own may be for what it holds.
        let follows = seat.running.as_ref().and_then(|running| running.follows);
        if !spares && follows.is_some_and(|(priority, _)| priority >= ticket.priority) {
            return None;
        }
        let time = to.slowness.map(|slowness| slowness.time(ticket.cost()));
        let key = (!lost.is_empty(), memory.load_time(ticket.lane.pool()).saturating_add(time.unwrap_or(0)), worker);
        Some((key, Load { worker, spares }))
    });
    loads.min_by_key(|(key, _)| *key).map(|(_, load)| load)
}

/// What a worker keeps beside the role of an item that it loads: what there is most work for.
pub(crate) fn kept(board: &Board, ticket: &Ticket, seat: &Seat) -> Option<BTreeSet<PoolId>> {
    Some(kept_by(board, ticket, seat.residency.as_ref()?))
}

fn kept_by(board: &Board, ticket: &Ticket, memory: &Residency) -> BTreeSet<PoolId> {
    memory.kept(ticket.lane.pool(), ticket.lane.size, |pool| worth(board, pool))
}

/// What is ready, then what will be.
fn worth(board: &Board, pool: PoolId) -> (bool, u128) {
    (board.waiting(pool) > 0, board.pool(pool).map_or(0, |pool| pool.load))
}

/// What a worker would take out of memory though there is work for it.
fn lost(board: &Board, ticket: &Ticket, memory: &Residency) -> Vec<PoolId> {
    let kept = kept_by(board, ticket, memory);
    let lost = memory.wanted().filter(|held| *held != ticket.lane.pool() && !kept.contains(held));
    lost.filter(|pool| worth(board, *pool) > (false, 0)).collect()
}

/// What waits in a pool for items like one.
struct Demand {
    /// Ready items.
    waiting: usize,
    /// Milliseconds until those that hold the weights are through, if their speed is known.
    drain: Option<u64>,
}

impl Demand {
    fn of(board: &Board, pool: &Pool, ticket: &Ticket) -> Self {
        let waiting = board.waiting(ticket.lane.pool());
        // The load does not count texts, which videos share.
        let ready = pool.held_speeds.time(u128::from(ticket.cost()) * waiting as u128);
        Self { waiting, drain: pool.drain().max(ready) }
    }

    /// True when one more worker ends the work of the pool sooner: an item begun there after the load is done before those that
    /// hold the weights would come to it.
    fn gains(&self, pool: &Pool, ticket: &Ticket, memory: &Residency, to: Candidate) -> bool {
        match self.drain.zip(to.slowness) {
            Some((drain, slowness)) => {
                let load = memory.load_time(ticket.lane.pool());
                self.waiting > pool.idle.len() && drain > load.saturating_add(slowness.time(ticket.cost()))
            }
            // Encoding and decoding is soon measured; a video is not soon denoised.
            None => {
                let is_long = !matches!(ticket.lane.stage, Stage::EncodeText | Stage::EncodeImage | Stage::Decode);
                is_long && self.waiting > pool.idle.len()
            }
        }
    }

    /// True when what waits, and nobody holds, is worth so many loads, and nothing is given up for it that nobody else holds.
    fn is_due(
        &self,
        board: &Board,
        pool: &Pool,
        ticket: &Ticket,
        memory: &Residency,
        to: Candidate,
        lost: &[PoolId],
    ) -> bool {
        let is_last = |pool: &PoolId| board.pool(*pool).is_none_or(|pool| pool.holders.len() < 2);
        let load = memory.load_time(ticket.lane.pool()).saturating_mul(WORTH);
        let known = to.slowness.or(pool.speeds.average());
        let all = |slowness: Slowness| slowness.time(ticket.cost()).saturating_mul(self.waiting as u64);
        let is_worth = known.map_or(self.waiting >= MANY, |slowness| all(slowness) >= load);
        is_worth && !lost.iter().any(is_last)
    }
}
