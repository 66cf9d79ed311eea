//! How far the whole job is: the last word on every video, counted. It draws nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use wanfarm_types::{Stage, VideoId};

use super::eta::Pace;
use super::event::{VideoProgress, VideoState};

/// The share of a video's work that comes after its last step; only has to be roughly right.
const AFTER_STEPS: f64 = 0.1;

/// The state of a job as its events tell it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: usize,
    pub(crate) done: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    videos: BTreeMap<VideoId, VideoProgress>,
    work: f64,
    pace: Pace,
}

/// What an event changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that is shown.
    Nothing,
    /// The step or its speed.
    Step,
    /// The stage or the state.
    Stage,
    /// It ended.
    End,
}

impl Tally {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, ..Self::default() }
    }

    pub(crate) fn apply(&mut self, event: &VideoProgress) -> Change {
        let before = self.videos.get(&event.id);
        let change = match before {
            Some(before) if before == event => return Change::Nothing,
            Some(before) if before.state == event.state && before.stage == event.stage => Change::Step,
            _ if event.state.is_end() => Change::End,
            None if event.state == VideoState::Waiting => Change::Nothing,
            _ => Change::Stage,
        };
        self.work += fraction(event) - before.map_or(0.0, fraction);
        // A retried video comes back from its end.
        if let Some(counter) = before.map(|before| before.state.clone()).and_then(|state| self.counter(&state)) {
            *counter -= 1;
        }
        if let Some(counter) = self.counter(&event.state) {
            *counter += 1;
        }
        self.videos.insert(event.id, event.clone());
        self.total = self.total.max(self.videos.len());
        change
    }

    /// Notes the time after a batch of events.
    pub(crate) fn note(&mut self, at: Duration) {
        self.pace.note(at, self.work);
    }

    /// The videos that are being worked on, in order.
    pub(crate) fn active(&self) -> impl Iterator<Item = &VideoProgress> {
        self.videos.values().filter(|video| matches!(video.state, VideoState::Running | VideoState::Writing))
    }

    pub(crate) fn ended(&self) -> usize {
        self.done + self.failed + self.cancelled
    }

    /// How long the job will still take.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.pace.remaining(self.total as f64 - self.work)
    }

    fn counter(&mut self, state: &VideoState) -> Option<&mut usize> {
        match state {
            VideoState::Done => Some(&mut self.done),
            VideoState::Failed(_) => Some(&mut self.failed),
            VideoState::Cancelled => Some(&mut self.cancelled),
            VideoState::Waiting | VideoState::Running | VideoState::Writing => None,
        }
    }
}

/// How much of a video is done, 0 to 1.
fn fraction(video: &VideoProgress) -> f64 {
    let stepped = if video.steps == 0 { 0.0 } else { f64::from(video.step.min(video.steps)) / f64::from(video.steps) };
    match (&video.state, video.stage) {
        (state, _) if state.is_end() => 1.0,
        (VideoState::Writing, _) => 1.0 - AFTER_STEPS / 2.0,
        (_, Some(Stage::Decode)) => 1.0 - AFTER_STEPS,
        _ => stepped * (1.0 - AFTER_STEPS),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use wanfarm_types::JobId;

    use super::*;

    pub(crate) fn event(index: u32, stage: Option<Stage>, step: u32, state: VideoState) -> VideoProgress {
        let id = VideoId { job: JobId(7), index };
        let label = format!("a red ball {index}");
        VideoProgress { id, label, stage, step, steps: 20, seconds_per_step: (step > 0).then_some(1.5), state }
    }

    #[test]
    fn changes_and_counts() {
        let mut tally = Tally::new(3);
        let high = Some(Stage::DenoiseHigh);
        assert_eq!(tally.apply(&event(0, None, 0, VideoState::Waiting)), Change::Nothing);
        assert_eq!(tally.apply(&event(0, high, 0, VideoState::Running)), Change::Stage);
        assert_eq!(tally.apply(&event(0, high, 1, VideoState::Running)), Change::Step);
        assert_eq!(tally.apply(&event(0, high, 1, VideoState::Running)), Change::Nothing);
        assert_eq!(tally.active().count(), 1);
        assert!((tally.work - 0.045).abs() < 1e-9);
        assert_eq!(tally.apply(&event(0, Some(Stage::DenoiseLow), 13, VideoState::Running)), Change::Stage);
        assert_eq!(tally.apply(&event(0, None, 20, VideoState::Done)), Change::End);
        assert_eq!(tally.apply(&event(1, None, 3, VideoState::Failed("out of memory".into()))), Change::End);
        assert_eq!((tally.done, tally.failed, tally.ended(), tally.active().count()), (1, 1, 2, 0));
        assert!((tally.work - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_retried_video_is_not_counted_twice() {
        let mut tally = Tally::new(1);
        tally.apply(&event(0, None, 3, VideoState::Failed("x".into())));
        tally.apply(&event(0, None, 0, VideoState::Waiting));
        assert_eq!((tally.failed, tally.ended(), tally.work), (0, 0, 0.0));
        tally.apply(&event(0, None, 20, VideoState::Done));
        assert_eq!((tally.done, tally.failed, tally.work), (1, 0, 1.0));
    }

    #[test]
    fn videos_beyond_the_total_raise_it() {
        let mut tally = Tally::new(0);
        tally.apply(&event(4, None, 20, VideoState::Done));
        assert_eq!(tally.total, 1);
    }

    #[test]
    fn the_job_is_estimated_from_its_own_pace() {
        let mut tally = Tally::new(4);
        tally.note(Duration::ZERO);
        for index in 0..2 {
            tally.apply(&event(index, None, 20, VideoState::Done));
            tally.note(Duration::from_secs(u64::from(index + 1) * 60));
        }
        assert_eq!(tally.remaining(), Some(Duration::from_secs(120)));
    }
}
