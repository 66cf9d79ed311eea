//! Workers that say they live and get nowhere: a device that hangs, a process that waits for what never comes. Every item
//! that a connected worker has to run must show its next point (begun, a step, its end) before a deadline; else it is taken
//! away as if it had failed there. Being wrong costs a step: the fence refuses what a slow worker still says of it.
//!
//! Deliberately generous: a step may take ten times as long as this worker's steps took so far. That is the worker's own word,
//! so it never gets more time than one that has said nothing yet; whose first item came to an end has its steps in that time.

use std::time::Duration;

use wanfarm_types::{AttemptId, Failure};

use super::Scheduler;
use crate::stage_result::Holder;
use crate::worker::label;

/// Times what a point is expected to take.
const SLOWER: u32 = 10;

/// Times the shortest patience, for a worker whose speed is unknown: it may be any, and its first item warms it up.
const UNKNOWN: u32 = 12;

impl Scheduler {
    /// Gives an attempt a new deadline: it has just shown a point, or its turn has come.
    pub(super) fn watch(&mut self, id: AttemptId) {
        let Some(attempt) = self.ledger.get(id) else { return };
        let deadline = self.now + self.patience(id);
        if let Some(old) = attempt.deadline {
            self.stalls.remove(&(old, id));
        }
        if let Some(attempt) = self.ledger.get_mut(id) {
            attempt.deadline = Some(deadline);
        }
        self.stalls.insert((deadline, id));
    }

    fn patience(&self, id: AttemptId) -> Duration {
        let slowness = self.ledger.get(id).and_then(|attempt| {
            let slowness = self.workers.get(&attempt.worker)?.slowness(attempt.pool())?;
            Some(Duration::from_millis(slowness.time(attempt.step_work)))
        });
        let usual = slowness.map(|usual| usual.saturating_mul(SLOWER));
        let longest = self.config.stall.saturating_mul(UNKNOWN);
        usual.map_or(longest, |usual| usual.clamp(self.config.stall, longest))
    }

    /// Ends what has not shown its next point in time. What a worker without a connection does is unknown, and its lease
    /// ends soon; and if the scheduler itself was away, no worker has stalled.
    pub(super) fn end_stalls(&mut self, was_away: bool) {
        let due: Vec<AttemptId> =
            self.stalls.iter().take_while(|(at, _)| *at <= self.now).map(|&(_, attempt)| attempt).collect();
        for id in due {
            let Some(attempt) = self.ledger.get(id) else { continue };
            let Some(worker) = self.workers.get(&attempt.worker) else { continue };
            if was_away || !worker.is_connected() {
                self.watch(id);
                continue;
            }
            let (stage, seconds) = (attempt.item.stage, self.patience(id).as_secs());
            let name = label(attempt.worker, worker);
            // What it holds of the item goes too: only dropping stops what it runs.
            let holder = Holder { worker: attempt.worker, attempt: id };
            self.lose(holder);
            self.failed(id, Failure::transient(format!(
                "worker {name} is there, but showed no progress in {stage} for {seconds} s; if its steps take longer than \
                 that, raise --stall"
            )));
        }
    }
}
