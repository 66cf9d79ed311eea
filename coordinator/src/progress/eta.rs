//! How long it will still take, from how long it took. No clock: the time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// The rate is taken over at least this long, so that one slow video does not swing it.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Samples are kept this far apart.
const SPACING: Duration = Duration::from_secs(5);
/// And over at least this much work, for videos that take longer than the window.
const MIN_VIDEOS: f64 = 1.0;
/// Less work than this says nothing yet.
const TOO_LITTLE: f64 = 0.05;

/// How fast work gets done, in videos: workers come and go, so the last quarter of an hour counts.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    samples: VecDeque<(Duration, f64)>,
}

impl Pace {
    /// Notes that `work` videos are done at `at`. The first note is where counting starts: what was done before
    /// says nothing about the pace.
    pub fn note(&mut self, at: Duration, work: f64) {
        let close = |&(last, _): &(Duration, f64)| at.saturating_sub(last) < SPACING;
        if self.samples.len() > 1 && self.samples.iter().nth_back(1).is_some_and(close) {
            self.samples.pop_back();
        }
        self.samples.push_back((at, work));
        while let Some(&(next, done)) = self.samples.get(1) {
            if at.saturating_sub(next) < WINDOW || work - done < MIN_VIDEOS {
                break;
            }
            self.samples.pop_front();
        }
    }

    /// How long `left` videos will take; `None` while too little has been done to tell.
    pub fn remaining(&self, left: f64) -> Option<Duration> {
        let (&(start, before), &(end, after)) = (self.samples.front()?, self.samples.back()?);
        let (seconds, work) = ((end.checked_sub(start)?).as_secs_f64(), after - before);
        if work < TOO_LITTLE || seconds <= 0.0 {
            return None;
        }
        Duration::try_from_secs_f64(left.max(0.0) * seconds / work).ok()
    }
}

/// How long the steps of one video will still take.
pub(crate) fn steps_left(step: u32, steps: u32, seconds_per_step: Option<f64>) -> Option<Duration> {
    let seconds = seconds_per_step.filter(|seconds| *seconds > 0.0)?;
    let left = steps.checked_sub(step).filter(|_| steps > 0)?;
    Duration::try_from_secs_f64(f64::from(left) * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_steady_pace_is_found() {
        let mut pace = Pace::default();
        assert_eq!(pace.remaining(5.0), None);
        for minute in 0..=30 {
            pace.note(secs(60 * minute), minute as f64 * 0.5);
        }
        assert_eq!(pace.remaining(10.0), Some(secs(20 * 60)));
        assert_eq!(pace.remaining(0.0), Some(secs(0)));
        assert_eq!(pace.remaining(-1.0), Some(secs(0)));
    }

    #[test]
    fn work_done_before_is_no_pace() {
        let mut pace = Pace::default();
        pace.note(secs(0), 90.0);
        assert_eq!(pace.remaining(10.0), None, "90 videos in no time");
        pace.note(secs(1), 90.01);
        assert_eq!(pace.remaining(10.0), None, "too little to tell");
        pace.note(secs(100), 91.0);
        assert_eq!(pace.remaining(9.0), Some(secs(900)));
    }

    #[test]
    fn more_workers_count_within_the_window() {
        let mut pace = Pace::default();
        let mut work = 0.0;
        for minute in 0..120 {
            work += if minute < 60 { 0.1 } else { 1.0 };
            pace.note(secs(60 * minute), work);
        }
        let remaining = pace.remaining(60.0).unwrap();
        assert!(remaining.abs_diff(secs(3600)) < secs(60), "{remaining:?}");
    }

    #[test]
    fn videos_longer_than_the_window_still_have_a_pace() {
        let mut pace = Pace::default();
        for step in 0..200 {
            pace.note(secs(step * 120), step as f64 / 100.0);
        }
        let remaining = pace.remaining(1.0).unwrap();
        assert!(remaining.abs_diff(secs(12_000)) < secs(200), "{remaining:?}");
        assert!(pace.samples.len() < 120);
    }

    #[test]
    fn many_notes_take_little_room() {
        let mut pace = Pace::default();
        for tenth in 0..200_000u64 {
            pace.note(Duration::from_millis(tenth * 100), tenth as f64 / 100.0);
        }
        assert!(pace.samples.len() < 400, "{}", pace.samples.len());
        assert!(pace.remaining(10.0).unwrap().abs_diff(secs(100)) < secs(2));
    }

    #[test]
    fn odd_numbers_are_no_estimate() {
        assert_eq!(steps_left(3, 20, Some(2.0)), Some(secs(34)));
        for (step, steps, seconds) in [(3, 0, Some(1.0)), (21, 20, Some(1.0)), (3, 20, None), (3, 20, Some(f64::NAN))] {
            assert_eq!(steps_left(step, steps, seconds), None);
        }
        assert_eq!(steps_left(0, u32::MAX, Some(f64::MAX)), None);
        let mut pace = Pace::default();
        pace.note(secs(10), 0.0);
        pace.note(secs(5), 1.0);
        assert_eq!(pace.remaining(1.0), None, "a clock that went back");
    }
}
