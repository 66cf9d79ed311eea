//! Ready items of one (model, stage), in the order of the policy: priority, then fair share between jobs, then the
//! farthest video. Deliberately without workers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{JobId, StepRange, VideoId, WorkerId};

use crate::attempts::Work;
use crate::job::LaneId;

/// A ready item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) lane: LaneId,
    pub(crate) work: Work,
    pub(crate) priority: i32,
    /// Its turn within its job, before all else.
    pub(crate) turn: u8,
    /// How many videos come after its video, one after the other.
    pub(crate) behind: u32,
    /// The video it is for, or the first of them.
    pub(crate) video: VideoId,
    /// What to run; empty for stages without steps.
    pub(crate) steps: StepRange,
    /// The work of one step, or of an item without steps.
    pub(crate) step_work: u64,
    /// The worker that holds its newest input.
    pub(crate) prefers: Option<WorkerId>,
    /// Workers it failed on, and how much there is against each.
    pub(crate) avoids: BTreeMap<WorkerId, u32>,
}

impl Ticket {
    /// What it counts in the fair share: all of its work.
    pub(crate) fn cost(&self) -> u64 {
        self.step_work.saturating_mul(u64::from(self.steps.len().max(1)))
    }
}

/// Order within a job: early looks first, then the farthest, then that on which the most hangs, then manifest order.
type Place = (u8, Reverse<u32>, Reverse<u32>, VideoId, Work);

/// The items of one priority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Level {
    items: BTreeMap<JobId, BTreeSet<Place>>,
    /// Jobs with items, by what they have been served.
    order: BTreeSet<(u64, JobId)>,
    /// What jobs have been served; kept for absent jobs while they are ahead of the clock.
    served: BTreeMap<JobId, u64>,
    len: usize,
}

/// Start-time fair queueing between the jobs of each priority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lane {
    levels: BTreeMap<Reverse<i32>, Level>,
}

impl Lane {
    /// A job that was absent starts at `clock`: it has no claim on the time it was not here.
    pub(crate) fn insert(&mut self, ticket: &Ticket, clock: u64) {
        let level = self.levels.entry(Reverse(ticket.priority)).or_default();
        let job = ticket.video.job;
        let items = level.items.entry(job).or_default();
        if items.is_empty() {
            let served = level.served.entry(job).or_insert(clock);
            *served = clock.max(*served);
            level.order.insert((*served, job));
        }
        level.len += usize::from(items.insert(place(ticket)));
    }

    pub(crate) fn remove(&mut self, ticket: &Ticket, clock: u64) {
        let Some(level) = self.levels.get_mut(&Reverse(ticket.priority)) else { return };
        let job = ticket.video.job;
        let Some(items) = level.items.get_mut(&job) else { return };
        level.len -= usize::from(items.remove(&place(ticket)));
        if items.is_empty() {
            level.items.remove(&job);
            if let Some(&served) = level.served.get(&job) {
                level.order.remove(&(served, job));
            }
            let items = &level.items;
            level.served.retain(|job, served| *served > clock || items.contains_key(job));
        }
        if level.len == 0 && level.served.is_empty() {
            self.levels.remove(&Reverse(ticket.priority));
        }
    }

    /// Counts a ticket about to leave as served, of this lane or one of another size; returns where its job stood.
    pub(crate) fn charge(&mut self, ticket: &Ticket) -> u64 {
        let Some(level) = self.levels.get_mut(&Reverse(ticket.priority)) else { return 0 };
        let job = ticket.video.job;
        let Some(served) = level.served.get_mut(&job) else { return 0 };
        let before = *served;
        *served = before.saturating_add(ticket.cost());
        if level.order.remove(&(before, job)) {
            level.order.insert((*served, job));
        }
        before
    }

    /// Takes back what was charged for work that was not done.
    pub(crate) fn refund(&mut self, priority: i32, job: JobId, cost: u64) {
        let Some(level) = self.levels.get_mut(&Reverse(priority)) else { return };
        let Some(served) = level.served.get_mut(&job) else { return };
        let before = *served;
        *served = before.saturating_sub(cost);
        if level.order.remove(&(before, job)) {
            level.order.insert((*served, job));
        }
    }

    /// What the job of a ticket has been served.
    pub(crate) fn served(&self, ticket: &Ticket) -> u64 {
        let level = self.levels.get(&Reverse(ticket.priority));
        level.and_then(|level| level.served.get(&ticket.video.job)).copied().unwrap_or(0)
    }

    /// Items of at least this priority.
    pub(crate) fn at_least(&self, priority: i32) -> usize {
        self.levels.range(..=Reverse(priority)).map(|(_, level)| level.len).sum()
    }

    /// Each priority with its number of items, most important first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (i32, usize)> {
        self.levels.iter().map(|(&Reverse(priority), level)| (priority, level.len))
    }

    /// All items in order, each with its priority and what its job has been served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, u64, Work)> {
        self.levels.iter().flat_map(|(&Reverse(priority), level)| {
            level.order.iter().flat_map(move |&(served, job)| {
                level.items.get(&job).into_iter().flatten().map(move |&(.., work)| (priority, served, work))
            })
        })
    }
}

fn place(ticket: &Ticket) -> Place {
    (ticket.turn, Reverse(ticket.steps.first), Reverse(ticket.behind), ticket.video, ticket.work)
}
