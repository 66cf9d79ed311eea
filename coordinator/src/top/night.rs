//! What is known of the night, and what follows from it: when it ends, in which order things are shown.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use wanfarm_types::{JobState, JobSummary, Stage, VideoId, VideoStatus, WorkerStatus};

/// Everything that was heard of a farm, at one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Night {
    pub(crate) jobs: Vec<JobSummary>,
    pub(crate) workers: Vec<WorkerStatus>,
    /// How long all of it takes; absent while that cannot be told.
    pub(crate) left: Option<Left>,
    /// The lines of videos that are being rendered, as far as they have been told.
    pub(crate) videos: BTreeMap<VideoId, Arc<VideoStatus>>,
}

/// How long all takes, as it was estimated at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) at: DateTime<Utc>,
    pub(crate) time: Duration,
    /// The stage that takes its workers the longest.
    pub(crate) bottleneck: Option<Stage>,
}

/// When everything is finished.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Finish<'n> {
    At(DateTime<Utc>),
    /// That cannot be told yet; for whom a job waits, if one does.
    UnderWay(Option<&'n str>),
    /// Not before somebody resumes so many jobs.
    Paused(usize),
    /// Everything has ended; the last job that did.
    Over(&'n JobSummary),
    Nothing,
}

/// Videos, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) videos: u32,
    pub(super) done: u32,
    pub(super) running: u32,
    pub(super) failed: u32,
    pub(super) cancelled: u32,
}

impl Counts {
    pub(super) fn of<'j>(jobs: impl IntoIterator<Item = &'j JobSummary>) -> Self {
        jobs.into_iter().fold(Self::default(), |sum, job| Self {
            videos: sum.videos.saturating_add(job.videos),
            done: sum.done.saturating_add(job.done),
            running: sum.running.saturating_add(job.running),
            failed: sum.failed.saturating_add(job.failed),
            cancelled: sum.cancelled.saturating_add(job.cancelled),
        })
    }

    pub(super) fn waiting(self) -> u32 {
        let Self { videos, done, running, failed, cancelled } = self;
        [done, running, failed, cancelled].into_iter().fold(videos, u32::saturating_sub)
    }

    pub(super) fn ended(self) -> u32 {
        self.done.saturating_add(self.failed).saturating_add(self.cancelled)
    }
}

impl Night {
    pub(super) fn open(&self) -> impl Iterator<Item = &JobSummary> {
        self.jobs.iter().filter(|job| !job.state.is_end())
    }

    pub(super) fn finish(&self) -> Finish<'_> {
        let mut active = self.open().filter(|job| job.state != JobState::Paused).peekable();
        if active.peek().is_some() {
            let end = self.left.and_then(|left| left.at.checked_add_signed(TimeDelta::from_std(left.time).ok()?));
            return end.map_or_else(|| Finish::UnderWay(active.find_map(|job| job.waiting_for.as_deref())), Finish::At);
        }
        let paused = self.open().count();
        let last = self.jobs.iter().filter(|job| job.ended.is_some()).max_by_key(|job| job.ended.as_deref());
        match (paused, last) {
            (1.., _) => Finish::Paused(paused),
            (0, Some(last)) => Finish::Over(last),
            (0, None) => Finish::Nothing,
        }
    }

    /// Jobs that go on first, as they get work; then those that are over, the latest first.
    pub(super) fn jobs_in_order(&self) -> Vec<&JobSummary> {
        let mut jobs: Vec<&JobSummary> = self.jobs.iter().collect();
        jobs.sort_by_key(|job| match job.state {
            JobState::Paused => (1, Reverse(u64::from(job.priority)), job.job.0),
            state if state.is_end() => (2, Reverse(job.job.0), 0),
            _ => (0, Reverse(u64::from(job.priority)), job.job.0),
        });
        jobs
    }

    /// Workers that compute, by name, so that lines stay where they are while videos come and go.
    pub(super) fn computing(&self) -> Vec<&WorkerStatus> {
        let mut workers: Vec<&WorkerStatus> = self.workers.iter().filter(|worker| worker.running.is_some()).collect();
        workers.sort_by(|a, b| by_name(&a.name, &b.name).then_with(|| a.id.cmp(&b.id)));
        workers
    }

    /// All workers by name, those that are gone last.
    pub(super) fn workers_in_order(&self) -> Vec<&WorkerStatus> {
        let mut workers: Vec<&WorkerStatus> = self.workers.iter().collect();
        workers.sort_by(|a, b| {
            let names = || by_name(&a.name, &b.name).then_with(|| a.id.cmp(&b.id));
            a.is_gone().cmp(&b.is_gone()).then_with(names)
        });
        workers
    }
}

/// Orders names as people count: `studio-2` before `studio-10`.
fn by_name(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (left, right) = (number(a), number(b));
        let order = match (left, right) {
            // Without leading zeros the longer number is the greater one.
            (Some((m, _)), Some((n, _))) => m.len().cmp(&n.len()).then_with(|| m.cmp(n)),
            _ => a.chars().next().cmp(&b.chars().next()),
        };
        if order.is_ne() || a.is_empty() {
            return order;
        }
        let after_letter = |text: &str| text.chars().next().map_or(0, char::len_utf8);
        a = &a[left.map_or_else(|| after_letter(a), |(_, length)| length)..];
        b = &b[right.map_or_else(|| after_letter(b), |(_, length)| length)..];
    }
}

/// The number a text starts with, without leading zeros, and how many bytes of the text it takes.
fn number(text: &str) -> Option<(&str, usize)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    (length > 0).then(|| (text[..length].trim_start_matches('0'), length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::JobId;

    fn job(job: u64, state: JobState, priority: u32) -> JobSummary {
        JobSummary { job: JobId(job), state, priority, videos: 10, done: 4, running: 2, ..JobSummary::default() }
    }

    #[test]
    fn the_end_is_that_of_the_last_estimate() {
        let at = DateTime::UNIX_EPOCH;
        let left = Some(Left { at, time: Duration::from_secs(60), bottleneck: None });
        let mut night = Night { jobs: vec![job(1, JobState::Active, 5)], left, ..Night::default() };
        assert_eq!(night.finish(), Finish::At(at + TimeDelta::seconds(60)));
        night.left = None;
        assert_eq!(night.finish(), Finish::UnderWay(None));
        night.jobs[0].waiting_for = Some("a vae worker".into());
        assert_eq!(night.finish(), Finish::UnderWay(Some("a vae worker")));
        night.jobs[0].state = JobState::Paused;
        assert_eq!(night.finish(), Finish::Paused(1));
        assert_eq!(Night::default().finish(), Finish::Nothing);
        let ended = |number, ended: &str| JobSummary { ended: Some(ended.into()), ..job(number, JobState::Done, 5) };
        night.jobs = vec![ended(1, "2026-11-29T06:00:00Z"), ended(2, "2026-11-29T05:00:00Z")];
        assert_eq!(night.finish(), Finish::Over(&night.jobs[0]));
    }

    #[test]
    fn jobs_stand_as_they_get_work() {
        use JobState::{Active, Done, Failed, Paused};
        let jobs = [job(1, Done, 9), job(2, Paused, 9), job(3, Active, 1), job(4, Active, 9), job(5, Failed, 1)];
        let night = Night { jobs: jobs.to_vec(), ..Night::default() };
        let order: Vec<u64> = night.jobs_in_order().iter().map(|job| job.job.0).collect();
        assert_eq!(order, [4, 3, 2, 5, 1]);
    }

    #[test]
    fn videos_are_counted_over_jobs() {
        let counts = Counts::of(&[job(1, JobState::Active, 5), job(2, JobState::Active, 5)]);
        assert_eq!((counts.videos, counts.ended(), counts.waiting()), (20, 8, 8));
        let odd = Counts { videos: 1, done: 2, ..Counts::default() };
        assert_eq!(odd.waiting(), 0);
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["studio-10", "studio-2", "studio-2b", "Atelier", "studio", "studio-02", "ä", ""];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["", "Atelier", "studio", "studio-2", "studio-02", "studio-2b", "studio-10", "ä"]);
    }
}
