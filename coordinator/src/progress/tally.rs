//! How far the whole job is: the last word on every video, counted. It draws nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wanfarm_types::{JobId, Stage, VideoId, VideoState, VideoStatus};

use super::eta::Pace;

/// The share of a video's work that comes after its last step; only has to be roughly right.
const AFTER_STEPS: f64 = 0.1;

/// The state of a job as the lines of its videos tell it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    job: JobId,
    pub(crate) total: usize,
    pub(crate) done: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    videos: BTreeMap<u32, Arc<VideoStatus>>,
    work: f64,
    pace: Pace,
}

/// What a new line changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing visible.
    Nothing,
    /// The step or its speed.
    Step,
    /// The stage or the state.
    Stage,
    /// The job has ended.
    End,
}

impl Tally {
    pub(crate) fn new(job: JobId, total: usize) -> Self {
        Self { job, total, ..Self::default() }
    }

    /// The reference of a video: `JOB/INDEX`.
    pub(crate) fn id(&self, video: &VideoStatus) -> VideoId {
        VideoId { job: self.job, index: video.index }
    }

    pub(crate) fn apply(&mut self, video: &Arc<VideoStatus>) -> Change {
        let before = self.videos.get(&video.index);
        let change = match before {
            Some(before) if before == video => return Change::Nothing,
            Some(before) if before.state == video.state && before.stage == video.stage => Change::Step,
            _ if video.state.is_end() => Change::End,
            None if video.state == VideoState::Waiting => Change::Nothing,
            _ => Change::Stage,
        };
        self.work += fraction(video) - before.map_or(0.0, |before| fraction(before));
        // A retried video comes back from its end.
        if let Some(counter) = before.map(|before| before.state).and_then(|state| self.counter(state)) {
            *counter -= 1;
        }
        if let Some(counter) = self.counter(video.state) {
            *counter += 1;
        }
        self.videos.insert(video.index, video.clone());
        self.total = self.total.max(self.videos.len());
        change
    }

    /// Notes the time after a batch of events.
    pub(crate) fn note(&mut self, at: Duration) {
        self.pace.note(at, self.work);
    }

    /// The videos that are being worked on, in order.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<VideoStatus>> {
        self.videos.values().filter(|video| matches!(video.state, VideoState::Running | VideoState::Writing))
    }

    pub(crate) fn ended(&self) -> usize {
        self.done + self.failed + self.cancelled
    }

    /// How long the job will still take.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.pace.remaining(self.total as f64 - self.work)
    }

    fn counter(&mut self, state: VideoState) -> Option<&mut usize> {
        match state {
            VideoState::Done => Some(&mut self.done),
            VideoState::Failed => Some(&mut self.failed),
            VideoState::Cancelled => Some(&mut self.cancelled),
            VideoState::Waiting | VideoState::Running | VideoState::Writing | VideoState::Unknown => None,
        }
    }
}

/// How much of a video is done, 0 to 1.
fn fraction(video: &VideoStatus) -> f64 {
    let stepped =
        if video.steps == 0 { 0.0 } else { f64::from(video.steps_done.min(video.steps)) / f64::from(video.steps) };
    match (video.state, video.stage) {
        (state, _) if state.is_end() => 1.0,
        (VideoState::Writing, _) => 1.0 - AFTER_STEPS / 2.0,
        (_, Some(Stage::Decode)) => 1.0 - AFTER_STEPS,
        _ => stepped * (1.0 - AFTER_STEPS),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const JOB: JobId = JobId(7);

    pub(crate) fn event(index: u32, stage: Option<Stage>, steps_done: u32, state: VideoState) -> Arc<VideoStatus> {
        let prompt = format!("a red ball {index}");
        let seconds_per_step = (steps_done > 0).then_some(1.5);
        Arc::new(VideoStatus {
            index,
            prompt,
            stage,
            steps_done,
            steps: 20,
            seconds_per_step,
            state,
            ..Default::default()
        })
    }

    pub(crate) fn failed(index: u32, steps_done: u32, error: &str) -> Arc<VideoStatus> {
        let line = Arc::unwrap_or_clone(event(index, None, steps_done, VideoState::Failed));
        Arc::new(VideoStatus { error: Some(error.to_owned()), ..line })
    }

    #[test]
    fn changes_and_counts() {
        let mut tally = Tally::new(JOB, 3);
        let high = Some(Stage::DenoiseHigh);
        assert_eq!(tally.apply(&event(0, None, 0, VideoState::Waiting)), Change::Nothing);
        assert_eq!(tally.apply(&event(0, high, 0, VideoState::Running)), Change::Stage);
        assert_eq!(tally.apply(&event(0, high, 1, VideoState::Running)), Change::Step);
        assert_eq!(tally.apply(&event(0, high, 1, VideoState::Running)), Change::Nothing);
        assert_eq!(tally.active().count(), 1);
        assert!((tally.work - 0.045).abs() < 1e-9);
        assert_eq!(tally.apply(&event(0, Some(Stage::DenoiseLow), 13, VideoState::Running)), Change::Stage);
        assert_eq!(tally.apply(&event(0, None, 20, VideoState::Done)), Change::End);
        assert_eq!(tally.apply(&failed(1, 3, "out of memory")), Change::End);
        assert_eq!((tally.done, tally.failed, tally.ended(), tally.active().count()), (1, 1, 2, 0));
        assert!((tally.work - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_retried_video_is_not_counted_twice() {
        let mut tally = Tally::new(JOB, 1);
        tally.apply(&failed(0, 3, "x"));
        tally.apply(&event(0, None, 0, VideoState::Waiting));
        assert_eq!((tally.failed, tally.ended(), tally.work), (0, 0, 0.0));
        tally.apply(&event(0, None, 20, VideoState::Done));
        assert_eq!((tally.done, tally.failed, tally.work), (1, 0, 1.0));
    }

    #[test]
    fn videos_beyond_the_total_raise_it() {
        let mut tally = Tally::new(JOB, 0);
        tally.apply(&event(4, None, 20, VideoState::Done));
        assert_eq!(tally.total, 1);
    }

    #[test]
    fn the_job_is_estimated_from_its_own_pace() {
        let mut tally = Tally::new(JOB, 4);
        tally.note(Duration::ZERO);
        for index in 0..2 {
            tally.apply(&event(index, None, 20, VideoState::Done));
            tally.note(Duration::from_secs(u64::from(index + 1) * 60));
        }
        assert_eq!(tally.remaining(), Some(Duration::from_secs(120)));
    }
}
