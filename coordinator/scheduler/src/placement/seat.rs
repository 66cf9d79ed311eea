//! What a worker of the board can do, and what it has at hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use wanfarm_types::{AttemptId, Stage, WorkerId};

use super::residency::Residency;
use crate::job::{LaneId, PoolId};
use crate::pace::Slowness;

/// How urgent: priority, then nearness to the end of the way.
pub(crate) type Urgency = (i32, Stage);

/// A worker that may be given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) memberships: Arc<[Membership]>,
    /// Its memory; `None` where all it serves is held, whatever that takes.
    pub(crate) residency: Option<Arc<Residency>>,
    pub(crate) running: Option<Occupant>,
    pub(crate) next: Option<Occupant>,
    /// Idle, and an item was revoked for it.
    pub(crate) awaiting: bool,
    /// So many of its decoded videos are still to be written that it decodes no more.
    pub(crate) full: bool,
}

/// What a worker can do, and how fast it is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) pool: PoolId,
    /// Its weights are in memory, or will be when the last item given to the worker has begun.
    pub(crate) held: bool,
    /// `None` until it was measured.
    pub(crate) slowness: Option<Slowness>,
}

/// An item it computes, or holds as the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occupant {
    pub(crate) attempt: AttemptId,
    pub(crate) lane: LaneId,
    pub(crate) priority: i32,
    /// Already asked to stop, or to be returned.
    pub(crate) revoked: bool,
    /// It can stop between two steps.
    pub(crate) can_stop: bool,
    /// It makes frames.
    pub(crate) decodes: bool,
    /// Time to fetch the inputs of the next item.
    pub(crate) nearly_done: bool,
    /// The item that will follow from this one, if this worker can run it too: it needs no fetching.
    pub(crate) follows: Option<Urgency>,
    /// Its video has not moved too often in this stage.
    pub(crate) may_move: bool,
    /// Workers its video failed on, and how much there is against each.
    pub(crate) avoids: BTreeMap<WorkerId, u32>,
    /// Steps to go, the one being computed included; 1 for an item without steps.
    pub(crate) left: u32,
    /// The work of each.
    pub(crate) step_work: u64,
    /// When it was expected to end, as foreseen at its start; for order only.
    pub(crate) ends: u64,
}

impl Seat {
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_none() && self.next.is_none()
    }

    /// True when it can run items of a lane with all that it holds.
    pub(crate) fn has_room(&self, lane: LaneId) -> bool {
        self.residency.as_ref().is_none_or(|memory| memory.has_room(lane.pool(), lane.size))
    }

    /// True when it can run items of a lane, after loading and letting go what that takes.
    pub(crate) fn fits(&self, lane: LaneId) -> bool {
        self.residency.as_ref().is_none_or(|memory| memory.fits(lane.pool(), lane.size))
    }

    /// True when it can do the same, equally fast, and lets weights go or does not.
    pub(super) fn counts_like(&self, other: &Seat) -> bool {
        self.memberships == other.memberships && self.residency.is_some() == other.residency.is_some()
    }

    /// True when nothing differs but how far the running item is.
    pub(super) fn is_indexed_like(&self, other: &Seat) -> bool {
        let place = |seat: &Seat| seat.running.as_ref().map(Occupant::place);
        (self.awaiting, self.full) == (other.awaiting, other.full)
            && place(self) == place(other)
            && self.next == other.next
            && self.memberships == other.memberships
            && self.residency == other.residency
    }
}

impl Occupant {
    /// The work that is not done of it.
    pub(super) fn work_left(&self) -> u64 {
        self.step_work.saturating_mul(u64::from(self.left))
    }

    /// What it is indexed by.
    fn place(&self) -> impl Eq + use<> {
        let Occupant { attempt, lane, priority, revoked, can_stop, nearly_done, follows, ends, .. } = *self;
        (attempt, lane, priority, revoked, can_stop, nearly_done, follows, ends)
    }
}
