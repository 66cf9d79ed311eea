//! What is counted of the farm since the coordinator was started, for whoever watches it over time. Deliberately not here:
//! what stands in rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wanfarm_types::{Stage, VideoState};

/// Upper limits of the buckets, in seconds.
pub const LIMITS: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0];

/// How often something took how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// How often it took at most as long as each of [`LIMITS`], and more than the one before.
    pub buckets: [u64; LIMITS.len()],
    /// How often in all.
    pub count: u64,
    /// Seconds in all.
    pub sum: f64,
}

impl Histogram {
    fn add(&mut self, seconds: f64) {
        if !seconds.is_finite() || seconds < 0.0 {
            return;
        }
        if let Some(bucket) = LIMITS.iter().position(|limit| seconds <= *limit) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Seconds that transactions took to be durable.
    pub commits: Histogram,
    /// Seconds that the coordinator's loop took for what had arrived, until that was durable and acted on.
    pub turns: Histogram,
    /// Seconds from asking for a copy of a step's state until it was recorded.
    pub checkpoints: Histogram,
    /// Seconds of denoising steps, by stage and model.
    pub steps: BTreeMap<(Stage, String), Histogram>,
    /// Attempts that have ended, by stage and how.
    pub attempts: BTreeMap<(Stage, &'static str), u64>,
    /// Videos that have ended, by how; one that was retried may end again.
    pub videos: BTreeMap<&'static str, u64>,
}

/// Counts, shared by who counts and who asks.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<Mutex<Counts>>);

impl Meters {
    /// What was counted until now.
    pub fn read(&self) -> Counts {
        self.counts().clone()
    }

    /// A transaction became durable.
    pub(crate) fn committed(&self, took: Duration) {
        self.counts().commits.add(took.as_secs_f64());
    }

    /// The loop has come round.
    pub(crate) fn turned(&self, took: Duration) {
        self.counts().turns.add(took.as_secs_f64());
    }

    /// The state of a video after a step has become durable.
    pub(crate) fn copied(&self, took: Duration) {
        self.counts().checkpoints.add(took.as_secs_f64());
    }

    /// A video has ended.
    pub(crate) fn video_ended(&self, how: VideoState) {
        *self.counts().videos.entry(how.name()).or_default() += 1;
    }

    /// A denoising step was done.
    pub(crate) fn stepped(&self, stage: Stage, model: &str, seconds: f64) {
        let mut counts = self.counts();
        // Models are few, and remembered for as long as the process lives.
        counts.steps.entry((stage, model.to_owned())).or_default().add(seconds);
    }

    /// An attempt has ended.
    pub(crate) fn ended(&self, stage: Stage, how: &'static str) {
        *self.counts().attempts.entry((stage, how)).or_default() += 1;
    }

    /// Held for moments.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_and_what_took_no_time_is_counted_and_nonsense_is_not() {
        let meters = Meters::default();
        for seconds in [0.0, 0.001, 0.0011, 3600.0, f64::NAN, f64::INFINITY, -1.0] {
            meters.stepped(Stage::DenoiseHigh, "m", seconds);
        }
        let steps = &meters.read().steps[&(Stage::DenoiseHigh, "m".to_owned())];
        assert_eq!((steps.count, &steps.buckets[..2], steps.buckets.iter().sum::<u64>()), (4, &[2, 1][..], 3));
        assert!((steps.sum - 3600.0021).abs() < 1e-9);
    }
}
