//! Jobs as people see them: requests, resolved specs, and where every video stands.
//!
//! Deliberately not here: decisions. The scheduler decides; this remembers what to show, to write into sidecars,
//! and to tell watchers. Every change carries a version, so that a watcher asks only for what is new to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use wanfarm_scheduler::{JobPlan, TextKey};
use wanfarm_types::{JobId, ModelCard, Stage, VideoId, VideoRequest, VideoSpec};

use crate::images::{self, Images};
use crate::plan;

/// A job to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Chosen by the client; a repeated one names the job made the first time.
    pub client_key: String,
    /// Name of the job.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Higher goes first.
    pub priority: u32,
    /// The first, the last and the middle video go first.
    pub early_look: bool,
    /// Its videos.
    pub videos: Vec<VideoRequest>,
}

/// Where a video stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoPhase {
    /// Nothing of it runs now.
    Waiting,
    /// A worker computes it.
    Running,
    /// Its files are being written.
    Writing,
    /// Its files are in place.
    Done,
    /// Given up with an error.
    Failed,
    /// Given up by an operator.
    Cancelled,
}

/// Where a job stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    /// Nobody serves its model yet.
    WaitingForModel,
    /// Being rendered.
    Active,
    /// Paused by an operator.
    Paused,
    /// Every video has ended.
    Finished,
}

/// A video's line in a table.
#[derive(Debug, Clone, Serialize)]
pub struct VideoStatus {
    /// Place in the job.
    pub index: u32,
    /// Where it stands.
    pub phase: VideoPhase,
    /// The stage it is in or waits for; absent before the first and after the last.
    pub stage: Option<Stage>,
    /// Denoising steps that have run.
    pub steps_done: u32,
    /// Denoising steps in all; 0 while unknown.
    pub steps: u32,
    /// Seconds of the last step.
    pub seconds_per_step: f64,
    /// Name of the worker that computes it.
    pub worker: String,
    /// Where its files go, without extension.
    pub output: String,
    /// Why it failed.
    pub error: String,
    /// Files that are in place.
    pub files: Vec<PathBuf>,
    /// Verdict of the quality gate.
    pub verdict: String,
    /// The prompt.
    pub label: String,
    /// Seconds that workers have spent on it, known when it is done.
    pub seconds: f64,
    #[serde(skip)]
    version: u64,
}

/// A job's line in a table.
#[derive(Debug, Clone, Serialize)]
pub struct JobSummary {
    /// Its number.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Its priority.
    pub priority: u32,
    /// Where it stands.
    pub phase: JobPhase,
    /// Videos in all.
    pub videos: u32,
    /// Videos whose files are in place.
    pub done: u32,
    /// Videos given up with an error.
    pub failed: u32,
    /// Videos given up by an operator.
    pub cancelled: u32,
    /// Videos that a worker computes or whose files are being written.
    pub running: u32,
}

/// One job.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What was submitted.
    pub submission: Submission,
    /// Resolved videos, once the model is known; `None` for those that no size or schedule fits.
    pub specs: Vec<Option<VideoSpec>>,
    /// Texts each video reads, once the model is known.
    pub texts: Vec<Vec<TextKey>>,
    phase: JobPhase,
    submitted: Instant,
    /// Place in the scheduler's plan → place in the manifest: videos refused at resolution have no plan.
    planned: Vec<u32>,
    videos: Vec<VideoStatus>,
}

/// All jobs.
#[derive(Debug, Default)]
pub struct Jobs {
    jobs: BTreeMap<JobId, Job>,
    keys: BTreeMap<String, JobId>,
    version: u64,
}

impl Jobs {
    /// Takes in a job; a known client key returns the job it belongs to.
    pub fn submit(&mut self, submission: Submission) -> JobId {
        if let Some(&known) = self.keys.get(&submission.client_key) {
            return known;
        }
        let id = JobId(self.jobs.keys().next_back().map_or(1, |last| last.0 + 1));
        self.version += 1;
        let videos = (0u32..).zip(&submission.videos).map(|(index, request)| VideoStatus {
            index,
            phase: VideoPhase::Waiting,
            stage: None,
            steps_done: 0,
            steps: request.steps.unwrap_or(0),
            seconds_per_step: 0.0,
            worker: String::new(),
            output: request.output.clone(),
            error: String::new(),
            files: Vec::new(),
            verdict: String::new(),
            label: request.prompt.clone(),
            seconds: 0.0,
            version: self.version,
        });
        let videos = videos.collect();
        if !submission.client_key.is_empty() {
            self.keys.insert(submission.client_key.clone(), id);
        }
        let job = Job {
            id,
            submission,
            specs: Vec::new(),
            texts: Vec::new(),
            phase: JobPhase::WaitingForModel,
            submitted: Instant::now(),
            planned: Vec::new(),
            videos,
        };
        self.jobs.insert(id, job);
        id
    }

    /// Resolves a job against its model. Videos the model cannot render fail here, with every reason;
    /// the plan holds the others, or is `None` when there are none.
    pub fn resolve(&mut self, id: JobId, card: &ModelCard, images: &Images) -> Option<JobPlan> {
        let job = self.jobs.get_mut(&id)?;
        self.version += 1;
        let mut planned = Vec::new();
        for (request, status) in job.submission.videos.iter().zip(&mut job.videos) {
            let image = request.image.and_then(|image| images.get(&image));
            let resolved = plan::resolve(&images::sized(request, image, card), card);
            status.version = self.version;
            match resolved {
                Ok((plan, spec)) => {
                    status.steps = spec.steps;
                    job.planned.push(status.index);
                    job.texts.push(plan.texts.clone());
                    job.specs.push(Some(spec));
                    planned.push(plan);
                }
                Err(error) => {
                    status.phase = VideoPhase::Failed;
                    status.error = error;
                    job.texts.push(Vec::new());
                    job.specs.push(None);
                }
            }
        }
        job.phase = JobPhase::Active;
        if planned.is_empty() {
            return None;
        }
        let priority = i32::try_from(job.submission.priority).unwrap_or(i32::MAX);
        Some(JobPlan {
            id,
            priority,
            model: job.submission.model.clone(),
            early_look: job.submission.early_look,
            videos: planned,
        })
    }

    /// Gives up a job that was never planned.
    pub fn abandon(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.version += 1;
        job.phase = JobPhase::Finished;
        for video in &mut job.videos {
            video.phase = VideoPhase::Cancelled;
            video.version = self.version;
        }
    }

    /// The manifest's place of a video the scheduler speaks of.
    pub fn in_manifest(&self, video: VideoId) -> Option<VideoId> {
        let index = *self.jobs.get(&video.job)?.planned.get(video.index as usize)?;
        Some(VideoId { job: video.job, index })
    }

    /// The scheduler's place of a video people speak of; `None` for one that was never planned.
    pub fn in_plan(&self, video: VideoId) -> Option<VideoId> {
        let planned = &self.jobs.get(&video.job)?.planned;
        let index = planned.binary_search(&video.index).ok()?;
        Some(VideoId { job: video.job, index: u32::try_from(index).ok()? })
    }

    /// A job by number.
    pub fn get(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// Jobs that wait for this model to be announced.
    pub fn waiting_for(&self, model: &str) -> Vec<JobId> {
        let waits = |job: &&Job| job.phase == JobPhase::WaitingForModel && job.submission.model == model;
        self.jobs.values().filter(waits).map(|job| job.id).collect()
    }

    /// True for a job whose model has not been known so far.
    pub fn is_unplanned(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.phase == JobPhase::WaitingForModel)
    }

    /// Changes what is shown of a video (by its place in the manifest).
    pub fn update(&mut self, video: VideoId, change: impl FnOnce(&mut VideoStatus)) {
        let Some(job) = self.jobs.get_mut(&video.job) else { return };
        if let Some(status) = job.videos.get_mut(video.index as usize) {
            self.version += 1;
            change(status);
            status.version = self.version;
        }
    }

    /// Changes where a job stands.
    pub fn set_phase(&mut self, id: JobId, phase: JobPhase) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = phase;
        }
    }

    /// Every job's line, oldest first.
    pub fn summaries(&self) -> Vec<JobSummary> {
        self.jobs.values().map(Job::summary).collect()
    }

    /// A job's line, what changed in it after `since`, and the version to ask from next time.
    pub fn changes(&self, id: JobId, since: u64) -> Option<(JobSummary, Vec<VideoStatus>, u64)> {
        let job = self.jobs.get(&id)?;
        let changed = job.videos.iter().filter(|video| video.version > since).cloned().collect();
        Some((job.summary(), changed, self.version))
    }
}

impl Job {
    /// Its line in a table.
    pub fn summary(&self) -> JobSummary {
        let count = |phases: &[VideoPhase]| {
            let videos = self.videos.iter().filter(|video| phases.contains(&video.phase)).count();
            u32::try_from(videos).unwrap_or(u32::MAX)
        };
        JobSummary {
            job: self.id,
            name: self.submission.name.clone(),
            model: self.submission.model.clone(),
            priority: self.submission.priority,
            phase: self.phase,
            videos: u32::try_from(self.videos.len()).unwrap_or(u32::MAX),
            done: count(&[VideoPhase::Done]),
            failed: count(&[VideoPhase::Failed]),
            cancelled: count(&[VideoPhase::Cancelled]),
            running: count(&[VideoPhase::Running, VideoPhase::Writing]),
        }
    }

    /// Seconds since it was submitted.
    pub fn wall_seconds(&self) -> f64 {
        self.submitted.elapsed().as_secs_f64()
    }

    /// Its videos' lines.
    pub fn videos(&self) -> &[VideoStatus] {
        &self.videos
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{card, request};
    use wanfarm_types::Experts;

    fn submission(videos: Vec<VideoRequest>) -> Submission {
        let (name, model) = ("n".into(), "m".into());
        Submission { client_key: "k".into(), name, model, priority: 50, early_look: false, videos }
    }

    #[test]
    fn submitting_twice_makes_one_job() {
        let mut jobs = Jobs::default();
        let first = jobs.submit(submission(vec![request()]));
        assert_eq!(jobs.submit(submission(vec![request()])), first);
        assert_eq!(jobs.summaries().len(), 1);
    }

    #[test]
    fn a_video_that_does_not_fit_the_model_fails_alone() {
        let mut jobs = Jobs::default();
        let bad = VideoRequest { width: Some(65), ..request() };
        let id = jobs.submit(submission(vec![bad, request()]));
        assert_eq!(jobs.waiting_for("m"), [id]);
        let plan = jobs.resolve(id, &card(Experts::Single), &Images::default()).unwrap();
        assert_eq!(plan.videos.len(), 1);
        let planned = VideoId { job: id, index: 0 };
        assert_eq!(jobs.in_manifest(planned), Some(VideoId { job: id, index: 1 }));
        assert_eq!(jobs.in_plan(VideoId { job: id, index: 1 }), Some(planned));
        assert_eq!(jobs.in_plan(VideoId { job: id, index: 0 }), None);
        let (summary, videos, _) = jobs.changes(id, 0).unwrap();
        assert_eq!((summary.failed, summary.phase), (1, JobPhase::Active));
        assert!(videos[0].error.contains("width = 65"), "{}", videos[0].error);
    }

    #[test]
    fn a_watcher_is_told_only_what_is_new() {
        let mut jobs = Jobs::default();
        let id = jobs.submit(submission(vec![request(), request()]));
        let (_, all, version) = jobs.changes(id, 0).unwrap();
        assert_eq!(all.len(), 2);
        jobs.update(VideoId { job: id, index: 1 }, |status| status.steps_done = 3);
        let (_, changed, next) = jobs.changes(id, version).unwrap();
        assert_eq!(changed.iter().map(|video| video.index).collect::<Vec<_>>(), [1]);
        assert!(jobs.changes(id, next).unwrap().1.is_empty());
    }
}
