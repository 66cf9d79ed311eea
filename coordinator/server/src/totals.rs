//! Where the time of a job went: what each worker did in each stage, added up while it happens.
//!
//! Deliberately not here: single attempts, which the `ledger` keeps for the sidecars.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wanfarm_types::{Stage, WorkerId};

use crate::ledger::AttemptRecord;
use crate::requests::{StoredWeights, WorkerStatus};

/// Work that was done.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Effort {
    /// Items tried.
    pub attempts: u64,
    /// Of these: failed, given back, or lost with their worker.
    pub failed: u64,
    /// Denoising steps.
    pub steps: u64,
    /// Seconds of computing.
    pub seconds: f64,
    /// Seconds the items waited in line, each for itself.
    pub queue_seconds: f64,
    /// Seconds free devices waited for inputs.
    pub input_wait_seconds: f64,
    /// Passes that ran the transformer's blocks.
    pub evaluations: u64,
    /// Passes that step caches stood in for.
    pub skipped: u64,
}

/// What one worker did in one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    pub worker: WorkerId,
    /// Its name.
    pub name: String,
    /// In which stage.
    pub stage: Stage,
    /// What.
    pub effort: Effort,
}

/// What a worker computed on, and with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The worker's name.
    pub name: String,
    /// Its device.
    pub device: String,
    /// Main memory, in bytes; 0: not known.
    pub memory_bytes: u64,
    /// How the weights of its roles are stored.
    pub weights: Vec<StoredWeights>,
}

/// Where the time of a job went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// When its first computation began, by the farm's clock; `None` while none has.
    pub begun: Option<f64>,
    /// By worker and stage.
    pub shares: Vec<Share>,
    /// The workers that took part.
    pub machines: Vec<Machine>,
}

/// The totals of a job that goes on.
#[derive(Debug, Default)]
pub struct Tally {
    begun: Option<f64>,
    shares: BTreeMap<(WorkerId, Stage), (String, Effort)>,
}

impl Effort {
    /// Adds an attempt. `passes`: of each of its steps, without a step cache.
    fn count(&mut self, record: &AttemptRecord, passes: u32) {
        self.attempts += 1;
        self.failed += u64::from(record.result != "done");
        self.steps += record.step_seconds.len() as u64;
        self.seconds += duration(record.seconds);
        self.queue_seconds += duration(record.queue_seconds);
        self.input_wait_seconds += duration(record.input_wait_seconds);
        let (computed, skipped) = record.passes(passes);
        self.evaluations += computed;
        self.skipped += skipped;
    }

    fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.steps += other.steps;
        self.seconds += other.seconds;
        self.queue_seconds += other.queue_seconds;
        self.input_wait_seconds += other.input_wait_seconds;
        self.evaluations += other.evaluations;
        self.skipped += other.skipped;
    }
}

/// Durations come from workers; one that is no number must not spoil a sum.
fn duration(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.max(0.0) } else { 0.0 }
}

impl Tally {
    /// A computation began, by the farm's clock.
    pub fn begun(&mut self, elapsed: f64) {
        self.begun = Some(self.begun.map_or(elapsed, |begun| begun.min(elapsed)));
    }

    /// An attempt has ended. `passes`: of each of its steps, without a step cache.
    pub fn count(&mut self, worker: WorkerId, record: &AttemptRecord, passes: u32) {
        let (name, effort) = self.shares.entry((worker, record.stage)).or_default();
        name.clone_from(&record.worker);
        effort.count(record, passes);
    }

    /// Who took part.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.shares.keys().map(|(worker, _)| *worker)
    }

    /// All of it. `workers`: those that are known now.
    pub fn totals(&self, workers: Vec<WorkerStatus>) -> Totals {
        let shares = self.shares.iter().map(|(&(worker, stage), (name, effort))| Share {
            worker,
            name: name.clone(),
            stage,
            effort: *effort,
        });
        let shares: Vec<Share> = shares.collect();
        let part: BTreeSet<WorkerId> = shares.iter().map(|share| share.worker).collect();
        let machines = workers.into_iter().filter(|worker| part.contains(&worker.worker)).map(|worker| {
            let WorkerStatus { name, device, memory_bytes, weights, .. } = worker;
            Machine { name, device, memory_bytes, weights }
        });
        Totals { begun: self.begun, machines: machines.collect(), shares }
    }
}

impl Totals {
    /// Added up by a property of each share, in its order: how many workers had it, and what they did.
    pub fn by<K: Ord>(&self, key: impl Fn(&Share) -> K) -> BTreeMap<K, (u64, Effort)> {
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

    #[test]
    fn a_role_counts_each_of_its_workers_once_whatever_their_names() {
        let record = |stage, seconds| AttemptRecord {
            stage,
            worker: "mac".into(),
            device: "cpu".into(),
            first_step: None,
            last_step: None,
            begun: None,
            seconds,
            step_seconds: Vec::new(),
            evaluations: Vec::new(),
            text_tokens: None,
            queue_seconds: 1.0,
            input_wait_seconds: f64::NAN,
            result: "done".into(),
        };
        let worker = |n| WorkerId(Uuid::from_u128(n));
        let mut tally = Tally::default();
        tally.begun(7.0);
        tally.begun(5.0);
        tally.count(worker(1), &record(Stage::EncodeImage, 2.0), 0);
        tally.count(worker(1), &record(Stage::Decode, 4.0), 0);
        tally.count(worker(2), &record(Stage::Decode, f64::INFINITY), 0);
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
