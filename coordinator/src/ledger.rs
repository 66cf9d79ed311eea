//! Who did what: the attempts of every video, as the sidecar tells them.

use std::collections::BTreeMap;

use serde::Serialize;
use wanfarm_scheduler::{AttemptEnd, Change, TextKey, VideoState};
use wanfarm_types::{AttemptId, Stage, StepRange, StepTiming, VideoId, WorkerId};

/// One finished attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptRecord {
    /// What was run.
    pub stage: Stage,
    /// The worker's name.
    pub worker: String,
    /// Its device.
    pub device: String,
    /// First denoising step; absent for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_step: Option<u32>,
    /// Last denoising step, itself run; absent for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_step: Option<u32>,
    /// When its computation began, in seconds since 1970; absent when it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<f64>,
    /// Seconds of computing.
    pub seconds: f64,
    /// Seconds of each denoising step.
    pub step_seconds: Vec<f64>,
    /// How often each of these steps ran the transformer's blocks; empty where it is not known, as of lost attempts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<u32>,
    /// Seconds the item waited in line: from when it could have run to when its computation began; 0 when it never
    /// began, or when the coordinator was restarted in between.
    pub queue_seconds: f64,
    /// Seconds the free device waited for this item's inputs.
    pub input_wait_seconds: f64,
    /// `done`, or how it ended otherwise.
    pub result: String,
}

impl AttemptRecord {
    /// Passes that were computed, and those that were not, where a step has so many without a step cache. What was
    /// computed again after an interruption counts each time.
    pub fn passes(&self, of_step: u32) -> (u64, u64) {
        let computed = self.evaluations.iter().map(|&passes| u64::from(passes)).sum();
        let skipped = self.evaluations.iter().map(|&passes| u64::from(of_step.saturating_sub(passes))).sum();
        (computed, skipped)
    }
}

#[derive(Debug)]
struct Open {
    stage: Stage,
    video: VideoId,
    text: Option<TextKey>,
    worker: WorkerId,
    /// When it was given out; unknown for those from before a restart.
    ready_at: Option<f64>,
    started_at: Option<f64>,
    waited: f64,
}

/// Attempts by the video or text they served.
#[derive(Debug, Default)]
pub struct Ledger {
    open: BTreeMap<AttemptId, Open>,
    videos: BTreeMap<VideoId, Vec<AttemptRecord>>,
    texts: BTreeMap<TextKey, Vec<AttemptRecord>>,
    /// When each video's (or text's) previous piece of work ended: the next one has waited since then.
    free_since: BTreeMap<VideoId, f64>,
    /// Names and devices.
    workers: BTreeMap<WorkerId, (String, String)>,
}

impl Ledger {
    /// A video entered the farm: its first item waits from now on. Times are seconds since one origin.
    pub fn video_added(&mut self, video: VideoId, now: f64) {
        self.free_since.insert(video, now);
    }

    /// Who a worker is.
    pub fn worker_is(&mut self, worker: WorkerId, name: &str, device: &str) {
        self.workers.insert(worker, (name.to_owned(), device.to_owned()));
    }

    /// A worker's name and device, as they were last told.
    pub fn worker(&self, worker: WorkerId) -> Option<(&str, &str)> {
        self.workers.get(&worker).map(|(name, device)| (name.as_str(), device.as_str()))
    }

    /// How long an item has waited whose device begins now; `None` when that is known already, or cannot be.
    pub fn begins(&self, attempt: AttemptId, now: f64) -> Option<f64> {
        let ready_at = self.open.get(&attempt)?.ready_at?;
        Some((now - ready_at).max(0.0))
    }

    /// An attempt's computation began at this time of the day, its item having waited for so many seconds.
    pub fn begun(&mut self, attempt: AttemptId, at: f64, waited: f64) {
        if let Some(open) = self.open.get_mut(&attempt) {
            (open.started_at, open.waited, open.ready_at) = (Some(at), waited, None);
        }
    }

    /// Takes note of the rows that concern attempts.
    pub fn record(&mut self, change: &Change, now: f64) {
        match change {
            Change::AttemptIssued { attempt, item, text, worker, .. } => {
                let ready_at = Some(self.free_since.get(&item.video).copied().unwrap_or(now));
                let (stage, video, text, worker) = (item.stage, item.video, *text, *worker);
                self.open
                    .insert(*attempt, Open { stage, video, text, worker, ready_at, started_at: None, waited: 0.0 });
            }
            Change::AttemptEnded { attempt, end, steps, timing } => {
                let Some(open) = self.open.remove(attempt) else { return };
                let (worker, device) = self.workers.get(&open.worker).cloned().unwrap_or_default();
                self.free_since.insert(open.video, now);
                let (text, video) = (open.text, open.video);
                let record = open.close(end, *steps, timing, worker, device);
                match text {
                    Some(text) => self.texts.entry(text).or_default().push(record),
                    None => self.videos.entry(video).or_default().push(record),
                }
            }
            Change::VideoState { video, state: VideoState::Done } => drop(self.free_since.remove(video)),
            Change::JobForgotten(job) => {
                self.open.retain(|_, open| open.video.job != *job);
                self.videos.retain(|video, _| video.job != *job);
                self.free_since.retain(|video, _| video.job != *job);
            }
            _ => {}
        }
    }

    /// The clock begins anew: what was out before a restart has waited for an unknown time.
    pub fn restarted(&mut self) {
        self.free_since.clear();
        self.open.values_mut().for_each(|open| open.ready_at = None);
    }

    /// Everything that was done for a video, its texts first.
    pub fn attempts(&self, video: VideoId, texts: &[TextKey]) -> Vec<AttemptRecord> {
        let texts = texts.iter().filter_map(|text| self.texts.get(text)).flatten();
        texts.chain(self.videos.get(&video).into_iter().flatten()).cloned().collect()
    }
}

impl Open {
    fn close(
        &self,
        end: &AttemptEnd,
        steps: StepRange,
        timing: &StepTiming,
        worker: String,
        device: String,
    ) -> AttemptRecord {
        AttemptRecord {
            stage: self.stage,
            worker,
            device,
            first_step: (!steps.is_empty()).then_some(steps.first),
            last_step: (!steps.is_empty()).then(|| steps.end - 1),
            started_at: self.started_at,
            seconds: timing.seconds,
            step_seconds: timing.step_seconds.clone(),
            evaluations: timing.evaluations.clone(),
            queue_seconds: self.waited,
            input_wait_seconds: timing.input_wait_seconds,
            result: match end {
                AttemptEnd::Done => "done".to_owned(),
                AttemptEnd::Failed(failure) => format!("failed: {failure}"),
                AttemptEnd::Revoked => "given back".to_owned(),
                AttemptEnd::Lost => "worker lost".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wanfarm_types::{Incarnation, JobId, WorkItem};

    #[test]
    fn an_attempt_is_told_with_its_waiting_time() {
        let mut ledger = Ledger::default();
        let video = VideoId { job: JobId(1), index: 0 };
        let steps = StepRange { first: 3, end: 5 };
        let worker = WorkerId(Uuid::nil());
        ledger.worker_is(worker, "w", "cpu");
        ledger.video_added(video, 1.0);
        let issued = Change::AttemptIssued {
            attempt: AttemptId(4),
            item: WorkItem { video, stage: Stage::DenoiseLow, steps },
            text: None,
            worker,
            incarnation: Incarnation(Uuid::nil()),
        };
        ledger.record(&issued, 2.0);
        let waited = ledger.begins(AttemptId(4), 3.5).unwrap();
        ledger.begun(AttemptId(4), 1e9, waited);
        assert_eq!(ledger.begins(AttemptId(4), 9.0), None);
        let timing = StepTiming {
            seconds: 0.5,
            step_seconds: vec![0.25, 0.25],
            evaluations: vec![2, 1],
            input_wait_seconds: 0.1,
        };
        ledger.record(&Change::AttemptEnded { attempt: AttemptId(4), end: AttemptEnd::Done, steps, timing }, 4.0);
        let [record] = ledger.attempts(video, &[]).try_into().unwrap();
        assert_eq!((record.first_step, record.last_step), (Some(3), Some(4)));
        assert_eq!((record.queue_seconds, record.result.as_str()), (2.5, "done"));
        assert_eq!((record.worker.as_str(), record.device.as_str()), ("w", "cpu"));
        ledger.record(&Change::JobForgotten(video.job), 5.0);
        assert!(ledger.attempts(video, &[]).is_empty());
    }
}
