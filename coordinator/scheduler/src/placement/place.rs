//! Where an item may go, and where it can run. Deliberately without preferences.

use wanfarm_types::{Stage, WorkerId};

use super::board::Board;
use super::lane::Ticket;
use super::pool::Pool;
use super::seat::Seat;
use crate::job::LaneId;

/// Where an item may go: to an idle worker, or behind the item of one that is nearly done.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Now,
    Next,
}

/// A worker that an item failed on may have it back only when no other is left; and none makes more frames than wait to
/// be written already.
pub(crate) fn may_run(board: &Board, pool: &Pool, ticket: &Ticket, worker: WorkerId) -> bool {
    board.seat_of(worker).is_some_and(|seat| may_run_on(board, pool, ticket, worker, seat))
}

/// The same, of a worker whose seat is at hand.
pub(super) fn may_run_on(board: &Board, pool: &Pool, ticket: &Ticket, worker: WorkerId, seat: &Seat) -> bool {
    seat.fits(ticket.lane) && is_let(board, pool, ticket, worker)
}

/// True when a worker may run an item, and has room for it beside all that it holds.
pub(super) fn may_run_at_once(board: &Board, pool: &Pool, ticket: &Ticket, worker: WorkerId) -> bool {
    // What has room fits.
    has_room(board, ticket.lane, worker) && is_let(board, pool, ticket, worker)
}

/// True when nothing but memory could keep an item from a worker.
fn is_let(board: &Board, pool: &Pool, ticket: &Ticket, worker: WorkerId) -> bool {
    let is_kept_out = ticket.lane.stage == Stage::Decode && pool.full.contains(&worker);
    let against = |worker: &WorkerId| ticket.avoids.get(worker).copied().unwrap_or(0);
    let own = against(&worker);
    let is_no_better = |other: &WorkerId| against(other) >= own || !fits(board, ticket.lane, *other);
    !is_kept_out && (own == 0 || pool.members.iter().all(is_no_better))
}

/// True when there is room for items of a lane on a worker beside all that it holds.
pub(crate) fn has_room(board: &Board, lane: LaneId, worker: WorkerId) -> bool {
    board.seat_of(worker).is_some_and(|seat| seat.has_room(lane))
}

/// True when there is room on a worker that holds nothing else.
pub(super) fn fits(board: &Board, lane: LaneId, worker: WorkerId) -> bool {
    board.seat_of(worker).is_some_and(|seat| seat.fits(lane))
}
