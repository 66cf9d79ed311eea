//! What somebody knows of the farm, and what is new to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wanfarm_types::{JobId, JobSummary, VideoStatus, WorkerId, WorkerStatus};

use crate::requests::News;

/// What was told last.
#[derive(Debug, Default)]
pub struct Known {
    /// Of jobs; `None` before anything was asked.
    version: Option<u64>,
    jobs: BTreeMap<JobId, JobSummary>,
    workers: BTreeMap<WorkerId, WorkerStatus>,
}

/// What is new.
#[derive(Debug, Default, PartialEq)]
pub struct Fresh {
    /// Lines of jobs.
    pub jobs: Vec<JobSummary>,
    /// Lines of videos, by job.
    pub videos: Vec<(JobId, Vec<Arc<VideoStatus>>)>,
    /// Lines of workers.
    pub workers: Vec<WorkerStatus>,
    /// Jobs that are not there any more.
    pub forgotten_jobs: Vec<JobId>,
    /// Workers that are not there any more.
    pub forgotten_workers: Vec<WorkerId>,
}

impl Fresh {
    /// Nothing is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Known {
    /// The version to ask news from; `None`: of everything, for the first time.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// Takes in what came of that, and says what is new; the first time everything is.
    pub fn take(&mut self, news: News) -> Fresh {
        self.version = Some(news.version);
        let gone: Vec<JobId> = self.jobs.keys().filter(|job| !news.known.contains(job)).copied().collect();
        gone.iter().for_each(|job| drop(self.jobs.remove(job)));
        let present: BTreeSet<WorkerId> = news.workers.iter().map(|line| line.id).collect();
        let left: Vec<WorkerId> = self.workers.keys().filter(|worker| !present.contains(worker)).copied().collect();
        left.iter().for_each(|worker| drop(self.workers.remove(worker)));
        let mut fresh = Fresh { forgotten_jobs: gone, forgotten_workers: left, ..Fresh::default() };
        for job in news.jobs {
            if self.jobs.insert(job.job, job.clone()).as_ref() != Some(&job) {
                fresh.jobs.push(job);
            }
        }
        fresh.videos = news.videos;
        for worker in news.workers {
            // When its last message came is news with every one of its messages, and to nobody: told with what else changes.
            let rest = worker.at_rest();
            if self.workers.insert(worker.id, rest.clone()).as_ref() != Some(&rest) {
                fresh.workers.push(worker);
            }
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_alone_are_told_to_nobody() {
        let mut known = Known::default();
        let mut take = |state: &str, second: u32| {
            let worker = WorkerStatus {
                state: state.to_owned(),
                last_seen: Some(format!("2026-11-28T21:04:{second:02}.000Z")),
                busy: Some(1.0 / f64::from(second)),
                ..WorkerStatus::default()
            };
            let (jobs, videos) = Default::default();
            let news = News { version: 1, known: BTreeSet::new(), jobs, videos, workers: vec![worker.clone()] };
            (known.take(news).workers, worker)
        };
        let (first, worker) = take("idle", 1);
        assert_eq!(first, [worker]);
        assert_eq!(take("idle", 2).0, []);
        let (changed, worker) = take("busy", 3);
        assert_eq!(changed, [worker], "what else changes is told with it");
        assert_eq!(take("busy", 4).0, []);
    }
}
