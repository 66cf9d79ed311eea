//! The end of the work, when few items are left for many workers: which are better not started on a slow worker, and
//! which are better moved to a faster one. Deliberately silent while there is plenty: then every worker counts.
//!
//! The measure of plenty is how long the whole pool would need for all of its work, shared out perfectly. An item that
//! a worker would have done by then holds nobody up, however slow it is.

use wanfarm_types::{AttemptId, Stage, WorkerId};

use super::board::Board;
use super::lane::Ticket;
use super::pool::{Candidate, Pool};
use super::seat::Occupant;
use crate::pace::Slowness;

/// Per cent by which a worker must be faster for a video to be moved to it: more than measurements waver.
const NOTABLY: u64 = 15;

/// Times by which a worker that was never measured may be slower than the average.
const SLOW: u64 = 4;

/// An idle worker that was never measured, while there is so much left to do that it holds nobody up even if it turns
/// out to be slow: in the end, when it counts, all speeds are known.
pub(super) fn unmeasured_worker(pool: &Pool, ticket: &Ticket, suits: impl Fn(WorkerId) -> bool) -> Option<Candidate> {
    if matches!(ticket.lane.stage, Stage::EncodeText | Stage::EncodeImage) {
        return None;
    }
    let worker = pool.idle.unmeasured(suits)?;
    let average = pool.speeds.average()?;
    let work = ticket.step_work.saturating_mul(SLOW);
    (!outlasts(pool, average, ticket.steps.len().max(1), work)).then_some(Candidate { worker, slowness: Some(average) })
}

/// True when an item of `left` pieces, begun now, would still be running when the rest of the pool's work is done.
fn outlasts(pool: &Pool, slowness: Slowness, left: u32, step_work: u64) -> bool {
    pool.drain().is_some_and(|drain| slowness.time(step_work.saturating_mul(u64::from(left))) > drain)
}

/// True when an item had better wait for a faster worker than be given to this idle one: so many of those that now run
/// an item of the pool will be done so soon that each waiting item has its first step behind it sooner there.
/// (A longer wait would not pay: what a slow worker has begun can be moved after a step.) An item without steps cannot be
/// moved and counts whole; a worker that could end several in that time counts as often.
pub(crate) fn is_better_kept(board: &Board, pool: &Pool, ticket: &Ticket, idle: Candidate) -> bool {
    let Some(slowness) = idle.slowness else { return false };
    if matches!(ticket.lane.stage, Stage::EncodeText | Stage::EncodeImage)
        || !outlasts(pool, slowness, ticket.steps.len().max(1), ticket.step_work)
        || pool.has_less_important(ticket.priority)
    {
        return false;
    }
    let here = slowness.time(ticket.step_work);
    let waiting = board.waiting(ticket.lane.pool()) as u64;
    if !ticket.steps.is_empty() && pool.runners.len() < waiting as usize {
        return false;
    }
    let faster = pool.runners.range(..(slowness, WorkerId(Default::default())));
    let mut sooner = faster.map(|((theirs, worker), left)| {
        let before = here.saturating_sub(theirs.time(*left));
        match before {
            0 => 0,
            _ if ticket.avoids.contains_key(worker) => 0,
            before if ticket.steps.is_empty() => before / theirs.time(ticket.step_work).max(1),
            before => u64::from(theirs.time(ticket.step_work) < before),
        }
    });
    // Whether they are enough is known long before all of a large pool were looked at.
    let mut left = waiting;
    left == 0
        || sooner.any(|ends| {
            left = left.saturating_sub(ends);
            left == 0
        })
}

/// True when a queued item had better stay behind the item of a faster worker than be revoked for this idle one.
pub(super) fn is_better_queued(board: &Board, pool: &Pool, next: &Occupant, from: WorkerId, idle: Candidate) -> bool {
    let Some((theirs, slowness)) = board.slowness(from, next.lane.pool()).zip(idle.slowness) else { return false };
    let Some(running) = running(board, from).filter(|running| running.lane.pool() == next.lane.pool()) else {
        return false;
    };
    outlasts(pool, slowness, next.left, next.step_work)
        && time_left(running, theirs) + theirs.time(next.step_work) < slowness.time(next.step_work)
}

/// A running video that would end sooner on an idle worker, by more than the move costs, and that worker.
pub(super) fn move_over(board: &Board) -> Option<(AttemptId, WorkerId)> {
    board.pools().find_map(|(_, pool)| {
        let &(_, last) = pool.ends.last().filter(|_| !pool.idle_free.is_empty())?;
        let rest = |worker, slowness| running(board, worker).map_or(0, |running| time_left(running, slowness));
        let last = board.slowness(last, running(board, last)?.lane.pool()).map(|slowness| rest(last, slowness))?;
        if last <= pool.drain()? {
            return None;
        }
        let to = pool.idle_free.fastest(pool.speeds.average(), |_| true)?;
        let slower = pool.runners.keys().rev().take_while(|(theirs, _)| to.is_faster_than(*theirs));
        let gaining = slower.filter(|(theirs, worker)| {
            running(board, *worker).is_some_and(|running| gains(board, pool, running, *theirs, to))
        });
        let &(_, from) = gaining.max_by_key(|(theirs, worker)| (rest(*worker, *theirs), *worker))?;
        Some((running(board, from)?.attempt, to.worker))
    })
}

/// True when the steps after the one being computed are worth a move.
fn gains(board: &Board, pool: &Pool, running: &Occupant, slowness: Slowness, to: Candidate) -> bool {
    let after = running.step_work.saturating_mul(u64::from(running.left.saturating_sub(1)));
    let there = to.slowness.map_or(u64::MAX, |there| there.time(after));
    running.can_stop
        && running.may_move
        && !running.avoids.contains_key(&to.worker)
        && board.seat_of(to.worker).is_some_and(|seat| seat.has_room(running.lane))
        && outlasts(pool, slowness, running.left, running.step_work)
        && slowness.time(after) > there.saturating_add(board.move_margin)
}

fn running(board: &Board, worker: WorkerId) -> Option<&Occupant> {
    board.seat_of(worker)?.running.as_ref()
}

fn time_left(running: &Occupant, slowness: Slowness) -> u64 {
    slowness.time(running.work_left())
}

impl Candidate {
    fn is_faster_than(&self, other: Slowness) -> bool {
        self.slowness.is_some_and(|own| own.is_faster_than(other, NOTABLY))
    }
}

impl Pool {
    /// True when something less important runs, and could stop for an item of this priority.
    fn has_less_important(&self, priority: i32) -> bool {
        self.stoppable.first().is_some_and(|(of, ..)| *of < priority)
            || self.next_slots.first().is_some_and(|(of, ..)| *of < priority)
    }
}
