//! Jobs and videos: submission, operators' verbs, and the end of a video.

use std::cmp::Reverse;

use wanfarm_types::{Failure, JobId, VideoId};

use super::{Dirty, Scheduler};
use crate::attempts::Work;
use crate::chain;
use crate::job::{Job, PoolId, Text};
use crate::stage_result::Checkpoints;
use crate::video::Video;
use crate::worker::Session;
use crate::{Action, ArtifactId, AttemptEnd, Change, JobPhase, JobPlan, Target, VideoPhase};

impl Scheduler {
    pub(super) fn job_added(&mut self, plan: JobPlan) {
        if self.jobs.contains_key(&plan.id) {
            return;
        }
        let id = plan.id;
        if let Err(error) = plan.check() {
            self.act(Action::RefuseJob { job: id, error });
            return;
        }
        self.record(Change::JobAdded(plan.clone()));
        self.insert_job(plan);
        self.pin_job(id);
        self.finish_if_over(id);
    }

    /// Puts a checked plan into the state, all videos open.
    pub(super) fn insert_job(&mut self, plan: JobPlan) {
        let model = self.models.id(&plan.model);
        let videos = plan.videos.len() as u32;
        let job = Job {
            priority: plan.priority,
            model,
            state: JobPhase::Active,
            videos,
            open: videos,
            pins: Default::default(),
            made: Default::default(),
        };
        self.jobs.insert(plan.id, job);
        let turn = |index| if plan.early_look { early_turn(index, videos) } else { 0 };
        let links = chain::links(&plan.after(), turn);
        for ((index, video), link) in (0..).zip(plan.videos).zip(links) {
            let id = VideoId { job: plan.id, index };
            self.videos.insert(id, Video::new(video, link));
            self.add_reader(id);
        }
    }

    pub(super) fn pause(&mut self, job: JobId) {
        self.move_job(job, JobPhase::Active, JobPhase::Paused);
    }

    pub(super) fn resume(&mut self, job: JobId) {
        self.move_job(job, JobPhase::Paused, JobPhase::Active);
    }

    fn move_job(&mut self, id: JobId, from: JobPhase, to: JobPhase) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.state == from) else { return };
        job.state = to;
        self.record(Change::JobPhase { job: id, state: to });
        self.touch_job(id);
    }

    pub(super) fn set_priority(&mut self, id: JobId, priority: i32) {
        if self.jobs.get(&id).is_none_or(|job| job.priority == priority) {
            return;
        }
        // Texts list who wants them by priority.
        let wants = |video: &VideoId| self.videos.get(video).is_some_and(|video| video.wants_texts);
        let wanting: Vec<VideoId> = self.video_ids(id).filter(wants).collect();
        wanting.iter().for_each(|&video| self.want_texts(video, false));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.priority = priority;
        }
        wanting.iter().for_each(|&video| self.want_texts(video, true));
        self.record(Change::JobPriority { job: id, priority });
        self.touch_job(id);
        let workers = self.ledger.iter().filter(|(_, attempt)| attempt.job == id).map(|(_, attempt)| attempt.worker);
        self.dirty.extend(workers.map(Dirty::Worker));
    }

    pub(super) fn cancel(&mut self, target: Target) {
        self.close_all(self.targets(target), &VideoPhase::Cancelled);
    }

    pub(super) fn retry(&mut self, target: Target) {
        let again = self.with_chains(self.targets(target).filter(|id| self.is_retriable(*id)));
        let Some(first) = again.first().copied() else { return };
        self.reopen_job(first.job, again.len() as u32);
        for id in again {
            if let Some(video) = self.videos.get_mut(&id) {
                video.state = VideoPhase::Open;
                video.output_tries = 0;
                video.rests_until = None;
                video.best = video.progress();
            }
            self.clear_strikes(id);
            self.record(Change::VideoPhase { video: id, state: VideoPhase::Open });
            self.add_reader(id);
        }
        self.use_kept(first.job);
    }

    pub(super) fn is_retriable(&self, id: VideoId) -> bool {
        let state = self.videos.get(&id).map(|video| &video.state);
        matches!(state, Some(VideoPhase::Failed(_) | VideoPhase::Cancelled))
    }

    fn reopen_job(&mut self, id: JobId, videos: u32) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.open += videos;
        if job.state == JobPhase::Finished {
            job.state = JobPhase::Active;
            self.record(Change::JobPhase { job: id, state: JobPhase::Active });
            self.check_pins(id);
        }
    }

    /// A job that had finished goes on with the weights it began with, unless the farm has others by now:
    /// then what its open videos have so far is thrown away, so that no picture is made with two sets of weights.
    fn check_pins(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let differs = job.pins.iter().any(|(&role, weights)| {
            let pool = PoolId { model: job.model, role };
            let workers = self.workers.values().filter(|worker| worker.is_connected());
            let others =
                self.jobs.values().filter(|other| other.model == job.model && other.state != JobPhase::Finished);
            let mut in_use = workers
                .filter_map(|worker| worker.serves.get(&pool))
                .chain(others.filter_map(|other| other.pins.get(&role)));
            in_use.any(|theirs| theirs != weights)
        });
        if !differs {
            // Nobody who listens has others; one whose connection is broken may.
            let lost = self.workers.iter().filter(|(_, worker)| worker.session == Session::Lost);
            for worker in lost.map(|(&id, _)| id).collect::<Vec<_>>() {
                self.judge(worker);
            }
            return;
        }
        for role in job.pins.keys().copied().collect::<Vec<_>>() {
            self.record(Change::WeightsPinned { job: id, role, weights: None });
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.pins.clear();
            job.made.clear();
            self.look_again = true;
        }
        for video in self.video_ids(id) {
            if !self.videos.get(&video).is_some_and(|video| video.state == VideoPhase::Done) {
                self.forget_results(video, true);
            }
        }
    }

    /// The end of a finished job's memory. What still runs of it, an attempt asked to stop, is dropped; a text encoded
    /// in its name is given out again if another job reads it.
    pub(super) fn forget(&mut self, id: JobId) {
        if self.jobs.get(&id).is_none_or(|job| job.state != JobPhase::Finished) {
            return;
        }
        let live: Vec<_> = self.ledger.iter().filter(|(_, attempt)| attempt.job == id).map(|(id, _)| id).collect();
        for attempt in live {
            if let Some(ended) = self.end_attempt(attempt, AttemptEnd::Revoked, None) {
                self.answer(ended.worker, attempt, true);
            }
        }
        for video in self.video_ids(id) {
            self.forget_results(video, true);
            self.videos.remove(&video);
        }
        self.jobs.remove(&id);
        self.record(Change::JobForgotten(id));
    }

    /// The end of a video, for whatever reason. Done videos leave nothing behind; others keep what is durable.
    pub(super) fn close(&mut self, id: VideoId, state: VideoPhase) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        let done = state == VideoPhase::Done;
        video.state = state.clone();
        self.clear_strikes(id);
        self.record(Change::VideoPhase { video: id, state });
        self.want_texts(id, false);
        self.forget_results(id, done);
        self.remove_reader(id);
        self.dirty.insert(Dirty::Video(id));
        self.dirty.extend(self.followers(id).map(Dirty::Video));
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.open -= 1;
        }
        self.finish_if_over(id.job);
    }

    /// Workers it failed on may have it again.
    fn clear_strikes(&mut self, id: VideoId) {
        if let Some(video) = self.videos.get_mut(&id) {
            video.strikes.clear();
            self.touch_its_workers(id);
        }
    }

    /// The seats of those that have something of a video now say whom it avoids.
    pub(super) fn touch_its_workers(&mut self, id: VideoId) {
        let Some(video) = self.videos.get(&id) else { return };
        let under_way = [video.attempt, video.image_attempt].into_iter().flatten();
        self.dirty.extend(under_way.filter_map(|id| Some(Dirty::Worker(self.ledger.get(id)?.worker))));
    }

    /// Fails what an item belongs to: a video, or every video that reads a text.
    pub(super) fn fail(&mut self, work: Work, failure: &Failure) {
        let videos: Vec<VideoId> = match work {
            Work::Image(video) | Work::Video(video) => vec![video],
            Work::Text(key) => {
                self.texts.get(&key).map(|text| text.readers.iter().copied().collect()).unwrap_or_default()
            }
        };
        self.close_all(videos.into_iter(), &VideoPhase::Failed(failure.clone()));
    }

    pub(super) fn finish_if_over(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.open == 0 && job.state != JobPhase::Finished {
            job.state = JobPhase::Finished;
            self.look_again = true;
            self.record(Change::JobPhase { job: id, state: JobPhase::Finished });
            self.act(Action::JobFinished(id));
        }
    }

    /// Throws away results of a video: all of them, or those that only lie in a worker's memory.
    fn forget_results(&mut self, id: VideoId, all: bool) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        let frames = video.frames.take().map(|frames| frames.holder);
        let mut gone: Vec<_> = Vec::new();
        let mut kept = Checkpoints::default();
        for (steps_done, mut result) in std::mem::take(&mut video.checkpoints).0 {
            let name = ArtifactId::Checkpoint { video: id, steps_done };
            let holder = result.holder.take();
            gone.push((holder, (all && result.is_durable()).then_some(name)));
            if !all && result.is_alive() {
                kept.0.insert(steps_done, result);
            }
        }
        video.checkpoints = kept;
        if let Some(mut image) = video.image.take() {
            let holder = image.holder.take();
            gone.push((holder, (all && image.is_durable()).then_some(ArtifactId::Image(id))));
            video.image = Some(image).filter(|image| !all && image.is_alive());
        }
        for (holder, durable) in gone.into_iter().chain([(frames, None)]) {
            if let Some(artifact) = durable {
                self.record(Change::ArtifactForgotten(artifact));
                self.act(Action::DeleteDurable(artifact));
            }
            if let Some(holder) = holder {
                self.release(holder);
            }
        }
        self.dirty.insert(Dirty::Video(id));
    }

    fn add_reader(&mut self, id: VideoId) {
        let Some(video) = self.videos.get(&id) else { return };
        let Some(job) = self.jobs.get(&id.job) else { return };
        for &key in &video.plan.texts {
            let text = self.texts.entry(key).or_insert_with(|| Text::new(job.model));
            text.readers.insert(id);
            text.last_job = text.last_job.max(id.job);
            self.dirty.insert(Dirty::Text(key));
        }
        self.dirty.insert(Dirty::Video(id));
    }

    pub(super) fn remove_reader(&mut self, id: VideoId) {
        let Some(video) = self.videos.get(&id) else { return };
        for key in &video.plan.texts {
            if let Some(text) = self.texts.get_mut(key) {
                text.readers.remove(&id);
                self.dirty.insert(Dirty::Text(*key));
            }
        }
    }

    /// Lists a video among those that need their texts now, or takes it off.
    pub(super) fn want_texts(&mut self, id: VideoId, wants: bool) {
        let Some(video) = self.videos.get_mut(&id).filter(|video| video.wants_texts != wants) else { return };
        let Some(job) = self.jobs.get(&id.job) else { return };
        video.wants_texts = wants;
        for key in &video.plan.texts {
            let Some(text) = self.texts.get_mut(key) else { continue };
            let entry = (Reverse(job.priority), video.link.turn, Reverse(video.link.behind), id);
            if wants {
                text.wanting.insert(entry)
            } else {
                text.wanting.remove(&entry)
            };
            self.dirty.insert(Dirty::Text(*key));
        }
    }

    fn targets(&self, target: Target) -> std::vec::IntoIter<VideoId> {
        match target {
            Target::Job(job) => self.video_ids(job),
            Target::Video(video) => vec![video].into_iter(),
        }
    }

    fn video_ids(&self, job: JobId) -> std::vec::IntoIter<VideoId> {
        self.job_videos(job).map(|(&id, _)| id).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn job_videos(&self, job: JobId) -> impl Iterator<Item = (&VideoId, &Video)> {
        self.videos.range(VideoId { job, index: 0 }..=VideoId { job, index: u32::MAX })
    }

    fn touch_job(&mut self, job: JobId) {
        let videos = self.video_ids(job).map(Dirty::Video);
        self.dirty.extend(videos);
    }
}

/// The place of a video in the order of a job that asked for an early look: first, last, middle, then the others.
fn early_turn(index: u32, videos: u32) -> u8 {
    match index {
        0 => 0,
        last if last + 1 == videos => 1,
        middle if middle == videos / 2 => 2,
        _ => 3,
    }
}
