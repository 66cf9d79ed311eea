//! Running totals of a job: the effort of each worker in each stage.
//!
//! Deliberately not here: single attempts, which the `ledger` keeps for the sidecars.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wanfarm_types::{Effort, EffortLine, Machine, Stage, WorkerId, WorkerStatus};

use crate::attempt::AttemptRecord;

/// The effort of one worker in one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub worker: WorkerId,
    pub name: String,
    /// In which stage.
    pub stage: Stage,
    pub effort: Effort,
}

/// The totals of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// When its first computation began, by the farm's clock; `None` while none has.
    pub begun: Option<f64>,
    /// By worker and stage.
    pub shares: Vec<Share>,
    /// The workers that took part.
    pub machines: Vec<Machine>,
}

/// The running totals of a job.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    begun: Option<f64>,
    shares: BTreeMap<(WorkerId, Stage), (String, Effort)>,
}

/// The effort of one attempt. `passes`: of each of its steps, without a step cache.
fn effort(record: &AttemptRecord, passes: u32) -> Effort {
    let (forward_passes, skipped) = record.passes(passes);
    Effort {
        attempts: 1,
        failed: u64::from(record.result != "done"),
        steps: record.timing.step_seconds.len() as u64,
        seconds: duration(record.timing.seconds),
        queue_seconds: duration(record.queue_seconds),
        input_wait_seconds: duration(record.timing.input_wait_seconds),
        loads: u64::from(record.timing.load_seconds > 0.0),
        load_seconds: duration(record.timing.load_seconds),
        forward_passes,
        skipped,
    }
}

/// Durations come from workers; one that is no number must not spoil a sum.
fn duration(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.max(0.0) } else { 0.0 }
}

impl Tally {
    /// A computation began, by the farm's clock.
    pub(crate) fn begun(&mut self, elapsed: f64) {
        self.begun = Some(self.begun.map_or(elapsed, |begun| begun.min(elapsed)));
    }

    /// An attempt has ended. `passes`: of each of its steps, without a step cache.
    pub(crate) fn count(&mut self, record: &AttemptRecord, passes: u32) {
        let (name, sum) = self.shares.entry((record.worker_id, record.stage)).or_default();
        name.clone_from(&record.worker);
        sum.add(&effort(record, passes));
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.shares.keys().map(|(worker, _)| *worker)
    }

    /// All of it. `workers`: those that are known now.
    pub(crate) fn totals(&self, workers: Vec<WorkerStatus>) -> Totals {
        let shares = self.shares.iter().map(|(&(worker, stage), (name, effort))| Share {
            worker,
            name: name.clone(),
            stage,
            effort: *effort,
        });
        let shares: Vec<Share> = shares.collect();
        let part: BTreeSet<WorkerId> = shares.iter().map(|share| share.worker).collect();
        let machines = workers.into_iter().filter(|worker| part.contains(&worker.id)).map(|worker| {
            let WorkerStatus { name, device, memory_bytes, weights, .. } = worker;
            Machine { name, device, memory_bytes, weights }
        });
        Totals { begun: self.begun, machines: machines.collect(), shares }
    }
}

impl Totals {
    /// Added up by stage, by role and by worker, as lines of a job that has been rendered for so long.
    pub fn lines(&self, render_seconds: Option<f64>) -> [Vec<EffortLine>; 3] {
        let line = |name: &str, (workers, effort)| EffortLine::new(name.to_owned(), workers, effort, render_seconds);
        let stages = self.by(|share| share.stage).into_iter().map(|(stage, done)| line(stage.name(), done));
        let roles = self.by(|share| share.stage.role()).into_iter().map(|(role, done)| line(role.name(), done));
        // By name, for people; two workers of one name stay two.
        let workers = self.by(|share| (share.name.clone(), share.worker));
        let workers = workers.into_iter().map(|((name, _), done)| line(&name, done));
        [stages.collect(), roles.collect(), workers.collect()]
    }

    /// Added up by a property of each share, in its order: how many workers had it, and what they did.
    fn by<K: Ord>(&self, key: impl Fn(&Share) -> K) -> BTreeMap<K, (u64, Effort)> {
        let mut sums: BTreeMap<K, (BTreeSet<WorkerId>, Effort)> = BTreeMap::new();
        for share in &self.shares {
            let (workers, effort) = sums.entry(key(share)).or_default();
            workers.insert(share.worker);
            effort.add(&share.effort);
        }
        sums.into_iter().map(|(key, (workers, effort))| (key, (workers.len() as u64, effort))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wanfarm_types::{JobId, StepRange, StepTiming, VideoId, WorkItem};

    #[test]
    fn a_role_counts_each_of_its_workers_once_whatever_their_names() {
        let video = VideoId { job: JobId(1), index: 0 };
        let record = |worker, stage, seconds| AttemptRecord {
            worker: "mac".into(),
            timing: StepTiming { seconds, input_wait_seconds: f64::NAN, ..StepTiming::default() },
            queue_seconds: 1.0,
            result: "done".into(),
            ..AttemptRecord::new(&WorkItem { video, stage, steps: StepRange { first: 0, end: 0 } }, None, worker, 0.0)
        };
        let worker = |n| WorkerId(Uuid::from_u128(n));
        let mut tally = Tally::default();
        tally.begun(7.0);
        tally.begun(5.0);
        tally.count(&record(worker(1), Stage::EncodeImage, 2.0), 0);
        tally.count(&record(worker(1), Stage::Decode, 4.0), 0);
        tally.count(&record(worker(2), Stage::Decode, f64::INFINITY), 0);
        let totals = tally.totals(Vec::new());
        let roles = totals.by(|share| share.stage.role());
        assert_eq!((totals.begun, roles.len()), (Some(5.0), 1));
        let (workers, effort) = roles.into_values().next().unwrap();
        assert_eq!((workers, effort.attempts, effort.seconds, effort.queue_seconds), (2, 3, 6.0, 3.0));
        assert_eq!(effort.input_wait_seconds, 0.0);
        assert_eq!(totals.by(|share| share.worker).len(), 2, "two workers of one name are two");
        let json = serde_json::to_string(&totals).unwrap();
        assert_eq!(serde_json::from_str::<Totals>(&json).unwrap(), totals);
    }
}
