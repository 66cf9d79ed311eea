//! What a job waits for. Every answer to every watcher contains it, so it is cached, and computed anew only when
//! something it depends on has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use wanfarm_scheduler::NoRoom;
use wanfarm_types::{JobId, JobState, Role, VideoId};

use super::Driver;
use crate::estimate::{room_words, stages_left};
use crate::jobs::Job;

/// How long a hint holds while its job makes progress.
const HINT_LIFETIME: Duration = Duration::from_secs(1);

/// The last hint of each job.
#[derive(Debug, Default)]
pub(super) struct Hints(BTreeMap<JobId, Hint>);

#[derive(Debug)]
struct Hint {
    words: String,
    /// Versions of the workers and of the job it was computed from.
    farm: u64,
    job: u64,
    at: Instant,
    /// Every role of the model has a worker.
    is_served: bool,
}

/// Videos whose frames could not be read from their worker, and why; they are tried again.
#[derive(Debug, Default)]
pub(super) struct Unread {
    videos: BTreeMap<VideoId, String>,
    version: u64,
}

impl Unread {
    pub(super) fn insert(&mut self, video: VideoId, why: String) {
        self.videos.insert(video, why);
        self.version += 1;
    }

    pub(super) fn remove(&mut self, video: VideoId) {
        self.version += u64::from(self.videos.remove(&video).is_some());
    }
}

impl Hints {
    /// A job is forgotten.
    pub(super) fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }
}

impl Hint {
    fn holds(&self, farm: u64, job: u64) -> bool {
        self.farm == farm && (self.is_served || self.job == job || self.at.elapsed() < HINT_LIFETIME)
    }
}

impl Driver {
    /// What a job waits for; empty when it waits for nothing.
    pub(super) fn waiting_for(&mut self, id: JobId) -> String {
        let Some(job) = self.registry.jobs.get(id) else { return String::new() };
        if job.ended().is_some() {
            self.hints.forget(id);
            return self.report_waits_for(id);
        }
        if let Some(why) = self.obstacles.of_store() {
            return why.to_owned();
        }
        if job.state().is_end() || job.state() == JobState::Paused {
            return job.suspend_reason().unwrap_or_default().to_owned();
        }
        if let Some(silent) = self.silence() {
            return silent.to_string();
        }
        let (farm, version) = (self.farm_version(), job.version());
        if let Some(hint) = self.hints.0.get(&id).filter(|hint| hint.holds(farm, version)) {
            return self.or_unreadable(id, hint.words.clone());
        }
        let (words, is_served) = self.look_for_missing(job);
        let hint = Hint { words: words.clone(), farm, job: version, at: Instant::now(), is_served };
        self.hints.0.insert(id, hint);
        self.or_unreadable(id, words)
    }

    /// The roles without workers; if there are none, results that cannot be read at present.
    fn or_unreadable(&self, job: JobId, missing: String) -> String {
        if !missing.is_empty() {
            return missing;
        }
        let number = |video| self.registry.jobs.in_manifest(video).map(|video| video.index);
        let of_job = VideoId { job, index: 0 }..=VideoId { job, index: u32::MAX };
        let frames = self.unread.videos.range(of_job).next();
        let frames =
            frames.and_then(|(video, why)| Some(format!("the frames of video {}, from {why}", number(*video)?)));
        let lost = || {
            let (video, losses) = self.scheduler.resting(job)?;
            Some(format!("results that video {} needs, lost {losses} times: they are made again", number(video)?))
        };
        frames.or_else(lost).unwrap_or_default()
    }

    /// What is missing, and whether the answer holds for as long as the workers stay.
    fn look_for_missing(&self, job: &Job) -> (String, bool) {
        let model = &job.submission.model;
        let Some(known) = self.registry.catalog.get(model) else { return (self.missing(model, &[]), false) };
        let unserved = self.unserved(model, &known.info.roles());
        if unserved.is_empty() {
            let words =
                |lack: NoRoom| format!("a worker with room for {} of model {model}: {}", lack.role, room_words(lack));
            return (self.scheduler.no_room(job.id).map(words).unwrap_or_default(), true);
        }
        // Some role has no worker. Roles with no remaining work in this job are ignored.
        let needed = self.needed(job.id, &unserved);
        (self.missing(model, &needed), false)
    }

    /// Those of some roles that a job still needs: looks at its videos until each was found to be needed.
    fn needed(&self, job: JobId, roles: &[Role]) -> Vec<Role> {
        let mut open: BTreeSet<Role> = roles.iter().copied().collect();
        for (_, plan, progress) in self.scheduler.remaining(job) {
            for stage in stages_left(plan, progress) {
                open.remove(&stage.role());
            }
            if open.is_empty() {
                break;
            }
        }
        roles.iter().copied().filter(|role| !open.contains(role)).collect()
    }

    /// Grows with every change of the workers that may be given work.
    fn farm_version(&self) -> u64 {
        self.sessions.version() + self.registry.standings
    }

    /// Grows with every change that a watcher may have to be told.
    pub(super) fn version(&self) -> u64 {
        self.registry.jobs.version() + self.farm_version() + self.obstacles.version() + self.unread.version
    }
}
