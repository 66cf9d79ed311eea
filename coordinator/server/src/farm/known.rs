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
            if self.workers.insert(worker.id, worker.clone()).as_ref() != Some(&worker) {
                fresh.workers.push(worker);
            }
        }
        fresh
    }
}
