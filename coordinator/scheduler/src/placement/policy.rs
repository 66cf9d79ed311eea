//! The policy: board in, one decision out, until there is none. See README.md beside this file.
//! Deliberately a pure function: what a decision changes comes back as another board.

use std::cmp::Reverse;

use wanfarm_types::{AttemptId, Role, Stage, WorkerId};

use super::board::{Board, Pool, Urgency};
use super::lane::{Lane, LaneId, PoolId, Ticket};
use crate::attempts::Work;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Give a ready item to an idle worker.
    Assign { work: Work, worker: WorkerId },
    /// Let a busy worker fetch the inputs of its next item.
    Prefetch { work: Work, worker: WorkerId },
    /// Call a queued item back, because `to` is idle and could start it now.
    TakeBack { attempt: AttemptId, to: WorkerId },
    /// Call a queued item back, or stop a running one, because something more important waits.
    MakeRoom { attempt: AttemptId },
}

/// The next decision, most useful kind first. Later kinds only see what earlier kinds could not place.
pub(crate) fn next_decision(board: &Board) -> Option<Decision> {
    best(board, idle_worker)
        .map(|(work, worker)| Decision::Assign { work, worker })
        .or_else(|| best(board, nearly_done_worker).map(|(work, worker)| Decision::Prefetch { work, worker }))
        .or_else(|| take_back(board))
        .or_else(|| make_room(board))
}

/// The first ready item, over all lanes, for which `find` has a worker.
fn best(board: &Board, find: fn(&Board, &Pool, &Ticket) -> Option<WorkerId>) -> Option<(Work, WorkerId)> {
    let mut best = None;
    for (id, lane) in board.lanes() {
        let Some(pool) = board.pool(id.pool()) else { continue };
        if pool.idle.is_empty() && pool.nearly_done.is_empty() {
            continue;
        }
        let Some((rank, found)) = first_in_lane(board, id, lane, pool, find) else { continue };
        if best.as_ref().is_none_or(|(top, _)| rank > *top) {
            best = Some((rank, found));
        }
    }
    best.map(|(_, found)| found)
}

/// Priority; then nearness to the end; then going on before beginning; then the job that was served less.
type Rank = (Urgency, bool, Reverse<u64>);

fn first_in_lane(
    board: &Board,
    id: LaneId,
    lane: &Lane,
    pool: &Pool,
    find: fn(&Board, &Pool, &Ticket) -> Option<WorkerId>,
) -> Option<(Rank, (Work, WorkerId))> {
    for (priority, served, work) in lane.iter() {
        if is_held_back(board, id, priority) {
            return None;
        }
        let worker = board.ticket(work).and_then(|ticket| find(board, pool, ticket));
        if let Some(worker) = worker {
            return Some((((priority, id.stage), !id.begins, Reverse(served)), (work, worker)));
        }
    }
    None
}

fn idle_worker(_: &Board, pool: &Pool, ticket: &Ticket) -> Option<WorkerId> {
    let holder = ticket.prefers.filter(|worker| pool.idle.contains(worker) && may_run(pool, ticket, *worker));
    holder.or_else(|| pool.idle.iter().copied().find(|&worker| may_run(pool, ticket, worker)))
}

fn nearly_done_worker(board: &Board, pool: &Pool, ticket: &Ticket) -> Option<WorkerId> {
    let urgency = Some((ticket.priority, ticket.lane.stage));
    let suits = |&(follows, worker): &(Option<Urgency>, WorkerId)| {
        follows < urgency && pool.nearly_done.contains(&(follows, worker)) && may_run(pool, ticket, worker)
    };
    let running = |worker| board.seat_of(worker).and_then(|seat| seat.running.as_ref());
    let holder = ticket.prefers.and_then(|worker| Some((running(worker)?.follows, worker)));
    let least_bound = pool.nearly_done.iter().copied().take_while(|(follows, _)| *follows < urgency);
    holder
        .filter(|entry| suits(entry))
        .or_else(|| least_bound.into_iter().find(|entry| suits(entry)))
        .map(|entry| entry.1)
}

/// A worker that an item failed on may have it back only when no other is left.
fn may_run(pool: &Pool, ticket: &Ticket, worker: WorkerId) -> bool {
    !ticket.avoids.contains(&worker) || pool.members.is_subset(&ticket.avoids)
}

/// New videos are not begun while enough items of at least their priority wait in the stages behind.
pub(crate) fn is_held_back(board: &Board, id: LaneId, priority: i32) -> bool {
    if !id.begins {
        return false;
    }
    let behind: &[Stage] = match id.stage {
        Stage::EncodeText | Stage::EncodeImage => &[Stage::DenoiseHigh, Stage::DenoiseLow, Stage::Denoise],
        Stage::DenoiseHigh => &[Stage::DenoiseLow],
        Stage::DenoiseLow | Stage::Denoise => &[Stage::Decode],
        Stage::Decode => return false,
    };
    let lanes = behind.iter().flat_map(|&stage| {
        [false, true].into_iter().filter_map(move |begins| board.lane(LaneId { model: id.model, stage, begins }))
    });
    let waiting: usize = lanes.map(|lane| lane.at_least(priority)).sum();
    let members = |role: Role| board.pool(PoolId { model: id.model, role }).map_or(0, |pool| pool.members.len());
    let workers: usize = behind.iter().map(|stage| members(stage.role())).sum();
    waiting >= workers.max(1).saturating_mul(board.queue_per_worker as usize)
}

fn take_back(board: &Board) -> Option<Decision> {
    for (_, pool) in board.pools() {
        if pool.idle_free.is_empty() {
            continue;
        }
        for &(_, attempt, from) in pool.queued.iter().rev() {
            let Some(next) = board.seat_of(from).and_then(|seat| seat.next.as_ref()) else { continue };
            let to = pool.idle_free.iter().copied().find(|to| !next.avoids.contains(to));
            if let Some(to) = to {
                return Some(Decision::TakeBack { attempt, to });
            }
        }
    }
    None
}

fn make_room(board: &Board) -> Option<Decision> {
    for (id, pool) in board.pools() {
        for slots in [&pool.next_slots, &pool.stoppable] {
            let Some(&(priority, Reverse(attempt), worker)) = slots.first() else { continue };
            if more_important(board, id, pool, worker, priority).nth(pool.freeing.len()).is_some() {
                return Some(Decision::MakeRoom { attempt });
            }
        }
    }
    None
}

/// Ready items of a pool that outrank `priority`, may begin, and may run on `worker`.
fn more_important<'a>(
    board: &'a Board,
    id: PoolId,
    pool: &'a Pool,
    worker: WorkerId,
    priority: i32,
) -> impl Iterator<Item = Work> + 'a {
    let lanes = board.lanes().filter(move |(lane, _)| lane.pool() == id);
    lanes.flat_map(move |(lane_id, lane)| {
        lane.iter()
            .take_while(move |&(of, _, _)| of > priority && !is_held_back(board, lane_id, of))
            .map(|(_, _, work)| work)
            .filter(move |&work| board.ticket(work).is_some_and(|ticket| may_run(pool, ticket, worker)))
    })
}
