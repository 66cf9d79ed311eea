//! Inputs that cannot be read. That is no fault of the item that wanted them nor of the worker that wanted to run it: what
//! is lost is made again, elsewhere if that can be, and later each time. No video is ever given up for it.

use std::time::Duration;

use wanfarm_types::{Backoff, Digest, Failure, JobId, Role, VideoId, WorkerId};

use super::{Dirty, Scheduler};
use crate::ArtifactId;
use crate::attempts::{Attempt, Work};
use crate::stage_result::{Holder, StageResult};
use crate::strikes::Strikes;

impl Scheduler {
    /// The worker that holds an input of an attempt that is out: for readers that cannot get at the holder themselves.
    pub fn holder_of(&self, digest: &Digest) -> Option<WorkerId> {
        let holder = |result: &StageResult| {
            let has = result.tensors.iter().any(|tensor| tensor.digest == *digest);
            result.holder.filter(|_| has).map(|holder| holder.worker)
        };
        self.ledger
            .iter()
            .find_map(|(_, attempt)| self.inputs_of(attempt).into_iter().find_map(|(_, _, result)| holder(result?)))
    }

    /// A video of a job that rests because its inputs were lost again and again: which, and how often.
    pub fn resting(&self, job: JobId) -> Option<(VideoId, u32)> {
        let videos = self.timers.iter().filter_map(|(_, work)| match work {
            Work::Video(id) if id.job == job => Some((*id, self.videos.get(id)?)),
            _ => None,
        });
        let mut resting = videos.filter(|(_, video)| video.state.is_open() && video.rests_until.is_some());
        resting.next().map(|(id, video)| (id, video.strikes.losses))
    }

    /// An attempt could not read its inputs: every location that answered lacks them.
    pub(super) fn inputs_lost(&mut self, attempt: &Attempt, failure: &Failure) {
        let Work::Video(id) = attempt.work else {
            // The first frame is the coordinator's own file.
            return self.strike(attempt, failure);
        };
        let inputs = self.inputs_of(attempt);
        let lost: Vec<(Work, Option<Role>, Option<Holder>)> = inputs
            .iter()
            .filter(|(_, _, result)| result.is_none_or(|result| !result.is_durable()))
            .map(|&(work, made, result)| (work, self.maker_of(made), result.and_then(|result| result.holder)))
            .collect();
        let holders: Vec<Holder> =
            inputs.iter().filter_map(|(_, _, result)| result.and_then(|result| result.holder)).collect();
        if lost.is_empty() {
            return self.doubt_copies(id, attempt, failure);
        }
        for holder in holders {
            self.lose(holder);
            self.free(holder);
        }
        for (work, role, holder) in lost {
            // With one that is gone it is no wonder; but one that is there and does not have it is passed over.
            if let Some((role, holder)) = role.zip(holder).filter(|(_, holder)| self.is_there(holder.worker)) {
                self.pass_over(work, role, holder.worker);
                self.pass_over(attempt.work, attempt.item.stage.role(), attempt.worker);
            }
        }
        self.count_loss(id);
    }

    /// Frames could not be read from the worker that made them, which answered.
    pub(super) fn frames_lost(&mut self, id: VideoId, holder: Holder) {
        if self.is_there(holder.worker) {
            self.pass_over(Work::Video(id), Role::Vae, holder.worker);
        }
        self.lose(holder);
        self.free(holder);
        self.count_loss(id);
    }

    /// The results that an item needs, by what makes them; none where they are not there any more.
    fn inputs_of(&self, attempt: &Attempt) -> Vec<(Work, ArtifactId, Option<&StageResult>)> {
        let Work::Video(id) = attempt.work else { return Vec::new() };
        let Some(video) = self.videos.get(&id) else { return Vec::new() };
        let mut inputs = Vec::new();
        if attempt.is_denoising() {
            let text = |key| {
                let result = self.texts.get(key).and_then(|text| text.result.as_ref());
                (Work::Text(*key), ArtifactId::Text(*key), result)
            };
            inputs.extend(video.plan.texts.iter().map(text));
            if video.plan.has_image {
                inputs.push((Work::Image(id), ArtifactId::Image(id), video.image.as_ref()));
            }
        }
        let steps_done = if attempt.is_denoising() { attempt.item.steps.first } else { video.plan.total_steps() };
        if steps_done > 0 {
            let state = video.checkpoints.0.get(&steps_done);
            // A state that was made anew since, on another kind of device, is not the one that was asked for.
            let other = |state: &&StageResult| attempt.from.as_ref().is_none_or(|from| from.tensors == state.tensors);
            inputs.push((Work::Video(id), ArtifactId::Checkpoint { video: id, steps_done }, state.filter(other)));
        }
        inputs
    }

    /// The role that makes this.
    fn maker_of(&self, artifact: ArtifactId) -> Option<Role> {
        match artifact {
            ArtifactId::Text(_) => Some(Role::TextEncoder),
            ArtifactId::Image(_) => Some(Role::Vae),
            ArtifactId::Checkpoint { video, steps_done } => {
                let (stage, _) = self.videos.get(&video)?.plan.stage_of(steps_done.checked_sub(1)?)?;
                Some(stage.role())
            }
        }
    }

    /// Durable copies that several readers could not read are damaged: they are forgotten, and made again.
    fn doubt_copies(&mut self, id: VideoId, attempt: &Attempt, failure: &Failure) {
        let copies: Vec<ArtifactId> = self.inputs_of(attempt).into_iter().map(|(_, copy, _)| copy).collect();
        let max = self.config.max_strikes;
        let pool = self.board.pool(attempt.pool());
        let Some(video) = self.videos.get_mut(&id) else { return };
        video.strikes.add(attempt.worker, failure.kind);
        let others_left = pool.is_some_and(|pool| !pool.members.is_subset(&video.strikes.on));
        if video.strikes.is_out(max, others_left) {
            video.strikes.forgive();
            copies.into_iter().for_each(|copy| self.forget_copy(copy));
        }
        self.note_avoided(attempt.work);
        self.count_loss(id);
    }

    /// Delays the next try of a video, except after the first loss since its last progress.
    fn count_loss(&mut self, id: VideoId) {
        let (now, pause) = (self.now, self.config.retry_pause);
        let Some(video) = self.videos.get_mut(&id) else { return };
        if let Some(pause) = pause_after(&mut video.strikes, pause) {
            let until = now + pause;
            video.rests_until = Some(until);
            self.timers.insert((until, Work::Video(id)));
        }
        self.touch(Work::Video(id));
    }

    /// A timer of this has run out.
    pub(super) fn end_rest(&mut self, work: Work) {
        let Work::Video(id) = work else { return };
        if let Some(video) = self.videos.get_mut(&id) {
            video.rests_until.take_if(|until| *until <= self.now);
        }
    }

    fn is_there(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.is_connected())
    }

    /// Prefers another worker for the next try, if there is one.
    fn pass_over(&mut self, work: Work, role: Role, worker: WorkerId) {
        let strikes = match work {
            Work::Text(key) => self.texts.get_mut(&key).map(|text| &mut text.strikes),
            Work::Image(id) | Work::Video(id) => self.videos.get_mut(&id).map(|video| &mut video.strikes),
        };
        if let Some(strikes) = strikes {
            *strikes.lost_with.entry((role, worker)).or_default() += 1;
            self.note_avoided(work);
        }
    }

    /// The seats of workers that have an item of this say whom it avoids.
    pub(super) fn note_avoided(&mut self, work: Work) {
        let attempts = match work {
            Work::Text(key) => [self.texts.get(&key).and_then(|text| text.attempt), None],
            Work::Image(id) | Work::Video(id) => {
                self.videos.get(&id).map_or([None; 2], |video| [video.attempt, video.image_attempt])
            }
        };
        let out = attempts.into_iter().flatten().filter_map(|id| self.ledger.get(id));
        self.dirty.extend(out.map(|attempt| Dirty::Worker(attempt.worker)));
        self.touch(work);
    }
}

/// None after the first loss; at the most some minutes.
fn pause_after(strikes: &mut Strikes, pause: Duration) -> Option<Duration> {
    let failures = strikes.losses.checked_sub(1);
    strikes.losses = strikes.losses.saturating_add(1);
    failures.map(|failures| Backoff::new(pause, pause.saturating_mul(64)).pause(failures))
}
