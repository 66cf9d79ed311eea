//! The policy: board in, one decision out, until there is none. See README.md beside this file.
//! Deliberately a pure function: what a decision changes comes back as another board.

use std::cmp::Reverse;

use wanfarm_types::{AttemptId, Stage, WorkerId};

use super::board::Board;
use super::lane::{Lane, Ticket};
use super::load;
use super::place::{Place, fits, has_room, may_run, may_run_at_once};
use super::pool::Pool;
use super::tail;
use crate::attempts::Work;
use crate::job::{LaneId, PoolId};
use crate::pace::Slowness;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Give a ready item to an idle worker.
    Assign { work: Work, worker: WorkerId },
    /// Let a busy worker fetch the inputs of its next item.
    Prefetch { work: Work, worker: WorkerId },
    /// Revoke a queued item, because `to` is idle and could start it now.
    Revoke { attempt: AttemptId, to: WorkerId },
    /// Revoke a queued item, or stop a running one, because something more important waits.
    MakeRoom { attempt: AttemptId },
    /// Stop a running item after its step, because `to` is idle and would end it sooner.
    Move { attempt: AttemptId, to: WorkerId },
}

/// The next decision, most useful kind first. Later kinds only see what earlier kinds could not place.
pub(crate) fn next_decision(board: &Board) -> Option<Decision> {
    best(board, Place::Now)
        .map(|(work, worker)| Decision::Assign { work, worker })
        .or_else(|| best(board, Place::Next).map(|(work, worker)| Decision::Prefetch { work, worker }))
        .or_else(|| revoke_queued(board))
        .or_else(|| make_room(board))
        .or_else(|| tail::move_over(board).map(|(attempt, to)| Decision::Move { attempt, to }))
}

/// Priority; then what takes no weights with work left out of memory; nearness to the end; going on before beginning;
/// the job that was served less.
type Rank = (i32, bool, Stage, bool, Reverse<u64>);

/// The first ready item, over all lanes, that has a place.
fn best(board: &Board, place: Place) -> Option<(Work, WorkerId)> {
    let candidates = board.lanes().filter_map(|(id, lane)| first_in_lane(board, id, lane, place));
    let first = candidates.reduce(|best, other| if other.0 > best.0 { other } else { best });
    first.map(|(_, work, worker)| (work, worker))
}

fn first_in_lane(board: &Board, id: LaneId, lane: &Lane, place: Place) -> Option<(Rank, Work, WorkerId)> {
    let pool = board.pool(id.pool())?;
    if !place.has_anybody(pool) {
        return None;
    }
    let rank = |priority, spares, served| (priority, spares, id.stage, !id.begins, Reverse(served));
    let (mut load, mut refused) = (None, None);
    for (priority, served, work) in lane.iter() {
        // What has no place or is held back for this item has none for the less important ones after it.
        let is_open = place.is_open(board, pool, id, priority);
        let is_first = load.is_none();
        if !(is_open || is_first) || is_held_back(board, id, priority) {
            break;
        }
        let Some(ticket) = board.ticket(work) else { continue };
        // For one that differs in nothing that counts there is no place either.
        let alike = Some((priority, ticket.steps.len(), ticket.step_work)).filter(|_| ticket.avoids.is_empty());
        if is_open && (alike.is_none() || alike != refused) {
            if let Some(worker) = place.find(board, pool, ticket) {
                return Some((rank(priority, true, served), work, worker));
            }
            refused = alike;
        }
        // Whom one would be worth a load for, all would be.
        if is_first && ticket.avoids.is_empty() {
            load = Some(
                load::find(board, pool, ticket, place)
                    .map(|load| (rank(priority, load.spares, served), work, load.worker)),
            );
        }
    }
    // But for those that whoever holds the weights has failed on.
    let others = board.avoiding().filter(|ticket| ticket.lane == id);
    let others = others.filter(|ticket| !is_held_back(board, id, ticket.priority)).filter_map(|ticket| {
        let load = load::find(board, pool, ticket, place)?;
        Some((rank(ticket.priority, load.spares, lane.served(ticket)), ticket.work, load.worker))
    });
    load.flatten().into_iter().chain(others).max_by_key(|(rank, ..)| *rank)
}

impl Place {
    /// True when some worker of a pool, whatever it holds, might take an item there.
    fn has_anybody(self, pool: &Pool) -> bool {
        match self {
            Place::Now => !pool.idle.is_empty() || !pool.idle_without.is_empty(),
            Place::Next => !pool.nearly_done.is_empty() || !pool.nearly_done_without.is_empty(),
        }
    }

    /// True when the pool has any such place for an item this urgent.
    fn is_open(self, board: &Board, pool: &Pool, lane: LaneId, priority: i32) -> bool {
        let urgency = (priority, lane.stage);
        let takes = |worker: WorkerId| {
            let is_kept_out = lane.stage == Stage::Decode && pool.full.contains(&worker);
            !is_kept_out && has_room(board, lane, worker)
        };
        match self {
            Place::Now => pool.idle.workers().any(takes),
            Place::Next => {
                let mut free = pool.nearly_done.iter().take_while(|(follows, ..)| *follows < Some(urgency));
                free.any(|(.., worker)| takes(*worker))
            }
        }
    }

    /// The worker for a ticket: the fastest idle one, or one near its end. Among equals the holder of its newest input.
    fn find(self, board: &Board, pool: &Pool, ticket: &Ticket) -> Option<WorkerId> {
        let suits = |worker: WorkerId| may_run_at_once(board, pool, ticket, worker);
        let holder = ticket.prefers.filter(|holder| suits(*holder));
        let slowness = |worker| board.slowness(worker, ticket.lane.pool());
        match self {
            Place::Now => {
                let average = pool.speeds.average();
                let fastest =
                    tail::unmeasured_worker(pool, ticket, suits).or_else(|| pool.idle.fastest(average, suits))?;
                if tail::is_better_kept(board, pool, ticket, fastest) {
                    return None;
                }
                let is_as_good = |holder: &WorkerId| {
                    let theirs = slowness(*holder);
                    pool.idle.contains(*holder, theirs) && is_about(theirs.or(average), fastest.slowness)
                };
                Some(holder.filter(is_as_good).unwrap_or(fastest.worker))
            }
            // What is kept from an idle worker is kept for one that will be idle soon.
            Place::Next if pool.idle.fastest(None, suits).is_some() => None,
            Place::Next => {
                let urgency = Some((ticket.priority, ticket.lane.stage));
                let mut free = pool.nearly_done.iter().take_while(|(follows, ..)| *follows < urgency);
                let &(_, fastest, worker) = free.find(|(.., worker)| suits(*worker))?;
                let follows = |worker| board.seat_of(worker)?.running.as_ref().map(|running| running.follows);
                let is_as_good = |holder: &WorkerId| {
                    let theirs = slowness(*holder);
                    let follows = follows(*holder).filter(|follows| *follows < urgency);
                    follows.is_some_and(|follows| pool.nearly_done.contains(&(follows, theirs, *holder)))
                        && is_about(theirs, fastest)
                };
                Some(holder.filter(is_as_good).unwrap_or(worker))
            }
        }
    }
}

/// Fetching the inputs costs about a hundredth of a step: what is not faster by more than measurements waver is equal.
fn is_about(slowness: Option<Slowness>, fastest: Option<Slowness>) -> bool {
    slowness.zip(fastest).is_none_or(|(slowness, fastest)| slowness.is_about(fastest, 5))
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
    let pools = || behind.iter().filter_map(|stage| board.pool(PoolId { model: id.model, role: stage.role() }));
    // Whoever has to change weights to go on should do it once and not for every video.
    if pools().any(|pool| pool.elastic > 0) {
        return false;
    }
    let waiting: usize =
        behind.iter().flat_map(|&stage| board.lanes_of(id.model, stage)).map(|lane| lane.at_least(priority)).sum();
    let workers: usize = pools().map(|pool| pool.members.len()).sum();
    waiting >= workers.max(1).saturating_mul(board.queue_per_worker as usize)
}

fn revoke_queued(board: &Board) -> Option<Decision> {
    for (_, pool) in board.pools() {
        if pool.idle_free.is_empty() {
            continue;
        }
        for &(_, attempt, from) in pool.queued.iter().rev() {
            let Some(next) = board.seat_of(from).and_then(|seat| seat.next.as_ref()) else { continue };
            let is_full = |to: WorkerId| next.decodes && pool.full.contains(&to);
            let has_room = |to: WorkerId| board.seat_of(to).is_some_and(|seat| seat.has_room(next.lane));
            let suits = |to: WorkerId| !next.avoids.contains_key(&to) && !is_full(to) && has_room(to);
            let to = pool.idle_free.fastest(pool.speeds.average(), suits);
            if let Some(to) = to.filter(|to| !tail::is_better_queued(board, pool, next, from, *to)) {
                return Some(Decision::Revoke { attempt, to: to.worker });
            }
        }
    }
    None
}

fn make_room(board: &Board) -> Option<Decision> {
    let most_urgent = board.lanes().filter_map(|(_, lane)| lane.levels().next()).map(|(priority, _)| priority).max()?;
    for (id, pool) in board.pools() {
        for slots in [&pool.next_slots, &pool.stoppable] {
            let first = slots.first().filter(|(priority, ..)| *priority < most_urgent);
            let Some(&(priority, Reverse(attempt), worker)) = first else { continue };
            if more_important(board, id, pool, worker, priority) > pool.freeing.len() {
                return Some(Decision::MakeRoom { attempt });
            }
        }
    }
    None
}

/// How many ready items of a pool outrank `priority`, may begin, and may run on `worker`.
fn more_important(board: &Board, id: PoolId, pool: &Pool, worker: WorkerId, priority: i32) -> usize {
    let lanes = board.lanes().filter(|(lane, _)| lane.pool() == id);
    let levels = lanes.flat_map(|(lane, waiting)| waiting.levels().map(move |(of, len)| (lane, of, len)));
    let is_full = pool.full.contains(&worker);
    let has_place = |lane: LaneId| fits(board, lane, worker) && !(is_full && lane.stage == Stage::Decode);
    let counts = |lane: LaneId, of: i32| of > priority && has_place(lane) && !is_held_back(board, lane, of);
    let all: usize = levels.filter(|&(lane, of, _)| counts(lane, of)).map(|(_, _, len)| len).sum();
    let barred = board.avoiding().filter(|ticket| {
        ticket.lane.pool() == id && counts(ticket.lane, ticket.priority) && !may_run(board, pool, ticket, worker)
    });
    all - barred.count()
}
