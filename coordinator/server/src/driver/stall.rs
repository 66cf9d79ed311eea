//! Notices that the farm stands still: jobs are active, and for a while no worker has had anything to do. Why may be a role
//! that nobody serves, workers that are set aside, a folder that does not answer; what matters is that somebody is told.

use std::time::Duration;

use tokio::time::Instant;
use wanfarm_types::{EventKind, JobId, JobState};

use super::Driver;
use crate::store::EventRow;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long nothing may be computed before it is told: workers that are being started come within less.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// Since when nothing is computed.
#[derive(Debug)]
pub(super) struct Stall {
    /// When the driver has to look.
    pub(super) next: Instant,
    idle_since: Option<Instant>,
    /// Attempts there had been at the last look.
    attempts: u64,
    is_told: bool,
}

impl Stall {
    pub(super) fn new() -> Self {
        Self { next: Instant::now() + LOOK_EVERY, idle_since: None, attempts: 0, is_told: false }
    }

    /// Looks at the farm: true when it is to be told that it stands still, once until it moves again.
    fn look(&mut self, now: Instant, is_still: bool, attempts: u64) -> bool {
        self.next = now + LOOK_EVERY;
        let has_moved = std::mem::replace(&mut self.attempts, attempts) != attempts;
        if !is_still || has_moved {
            (self.idle_since, self.is_told) = (None, false);
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        let is_new = !self.is_told && now - since >= STALLED_AFTER;
        self.is_told |= is_new;
        is_new
    }
}

impl Driver {
    /// Looks whether the farm stands still, if it is time to.
    pub(super) fn look_for_stall(&mut self) {
        let now = Instant::now();
        if self.stall.next > now {
            return;
        }
        let active = || self.registry.jobs.iter().find(|job| job.state() == JobState::Active).map(|job| job.id);
        let waits: Option<JobId> = if self.registry.ledger.is_idle() { active() } else { None };
        let attempts = self.registry.ledger.issued();
        if self.stall.look(now, waits.is_some(), attempts)
            && let Some(job) = waits
        {
            let why = Some(self.waiting_for(job)).filter(|why| !why.is_empty());
            let detail = why.map(|why| format!("job {job} waits for {why}"));
            tracing::warn!(%job, detail, "nothing is being computed, though jobs are active");
            let name = self.registry.jobs.get(job).map(|job| job.submission.name.clone());
            self.note(EventRow { kind: EventKind::FarmStalled, job: Some(job), name, detail, ..EventRow::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farm_that_stands_still_is_told_once_until_it_moves() {
        let (mut stall, start) = (Stall::new(), Instant::now());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        assert!(!stall.look(at(0), true, 0));
        assert!(!stall.look(at(4), true, 0));
        assert!(stall.look(at(5), true, 0), "five minutes of nothing");
        assert!(!stall.look(at(60), true, 0), "and once");
        // Something was done and lost between two looks.
        assert!(!stall.look(at(61), true, 1));
        assert!(!stall.look(at(62), true, 1), "the time counts anew");
        assert!(!stall.look(at(66), true, 1));
        assert!(stall.look(at(67), true, 1));
        assert!(!stall.look(at(68), false, 1), "no job is active, or a worker computes");
        assert!(!stall.look(at(90), true, 1));
        assert!(stall.look(at(95), true, 1));
    }
}
