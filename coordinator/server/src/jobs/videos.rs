//! What is shown of single videos, as work on them goes on.

use std::sync::Arc;

use wanfarm_scheduler::{TextKey, VideoPhase};
use wanfarm_types::{JobId, Stage, VideoId, VideoState, VideoStatus, cut_off};

use super::Jobs;
use super::job::Outputs;
use crate::outputs::{KeptExcerpt, Written};
use crate::times::rfc3339;

impl Jobs {
    /// Notes at the videos of a job that read this text when it has too many tokens.
    pub(crate) fn text_read(&mut self, id: JobId, text: TextKey, tokens: u32) {
        let Some(job) = self.jobs.get(&id) else { return };
        let mut notes = Vec::new();
        for (index, texts) in (0..).zip(&job.texts) {
            let what = match texts.iter().position(|read| *read == text) {
                Some(0) => "prompt",
                Some(_) => "negative prompt",
                None => continue,
            };
            notes.extend(cut_off(what, tokens as usize).map(|note| (VideoId { job: id, index }, note)));
        }
        for (video, note) in notes {
            self.update(video, |status| {
                if !status.notes.contains(&note) {
                    status.notes.push(note);
                }
            });
        }
    }

    /// Sets the phase of a video (by its place in the plan).
    pub(crate) fn set_video_phase(&mut self, video: VideoId, phase: &VideoPhase) {
        let Some(place) = self.in_manifest(video) else { return };
        self.update(place, |status| {
            (status.error, status.worker, status.loading, status.eta) = (None, None, None, None);
            status.state = match phase {
                VideoPhase::Open => VideoState::Waiting,
                VideoPhase::Cancelled => VideoState::Cancelled,
                VideoPhase::Failed(failure) => {
                    status.error = Some(failure.message.clone());
                    VideoState::Failed
                }
                VideoPhase::Done => {
                    status.stage = None;
                    status.steps_done = status.steps;
                    // Of the moment, and in no row: a report must not change with a restart.
                    status.seconds_per_step = None;
                    VideoState::Done
                }
            };
        });
        self.show_outputs(place);
        let followers = self.jobs.get(&place.job).and_then(|job| job.followers.get(&place.index)).cloned();
        let followers = followers.unwrap_or_default().into_iter().map(|index| VideoId { index, ..place });
        [place].into_iter().chain(followers).for_each(|video| self.show_waiting(video));
    }

    /// Says of a video (by its place in the manifest) which one it waits for.
    fn show_waiting(&mut self, video: VideoId) {
        let Some(job) = self.jobs.get(&video.job) else { return };
        let waiting_for = job.waiting_for(video.index);
        if job.videos.get(video.index as usize).is_some_and(|line| line.waiting_for != waiting_for) {
            self.update(video, |status| status.waiting_for = waiting_for);
        }
    }

    /// Sets the current work on a video (by its place in the plan).
    pub(crate) fn set_work(&mut self, video: VideoId, state: VideoState, stage: Option<Stage>, worker: &str) {
        self.update_planned(video, |status| {
            if !status.state.is_end() {
                status.state = state;
                status.stage = stage.or(status.stage);
                (status.loading, status.eta) = (None, None);
                status.worker = Some(worker.to_owned()).filter(|name| !name.is_empty());
            }
        });
    }

    /// Records that the state of a video (by its place in the plan) after so many steps is durable.
    pub(crate) fn set_durable(&mut self, video: VideoId, steps_done: u32) {
        self.update_planned(video, |status| status.steps_done = status.steps_done.max(steps_done));
    }

    /// Records the files of a video (by its place in the manifest).
    pub(crate) fn set_outputs(
        &mut self,
        video: VideoId,
        written: &Arc<[Written]>,
        verdict: &str,
        seconds: f64,
        frames: &Arc<[KeptExcerpt]>,
    ) {
        if let Some(job) = self.jobs.get_mut(&video.job) {
            let (written, verdict, frames) = (written.clone(), verdict.to_owned(), frames.clone());
            for kept in frames.iter() {
                *self.files.entry(kept.file).or_default() += 1;
            }
            let outputs = Outputs { written, verdict, seconds, frames };
            let before = job.outputs.insert(video.index, outputs).unwrap_or_default();
            self.release(before.frames.iter().map(|kept| kept.file));
        }
        self.show_outputs(video);
    }

    /// Sets when a video (by its place in the manifest) was first begun and when it ended, in seconds since 1970.
    pub(crate) fn set_times(&mut self, video: VideoId, started: Option<f64>, ended: Option<f64>) {
        if let Some(job) = self.jobs.get_mut(&video.job) {
            job.started.insert(video.index, started);
        }
        self.update(video, |status| {
            (status.started, status.ended) = (started.and_then(rfc3339), ended.and_then(rfc3339));
        });
    }

    /// Shown while the video (by its place in the manifest) is done: before that its files may not be in place.
    fn show_outputs(&mut self, video: VideoId) {
        let Some(job) = self.jobs.get(&video.job) else { return };
        let done = job.videos.get(video.index as usize).is_some_and(|status| status.state == VideoState::Done);
        let shown = job.outputs.get(&video.index).filter(|_| done);
        let (files, verdict, seconds) = shown.map_or_else(Default::default, |outputs| {
            let files = outputs.written.iter().map(|one| job.output.join(&one.path).display().to_string());
            let verdict = Some(outputs.verdict.clone()).filter(|verdict| !verdict.is_empty());
            (files.collect(), verdict, Some(outputs.seconds).filter(|seconds| *seconds > 0.0))
        });
        self.update(video, |status| (status.files, status.verdict, status.seconds) = (files, verdict, seconds));
    }

    /// Changes what is shown of a video (by its place in the manifest).
    pub(crate) fn update(&mut self, video: VideoId, change: impl FnOnce(&mut VideoStatus)) {
        let Some(job) = self.jobs.get_mut(&video.job) else { return };
        if let Some(status) = job.videos.get_mut(video.index as usize) {
            self.version += 1;
            let status = Arc::make_mut(status);
            let before = status.state;
            change(status);
            job.counts.moves(before, status.state);
            if let Some(version) = job.versions.get_mut(video.index as usize) {
                job.changed.remove(version);
                *version = self.version;
            }
            job.changed.insert(self.version, video.index);
            job.version = self.version;
        }
    }

    fn update_planned(&mut self, video: VideoId, change: impl FnOnce(&mut VideoStatus)) {
        if let Some(place) = self.in_manifest(video) {
            self.update(place, change);
        }
    }
}
