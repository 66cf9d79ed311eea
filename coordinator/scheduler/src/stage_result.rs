//! Results and where they lie: in a worker's memory, in the durable store, or both.
//! Deliberately without bytes, and without the decision when to copy.

use std::collections::BTreeMap;

use wanfarm_types::{AttemptId, Checkpoint, TensorRef, WorkerId};

use crate::Instant;

/// The worker that made a result and keeps it in memory. The attempt also tells its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) worker: WorkerId,
    pub(crate) attempt: AttemptId,
}

/// How far the durable copy of a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    No,
    Asked,
    /// The last try failed; not asked again before this instant.
    After(Instant),
    /// Other tensors under the same name are being copied; their copy will not count.
    Superseded,
    Durable,
}

/// Result of one work item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageResult {
    pub(crate) tensors: Vec<TensorRef>,
    pub(crate) holder: Option<Holder>,
    pub(crate) copy: Copy,
}

impl StageResult {
    pub(crate) fn held(tensors: Vec<TensorRef>, holder: Holder) -> Self {
        Self { tensors, holder: Some(holder), copy: Copy::No }
    }

    pub(crate) fn durable(tensors: Vec<TensorRef>) -> Self {
        Self { tensors, holder: None, copy: Copy::Durable }
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.copy == Copy::Durable
    }

    /// True when it can be read from somewhere.
    pub(crate) fn is_usable(&self) -> bool {
        self.holder.is_some() || self.is_durable()
    }

    /// True when it must be kept: usable, or being copied.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_usable() || self.is_copying()
    }

    pub(crate) fn is_copying(&self) -> bool {
        matches!(self.copy, Copy::Asked | Copy::Superseded)
    }

    /// Takes the place of `old` under the same name, whose copy may be under way.
    pub(crate) fn replace(mut self, old: Option<&StageResult>) -> Self {
        match old {
            Some(old) if old.tensors == self.tensors => self.copy = old.copy,
            Some(old) if old.is_copying() => self.copy = Copy::Superseded,
            _ => {}
        }
        self
    }

    /// True when a copy should be asked for now.
    pub(crate) fn may_copy(&self, now: Instant) -> bool {
        let due = match self.copy {
            Copy::No => true,
            Copy::After(at) => at <= now,
            Copy::Asked | Copy::Superseded | Copy::Durable => false,
        };
        due && self.holder.is_some()
    }
}

/// The checkpoints of a video, by steps done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Checkpoints(pub(crate) BTreeMap<u32, StageResult>);

impl Checkpoints {
    /// The newest state that can be read.
    pub(crate) fn newest(&self) -> Option<(u32, &StageResult)> {
        self.0.iter().rev().find(|(_, result)| result.is_usable()).map(|(&steps, result)| (steps, result))
    }

    /// Steps that need not be computed again as things stand.
    pub(crate) fn steps_done(&self) -> u32 {
        self.newest().map_or(0, |(steps, _)| steps)
    }

    /// Steps of the newest durable checkpoint; 0 stands for the beginning, which needs none.
    pub(crate) fn durable_steps(&self) -> u32 {
        self.0.iter().rev().find(|(_, result)| result.is_durable()).map_or(0, |(&steps, _)| steps)
    }

    pub(crate) fn is_copying(&self) -> bool {
        self.0.values().any(StageResult::is_copying)
    }

    /// Adds a state reported by `holder`. A durable copy of the same step stays.
    pub(crate) fn add(&mut self, checkpoint: Checkpoint, holder: Holder) {
        let old = self.0.get(&checkpoint.steps_done);
        if old.is_none_or(|old| !old.is_durable() || old.tensors == checkpoint.tensors) {
            let new = StageResult::held(checkpoint.tensors, holder).replace(old);
            self.0.insert(checkpoint.steps_done, new);
        }
    }

    /// Removes and returns what is superseded: everything before the newest durable checkpoint,
    /// and of each holder all but its newest. A copy under way is left alone.
    pub(crate) fn prune(&mut self) -> Vec<(u32, StageResult)> {
        if self.0.len() < 2 && self.0.values().all(StageResult::is_alive) {
            return Vec::new();
        }
        let mut covered = false;
        let mut holders: Vec<WorkerId> = Vec::new();
        let mut stale = Vec::new();
        for (&steps, result) in self.0.iter().rev() {
            let fresh_holder = result.holder.is_some_and(|holder| !holders.contains(&holder.worker));
            let keep = result.is_copying() || (!covered && (fresh_holder || result.is_durable()));
            holders.extend(result.holder.map(|holder| holder.worker));
            covered |= result.is_durable();
            if !keep {
                stale.push(steps);
            }
        }
        stale.into_iter().filter_map(|steps| Some((steps, self.0.remove(&steps)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::{DType, Digest};

    fn worker(n: u128) -> WorkerId {
        WorkerId(uuid::Uuid::from_u128(n))
    }

    fn add(checkpoints: &mut Checkpoints, steps_done: u32, by: u128) {
        let tensors = vec![TensorRef { digest: Digest([steps_done as u8; 32]), dtype: DType::F32, shape: vec![1] }];
        checkpoints
            .add(Checkpoint { steps_done, tensors }, Holder { worker: worker(by), attempt: AttemptId(by as u64) });
    }

    fn steps(checkpoints: &Checkpoints) -> Vec<u32> {
        checkpoints.0.keys().copied().collect()
    }

    #[test]
    fn another_holders_older_state_is_kept_until_a_newer_one_is_durable() {
        let mut checkpoints = Checkpoints::default();
        add(&mut checkpoints, 5, 1);
        checkpoints.0.get_mut(&5).unwrap().copy = Copy::Durable;
        add(&mut checkpoints, 8, 1);
        add(&mut checkpoints, 9, 2);
        add(&mut checkpoints, 10, 2);
        assert_eq!(checkpoints.prune().into_iter().map(|(steps, _)| steps).collect::<Vec<_>>(), [9]);
        assert_eq!(steps(&checkpoints), [5, 8, 10]);
        checkpoints.0.get_mut(&10).unwrap().copy = Copy::Durable;
        checkpoints.prune();
        assert_eq!(steps(&checkpoints), [10]);
    }

    #[test]
    fn a_copy_under_way_outlives_its_holder() {
        let mut checkpoints = Checkpoints::default();
        add(&mut checkpoints, 3, 1);
        let result = checkpoints.0.get_mut(&3).unwrap();
        result.copy = Copy::Asked;
        result.holder = None;
        assert!(checkpoints.prune().is_empty());
        assert_eq!(checkpoints.steps_done(), 0);
        checkpoints.0.get_mut(&3).unwrap().copy = Copy::Durable;
        assert_eq!(checkpoints.steps_done(), 3);
    }
}
