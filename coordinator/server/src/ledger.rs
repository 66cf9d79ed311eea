//! The attempts of every video, for its sidecar.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_scheduler::{Change, TextKey, VideoPhase};
use wanfarm_types::{AttemptId, JobId, Stage, VideoId, WorkerId, WorkerStatus};

use crate::attempt::AttemptRecord;
use crate::times::Moment;
use crate::totals::{Tally, Totals};

/// Attempts by the video, or by the job and the text, they served. A text that several jobs read was encoded for the
/// one that asked first, and is told of there.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    open: BTreeMap<AttemptId, AttemptRecord>,
    videos: BTreeMap<VideoId, Vec<AttemptRecord>>,
    texts: BTreeMap<(JobId, TextKey), Vec<AttemptRecord>>,
    tallies: BTreeMap<JobId, Tally>,
    /// When each video's (or text's) previous piece of work ended: the next one has waited since then.
    free_since: BTreeMap<VideoId, f64>,
    workers: BTreeMap<WorkerId, KnownWorker>,
    /// Attempts that were ever recorded.
    issued: u64,
}

/// What is shown of a worker, attached or not.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct KnownWorker {
    /// Its name, as it was last told.
    pub name: String,
    pub device: String,
    /// When it was last known to be there, to a day, by the farm's clock.
    pub seen: f64,
}

impl Ledger {
    /// A video entered the farm: its first item waits from now on. Times are seconds since one origin.
    pub(crate) fn video_added(&mut self, video: VideoId, now: f64) {
        self.free_since.insert(video, now);
    }

    /// Sets name and device of a worker.
    pub(crate) fn worker_is(&mut self, worker: WorkerId, known: KnownWorker) {
        self.workers.insert(worker, known);
    }

    /// Forgets a worker that no row names.
    pub(crate) fn forget_worker(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }

    /// Name and device of a worker.
    pub(crate) fn worker(&self, worker: WorkerId) -> Option<&KnownWorker> {
        self.workers.get(&worker)
    }

    /// All workers that are known.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (WorkerId, &KnownWorker)> {
        self.workers.iter().map(|(&worker, known)| (worker, known))
    }

    /// The workers that an attempt of some job names.
    pub(crate) fn named(&self) -> BTreeSet<WorkerId> {
        let ended = self.tallies.values().flat_map(Tally::workers);
        ended.chain(self.open.values().map(|open| open.worker_id)).collect()
    }

    /// The video that an attempt which is out with a worker serves, and the text it encodes.
    pub(crate) fn open(&self, attempt: AttemptId) -> Option<(VideoId, Option<TextKey>)> {
        self.open.get(&attempt).map(|open| (open.video, open.text))
    }

    /// The worker that an attempt is out with.
    pub(crate) fn worker_of(&self, attempt: AttemptId) -> Option<WorkerId> {
        self.open.get(&attempt).map(|open| open.worker_id)
    }

    /// The stage of an attempt that is out.
    pub(crate) fn stage_of(&self, attempt: AttemptId) -> Option<Stage> {
        self.open.get(&attempt).map(|open| open.stage)
    }

    /// No attempt is out with a worker.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Grows with every attempt.
    pub(crate) fn issued(&self) -> u64 {
        self.issued
    }

    /// How long an item has waited whose device begins now; `None` when that is known already, or cannot be.
    pub(crate) fn begins(&self, attempt: AttemptId, now: f64) -> Option<f64> {
        let ready_at = self.open.get(&attempt)?.ready_at?;
        Some((now - ready_at).max(0.0))
    }

    /// An attempt's computation began, its item having waited for so many seconds.
    pub(crate) fn begun(&mut self, attempt: AttemptId, begun: Moment, waited: f64) {
        if let Some(open) = self.open.get_mut(&attempt) {
            (open.begun, open.queue_seconds, open.ready_at) = (Some(begun.at), waited, None);
            self.tallies.entry(open.video.job).or_default().begun(begun.elapsed);
        }
    }

    /// Records the rows that concern attempts. `passes`: how often each step of a stage of a video runs the
    /// transformer without a step cache.
    pub(crate) fn record(&mut self, change: &Change, now: f64, passes: impl Fn(VideoId, Stage) -> u32) {
        match change {
            Change::AttemptIssued { attempt, item, text, worker, .. } => {
                self.issued += 1;
                let ready_at = self.free_since.get(&item.video).copied().unwrap_or(now);
                self.open.insert(*attempt, AttemptRecord::new(item, *text, *worker, ready_at));
            }
            Change::AttemptEnded { attempt, end, steps, timing } => {
                let Some(mut record) = self.open.remove(attempt) else { return };
                if let Some(worker) = self.workers.get(&record.worker_id) {
                    (record.worker, record.device) = (worker.name.clone(), worker.device.clone());
                }
                record.end(end, *steps, timing.clone());
                let video = record.video;
                self.free_since.insert(video, now);
                let passes = passes(video, record.stage);
                self.tallies.entry(video.job).or_default().count(&record, passes);
                match record.text {
                    Some(text) => self.texts.entry((video.job, text)).or_default().push(record),
                    None => self.videos.entry(video).or_default().push(record),
                }
            }
            Change::VideoPhase { video, state: VideoPhase::Done } => drop(self.free_since.remove(video)),
            Change::JobForgotten(job) => {
                self.open.retain(|_, open| open.video.job != *job);
                self.videos.retain(|video, _| video.job != *job);
                self.texts.retain(|(of, _), _| of != job);
                self.tallies.remove(job);
                self.free_since.retain(|video, _| video.job != *job);
            }
            _ => {}
        }
    }

    /// The clock begins anew: what was out before a restart has waited for an unknown time.
    pub(crate) fn restarted(&mut self) {
        self.free_since.clear();
        self.open.values_mut().for_each(|open| open.ready_at = None);
    }

    /// Everything that was done for a video, its texts first as far as its own job had them encoded.
    pub(crate) fn attempts(&self, video: VideoId, texts: &[TextKey]) -> Vec<AttemptRecord> {
        let texts = texts.iter().filter_map(|text| self.texts.get(&(video.job, *text))).flatten();
        texts.chain(self.videos.get(&video).into_iter().flatten()).cloned().collect()
    }

    /// The totals of a job so far. `workers`: those that are known now.
    pub(crate) fn totals(&self, job: JobId, workers: Vec<WorkerStatus>) -> Totals {
        self.tallies.get(&job).map(|tally| tally.totals(workers)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use wanfarm_scheduler::AttemptEnd;
    use wanfarm_types::{Digest, Incarnation, StepRange, StepTiming, WorkItem};

    fn worker() -> WorkerId {
        WorkerId(Uuid::nil())
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.worker_is(worker(), KnownWorker { name: "w".into(), device: "cpu".into(), seen: 0.0 });
        ledger
    }

    fn issued(attempt: u64, video: VideoId, stage: Stage, text: Option<TextKey>) -> Change {
        let steps = StepRange { first: 3, end: 5 };
        Change::AttemptIssued {
            attempt: AttemptId(attempt),
            item: WorkItem { video, stage, steps },
            text,
            worker: worker(),
            incarnation: Incarnation(Uuid::nil()),
        }
    }

    fn ended(attempt: u64) -> Change {
        let timing = StepTiming {
            seconds: 0.5,
            step_seconds: vec![0.25, 0.25],
            forward_passes: vec![2, 1],
            input_wait_seconds: 0.1,
            text_tokens: 0,
            load_seconds: 0.0,
        };
        let steps = StepRange { first: 3, end: 5 };
        Change::AttemptEnded { attempt: AttemptId(attempt), end: AttemptEnd::Done, steps, timing }
    }

    #[test]
    fn an_attempt_is_told_with_its_waiting_time() {
        let (mut ledger, video) = (ledger(), VideoId { job: JobId(1), index: 0 });
        ledger.video_added(video, 1.0);
        ledger.record(&issued(4, video, Stage::DenoiseLow, None), 2.0, |_, _| 2);
        let waited = ledger.begins(AttemptId(4), 3.5).unwrap();
        ledger.begun(AttemptId(4), Moment { at: 1e9, elapsed: 3.5 }, waited);
        assert_eq!(ledger.begins(AttemptId(4), 9.0), None);
        ledger.record(&ended(4), 4.0, |_, _| 2);
        let [record] = ledger.attempts(video, &[]).try_into().unwrap();
        assert_eq!((record.first_step, record.last_step), (Some(3), Some(4)));
        assert_eq!((record.queue_seconds, record.result.as_str()), (2.5, "done"));
        assert_eq!((record.worker.as_str(), record.device.as_str()), ("w", "cpu"));
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["begun"], "2001-09-09T01:46:40.000Z");
        let totals = ledger.totals(video.job, Vec::new());
        assert_eq!((totals.begun, totals.shares[0].effort.skipped), (Some(3.5), 1));
        ledger.record(&Change::JobForgotten(video.job), 5.0, |_, _| 2);
        assert!(ledger.attempts(video, &[]).is_empty());
    }

    #[test]
    fn a_text_is_told_of_by_the_job_that_had_it_encoded_and_by_no_other() {
        let (mut ledger, text) = (ledger(), TextKey(Digest([1; 32])));
        let video = |job| VideoId { job: JobId(job), index: 0 };
        for job in 1..3 {
            ledger.record(&issued(job, video(job), Stage::EncodeText, Some(text)), 0.0, |_, _| 0);
            ledger.record(&ended(job), 1.0, |_, _| 0);
        }
        for job in 1..3 {
            assert_eq!(ledger.attempts(video(job), &[text]).len(), 1);
            assert_eq!(ledger.totals(JobId(job), Vec::new()).shares[0].effort.attempts, 1);
        }
        assert!(ledger.attempts(video(3), &[text]).is_empty(), "it found the text encoded");
        ledger.record(&Change::JobForgotten(JobId(1)), 2.0, |_, _| 0);
        assert!(ledger.attempts(video(1), &[text]).is_empty());
        assert!(ledger.named().contains(&worker()));
        assert_eq!(ledger.attempts(video(2), &[text]).len(), 1);
    }
}
