//! When to give up: failures counted against one video (or one text).
//!
//! - A transient failure, and the death of a worker, is a strike. Three strikes on different workers are the end;
//!   so are three in all when no worker is left that it has not failed on.
//! - Not-finite numbers are a strike too, and the second such strike is the end.
//! - Inputs that cannot be read are no strike, however often (`scheduler/losses.rs`).
//! - Progress beyond the best ever reached wipes the strikes: a video on which workers die, but each time later, is
//!   unlucky and ends by itself; one on which they die at the same step is poison and is stopped after three.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_types::{FailureKind, Role, WorkerId};

/// Failures, and the workers they happened on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Strikes {
    /// Workers it failed on; it goes back to one of them only when no other is left.
    pub(crate) on: BTreeSet<WorkerId>,
    /// Failures in all.
    pub(crate) tries: u32,
    /// Failures because of NaN or infinity.
    pub(crate) not_finite: u32,
    /// Workers that live and did not deliver what they had made of it in a role, and those that asked for it in theirs: how
    /// often. Which of the two is to blame is not known, but shows when others take the place of either.
    pub(crate) lost_with: BTreeMap<(Role, WorkerId), u32>,
    /// Times that inputs of it were lost.
    pub(crate) losses: u32,
}

impl Strikes {
    pub(crate) fn add(&mut self, worker: WorkerId, kind: FailureKind) {
        self.on.insert(worker);
        self.tries += 1;
        self.not_finite += u32::from(kind == FailureKind::NotFinite);
    }

    /// Workers that get something of it in a role only when nobody has less against them, and how much that is.
    pub(crate) fn avoids(&self, role: Role) -> BTreeMap<WorkerId, u32> {
        let lost = self.lost_with.iter().filter(|((of, _), _)| *of == role);
        let mut avoids: BTreeMap<_, _> = lost.map(|((_, worker), times)| (*worker, *times)).collect();
        self.on.iter().for_each(|worker| *avoids.entry(*worker).or_default() += 1);
        avoids
    }

    /// The failures were those of something else.
    pub(crate) fn forgive(&mut self) {
        self.on.clear();
        (self.tries, self.not_finite) = (0, 0);
    }

    /// True when there must be no further try; `others_left`: some worker could run it that it has not failed on.
    pub(crate) fn is_out(&self, max: u32, others_left: bool) -> bool {
        self.on.len() as u64 >= u64::from(max) || (self.tries >= max && !others_left) || self.not_finite >= 2
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(workers: &[u128], kind: FailureKind) -> Strikes {
        let mut strikes = Strikes::default();
        for &n in workers {
            strikes.add(WorkerId(uuid::Uuid::from_u128(n)), kind);
        }
        strikes
    }

    #[test]
    fn three_workers_or_three_tries_where_there_are_fewer() {
        let kind = FailureKind::Transient;
        assert!(after(&[1, 2, 3], kind).is_out(3, true));
        assert!(!after(&[1, 2, 1], kind).is_out(3, true));
        assert!(after(&[1, 2, 1], kind).is_out(3, false));
        assert!(!after(&[1, 1], kind).is_out(3, false));
    }

    #[test]
    fn not_finite_twice_is_the_end() {
        assert!(!after(&[1], FailureKind::NotFinite).is_out(3, true));
        assert!(after(&[1, 2], FailureKind::NotFinite).is_out(3, true));
    }
}
