//! Jobs as people see them: requests, resolved specs, and where every video stands.
//!
//! Deliberately not here: decisions. The scheduler decides; this remembers what to show, to write into sidecars,
//! and to tell watchers. Every change carries a version, so that a watcher asks only for what is new to it; counts and
//! the order of changes are kept, not looked for, so that answers to watchers do not grow with the job.

mod job;
#[cfg(test)]
pub(crate) mod tests;
mod videos;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wanfarm_manifest::{Submission, plan};
use wanfarm_scheduler::{JobPhase, JobPlan};
use wanfarm_types::{
    About, ClipSource, Digest, Forecast, ImageSource, JobId, JobSummary, ModelInfo, Role, VideoId, VideoSpec,
    VideoState, VideoStatus,
};

use crate::images::Images;
use crate::store::{JobEnd, JobRow};
use crate::times::{Moment, rfc3339};

use job::{Counts, files, followers, lines};

pub(crate) use job::Job;

#[derive(Debug)]
pub(crate) struct Jobs {
    jobs: BTreeMap<JobId, Job>,
    keys: BTreeMap<String, JobId>,
    /// How many requests name a file that was given: a first frame, a LoRA file.
    files: BTreeMap<Digest, usize>,
    next: JobId,
    version: u64,
}

impl Jobs {
    /// No jobs yet; the first one gets the number `next`.
    pub(crate) fn new(next: JobId) -> Self {
        Self { jobs: BTreeMap::new(), keys: BTreeMap::new(), files: BTreeMap::new(), next, version: 0 }
    }

    /// The job that a client's key was first used for.
    pub(crate) fn with_key(&self, client_key: &str) -> Option<JobId> {
        self.keys.get(client_key).copied()
    }

    /// The number that the next job gets.
    pub(crate) fn next(&self) -> JobId {
        self.next
    }

    /// A submission with its number, its output directory, and the place of its report in that. `asked`: the digest of
    /// what the client asked for, before names were settled.
    pub(crate) fn number(
        &self,
        submission: Submission,
        asked: Digest,
        submitted: Moment,
        output: PathBuf,
        report: String,
    ) -> JobRow {
        JobRow { id: self.next, submission, asked, submitted, output, report }
    }

    /// Adds a job.
    pub(crate) fn add(&mut self, row: &JobRow) {
        let JobRow { id, submission, asked, submitted, output, report } = row.clone();
        self.next = self.next.max(JobId(id.0 + 1));
        self.version += 1;
        for file in submission.videos.iter().flat_map(files) {
            *self.files.entry(file).or_default() += 1;
        }
        if !submission.client_key.is_empty() {
            self.keys.insert(submission.client_key.clone(), id);
        }
        let job = Job {
            id,
            videos: lines(&submission.videos),
            followers: followers(&submission.videos),
            versions: vec![self.version; submission.videos.len()],
            counts: Counts::default(),
            version: self.version,
            whole: self.version,
            changed: BTreeMap::new(),
            priority: submission.priority,
            submission,
            asked,
            output,
            report,
            specs: Vec::new(),
            texts: Vec::new(),
            weights: BTreeMap::new(),
            phase: None,
            suspend_reason: None,
            about: About::default(),
            forecast: None,
            submitted,
            ended: None,
            reported: false,
            unreported: None,
            planned: Vec::new(),
            outputs: BTreeMap::new(),
            started: BTreeMap::new(),
        };
        self.jobs.insert(id, job);
    }

    /// What becomes of a job when its model is known: each video's settings or why there are none, and the plan.
    pub(crate) fn resolve(
        &self,
        id: JobId,
        info: &ModelInfo,
        images: &Images,
    ) -> Option<(Vec<Result<VideoSpec, String>>, JobPlan)> {
        let job = self.jobs.get(&id)?;
        let submission = &job.submission;
        let mut planned = Vec::new();
        let resolved = plan::resolve_all(&submission.videos, |image| images.get(image), info).into_iter();
        let resolved = resolved.map(|video| {
            let (plan, spec) = video?;
            planned.push(plan);
            Ok(spec)
        });
        let resolved = resolved.collect();
        let plan = JobPlan {
            id,
            priority: i32::try_from(job.priority).unwrap_or(i32::MAX),
            model: submission.model.clone(),
            early_look: submission.early_look,
            videos: planned,
        };
        Some((resolved, plan))
    }

    /// Records the settings of a job's videos, or why a video has none.
    pub(crate) fn resolved(&mut self, id: JobId, videos: &[Result<VideoSpec, String>]) {
        self.version += 1;
        let version = self.version;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.texts = vec![Vec::new(); videos.len()];
        job.specs = videos.iter().map(|video| video.as_ref().ok().cloned()).collect();
        job.planned.clear();
        for (video, status) in videos.iter().zip(&mut job.videos) {
            let status = Arc::make_mut(status);
            match video {
                Ok(spec) => {
                    status.steps = spec.steps_run();
                    status.cache = Some(spec.cache.clone()).filter(|cache| !cache.is_none());
                    status.nag = spec.nag;
                    status.decode = spec.decode.kind();
                    status.loras.clone_from(&spec.loras);
                    job.planned.push(status.index);
                }
                Err(error) => {
                    status.state = VideoState::Failed;
                    status.error = Some(error.clone());
                    status.waiting_for = None;
                }
            }
        }
        job.changes_whole(version);
    }

    /// Records the texts of a plan, and that its job is active.
    pub(crate) fn planned(&mut self, plan: &JobPlan) {
        let Some(job) = self.change(plan.id) else { return };
        for (video, &place) in plan.videos.iter().zip(&job.planned) {
            if let Some(texts) = job.texts.get_mut(place as usize) {
                texts.clone_from(&video.texts);
            }
        }
        job.phase = Some(JobPhase::Active);
    }

    /// Sets the phase of a job. It is shown as finished only when its report is there, for those who wait for the end.
    pub(crate) fn set_phase(&mut self, id: JobId, phase: JobPhase) {
        let Some(job) = self.change(id) else { return };
        job.phase = Some(phase);
        // The scheduler says of each video how it ended; of a job that was never planned it knows nothing.
        if phase == JobPhase::Finished && job.specs.is_empty() {
            for video in &mut job.videos {
                let video = Arc::make_mut(video);
                (video.state, video.waiting_for) = (VideoState::Cancelled, None);
            }
            job.changes_whole(job.version);
        }
    }

    /// Sets the priority of a job.
    pub(crate) fn set_priority(&mut self, id: JobId, priority: i32) {
        if let Some(job) = self.change(id) {
            job.priority = priority.max(0).unsigned_abs();
        }
    }

    /// Sets what people say of a job.
    pub(crate) fn describe(&mut self, id: JobId, about: About) {
        if let Some(job) = self.change(id) {
            job.about = about;
        }
    }

    /// Sets what was forecast of a job, at a time of day in seconds since 1970.
    pub(crate) fn forecast(&mut self, id: JobId, at: f64, seconds: f64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.forecast = Some(Forecast { at: rfc3339(at), seconds });
        }
    }

    /// Sets or clears the reason the coordinator paused the job.
    pub(crate) fn set_suspend_reason(&mut self, id: JobId, reason: Option<String>) {
        if let Some(job) = self.change(id) {
            job.suspend_reason = reason;
        }
    }

    /// Sets when a job ended; `None`: it is taken up again.
    pub(crate) fn ended(&mut self, id: JobId, end: Option<JobEnd>) {
        if let Some(job) = self.change(id) {
            job.ended = end;
        }
    }

    /// Sets when the report of a job was written; `None`: it no longer holds.
    pub(crate) fn reported(&mut self, id: JobId, at: Option<f64>) {
        if let Some(job) = self.change(id) {
            (job.reported, job.unreported) = (at.is_some(), None);
        }
    }

    /// Records why the report of a job cannot be written; the job has ended all the same.
    pub(crate) fn unreported(&mut self, id: JobId, why: String) {
        if let Some(job) = self.change(id) {
            job.unreported = Some(why);
        }
    }

    /// Sets or clears the weights of a role.
    pub(crate) fn pin(&mut self, id: JobId, role: Role, weights: Option<Digest>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match weights {
            Some(weights) => job.weights.insert(role, weights),
            None => job.weights.remove(&role),
        };
    }

    /// Returns a job of which nothing was planned to waiting for its model.
    pub(crate) fn requeue(&mut self, id: JobId) {
        let Some(job) = self.change(id) else { return };
        (job.phase, job.suspend_reason, job.ended, job.reported, job.unreported) = (None, None, None, false, None);
        job.specs.clear();
        job.texts.clear();
        job.planned.clear();
        job.videos = lines(&job.submission.videos);
        job.changes_whole(job.version);
    }

    /// Forgets a job.
    pub(crate) fn forget(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.version += 1;
        self.keys.remove(&job.submission.client_key);
        self.release(job.files());
        Some(job)
    }

    /// Counts files as named once less.
    fn release(&mut self, files: impl Iterator<Item = Digest>) {
        for file in files {
            if let Some(count) = self.files.get_mut(&file) {
                *count -= 1;
                if *count == 0 {
                    self.files.remove(&file);
                }
            }
        }
    }

    /// True for a first frame or a LoRA file that a job names.
    pub(crate) fn name_file(&self, file: &Digest) -> bool {
        self.files.contains_key(file)
    }

    /// The place in the manifest, from the place in the plan.
    pub(crate) fn in_manifest(&self, video: VideoId) -> Option<VideoId> {
        let index = *self.jobs.get(&video.job)?.planned.get(video.index as usize)?;
        Some(VideoId { job: video.job, index })
    }

    /// The place in the plan, from the place in the manifest; `None` for a video that was never planned.
    pub(crate) fn in_plan(&self, video: VideoId) -> Option<VideoId> {
        let planned = &self.jobs.get(&video.job)?.planned;
        let index = planned.binary_search(&video.index).ok()?;
        Some(VideoId { job: video.job, index: u32::try_from(index).ok()? })
    }

    /// The settings of a video (by its place in the plan).
    pub(crate) fn spec(&self, video: VideoId) -> Option<&VideoSpec> {
        let place = self.in_manifest(video)?;
        self.jobs.get(&place.job)?.specs.get(place.index as usize)?.as_ref()
    }

    /// The settings of a video (by its place in the manifest), with the files of its pictures as far as they are there.
    pub(crate) fn whole_spec(&self, video: VideoId) -> Option<VideoSpec> {
        let job = self.jobs.get(&video.job)?;
        let spec = job.specs.get(video.index as usize)?.as_ref()?;
        let [image, last_image, video] = spec.needs().map(|need| job.kept(need?));
        let image = image.map(ImageSource::File).or(spec.image);
        let last_image = last_image.map(ImageSource::File).or(spec.last_image);
        let video = video.map(ClipSource::File).or(spec.video);
        Some(VideoSpec { image, last_image, video, ..spec.clone() })
    }

    /// A video's line (by its place in the manifest).
    pub(crate) fn line(&self, video: VideoId) -> Option<&VideoStatus> {
        self.jobs.get(&video.job)?.videos.get(video.index as usize).map(|line| &**line)
    }

    /// A job by number.
    pub(crate) fn get(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// All jobs, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Jobs that wait for this model to be announced.
    pub(crate) fn waiting_for(&self, model: &str) -> Vec<JobId> {
        let waits = |job: &&Job| job.phase.is_none() && job.submission.model == model;
        self.jobs.values().filter(waits).map(|job| job.id).collect()
    }

    /// True while a job is being rendered with this model.
    pub(crate) fn render_with(&self, model: &str) -> bool {
        let renders = |job: &Job| matches!(job.phase, Some(JobPhase::Active | JobPhase::Paused));
        self.jobs.values().any(|job| job.submission.model == model && renders(job))
    }

    /// A job of which something is about to change.
    fn change(&mut self, id: JobId) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&id)?;
        self.version += 1;
        job.version = self.version;
        Some(job)
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Every job's line, oldest first.
    pub(crate) fn summaries(&self) -> Vec<JobSummary> {
        self.jobs.values().map(Job::summary).collect()
    }

    /// What changed in a job after `since`, and the version to ask from next time.
    pub(crate) fn changes(&self, id: JobId, since: u64) -> Option<(Vec<Arc<VideoStatus>>, u64)> {
        let job = self.jobs.get(&id)?;
        let changed = if since < job.whole {
            job.videos.clone()
        } else {
            let later = job.changed.range(since + 1..);
            later.filter_map(|(_, &index)| job.videos.get(index as usize)).cloned().collect()
        };
        Some((changed, job.version))
    }
}
