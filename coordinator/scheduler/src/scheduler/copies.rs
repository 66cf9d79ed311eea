//! Where results lie: durable copies, lost holders, memory to be freed, outputs to be written.

use wanfarm_types::{Backoff, Failure, FailureKind, VideoId, WorkerId};

use super::{Dirty, Scheduler};
use crate::attempts::Work;
use crate::stage_result::{Copy, Holder, StageResult};
use crate::{Action, ArtifactId, AttemptEnd, Change, VideoPhase};

impl Scheduler {
    pub(super) fn durable(&mut self, id: ArtifactId) {
        let Some(result) = self.result_mut(id).filter(|result| result.is_copying()) else {
            self.act(Action::DeleteDurable(id));
            return;
        };
        if result.copy == Copy::Superseded {
            result.copy = Copy::No;
            self.act(Action::DeleteDurable(id));
        } else {
            result.copy = Copy::Durable;
            let tensors = result.tensors.clone();
            self.record(Change::ArtifactDurable { artifact: id, tensors });
        }
        self.touch_artifact(id);
    }

    pub(super) fn copy_failed(&mut self, id: ArtifactId) {
        let again = self.now + self.config.retry_pause;
        let Some(result) = self.result_mut(id).filter(|result| result.is_copying()) else { return };
        result.copy = Copy::After(again);
        self.timers.insert((again, work_of(id)));
        self.touch_artifact(id);
    }

    /// What its maker holds under that attempt is as bad as what was looked at, also where it is not of the same step.
    pub(super) fn copy_unsound(&mut self, id: ArtifactId, maker: WorkerId, reason: String) {
        if let Some(result) = self.result_mut(id).filter(|result| result.is_copying()) {
            result.copy = Copy::No;
            if let Some(holder) = result.holder.filter(|holder| holder.worker == maker) {
                self.lose(holder);
                self.end_attempt(holder.attempt, AttemptEnd::Failed(Failure::transient(reason.clone())), None);
                self.free(holder);
            }
        }
        self.set_aside(maker, reason);
        self.touch_artifact(id);
    }

    pub(super) fn outputs_written(&mut self, id: VideoId) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        if video.writing.take().is_some() && video.state.is_open() {
            self.close(id, VideoPhase::Done);
        }
    }

    /// Not counted as a failed try, however often it happens.
    pub(super) fn outputs_held(&mut self, id: VideoId) {
        let again = self.now + self.config.retry_pause;
        let Some(video) = self.videos.get_mut(&id) else { return };
        if video.writing.take().is_some() && video.state.is_open() {
            video.write_after = again;
            self.timers.insert((again, Work::Video(id)));
            self.dirty.insert(Dirty::Video(id));
        }
    }

    pub(super) fn outputs_failed(&mut self, id: VideoId, failure: Failure) {
        let max_tries = self.config.max_output_tries;
        let pause = self.config.retry_pause;
        let Some(video) = self.videos.get_mut(&id) else { return };
        let Some(written) = video.writing.take().filter(|_| video.state.is_open()) else { return };
        self.dirty.insert(Dirty::Video(id));
        if failure.kind == FailureKind::InputsLost {
            let holder = video.frames.as_ref().map(|frames| frames.holder);
            if let Some(holder) = holder.filter(|holder| holder.attempt == written) {
                self.frames_lost(id, holder);
            }
            return;
        }
        video.output_tries += 1;
        if video.output_tries >= max_tries {
            return self.fail(Work::Video(id), &failure);
        }
        match failure.kind {
            FailureKind::Transient => {
                let backoff = Backoff::new(pause, pause.saturating_mul(1024));
                video.write_after = self.now + backoff.pause(video.output_tries - 1);
                self.timers.insert((video.write_after, Work::Video(id)));
            }
            _ => self.fail(Work::Video(id), &failure),
        }
    }

    /// What this holder has cannot be read any more.
    pub(super) fn lose(&mut self, holder: Holder) {
        let held = self.workers.get_mut(&holder.worker).and_then(|worker| worker.held.remove(&holder.attempt));
        let Some(work) = held else { return };
        let lost = |result: &mut StageResult| {
            if result.holder == Some(holder) {
                result.holder = None;
            }
        };
        match work {
            Work::Text(key) => {
                if let Some(text) = self.texts.get_mut(&key) {
                    text.result.iter_mut().for_each(lost);
                    self.dirty.extend(text.readers.iter().map(|&video| Dirty::Video(video)));
                }
            }
            Work::Image(video) | Work::Video(video) => {
                if let Some(video) = self.videos.get_mut(&video) {
                    video.image.iter_mut().for_each(lost);
                    video.checkpoints.0.values_mut().for_each(lost);
                    video.frames.take_if(|frames| frames.holder == holder);
                }
            }
        }
        self.touch(work);
    }

    /// Lets a holder free its memory if nothing refers to it any more.
    pub(super) fn release(&mut self, holder: Holder) {
        let Some(worker) = self.workers.get_mut(&holder.worker) else { return };
        let Some(&work) = worker.held.get(&holder.attempt) else { return };
        if !self.refers(work, holder) {
            if let Some(worker) = self.workers.get_mut(&holder.worker) {
                worker.held.remove(&holder.attempt);
            }
            self.free(holder);
        }
    }

    /// A live attempt is answered when it ends.
    pub(super) fn free(&mut self, holder: Holder) {
        let Holder { worker, attempt } = holder;
        let Some(known) = self.workers.get(&worker).filter(|worker| worker.is_connected()) else { return };
        if self.ledger.get(attempt).is_none() {
            let incarnation = known.incarnation;
            self.act(Action::Drop { worker, incarnation, attempt });
        }
    }

    /// True when some result of `work` is known to lie with `holder`.
    pub(super) fn refers(&self, work: Work, holder: Holder) -> bool {
        let is_it = |result: &StageResult| result.holder == Some(holder);
        match work {
            Work::Text(key) => self.texts.get(&key).is_some_and(|text| text.result.as_ref().is_some_and(is_it)),
            Work::Image(video) | Work::Video(video) => self.videos.get(&video).is_some_and(|video| {
                video.image.as_ref().is_some_and(is_it)
                    || video.checkpoints.0.values().any(is_it)
                    || video.frames.as_ref().is_some_and(|frames| frames.holder == holder)
            }),
        }
    }

    /// Asks for a durable copy, if the result is there and wants one.
    pub(super) fn ask_for_copy(&mut self, id: ArtifactId) {
        let now = self.now;
        let Some(result) = self.result_mut(id).filter(|result| result.may_copy(now)) else { return };
        let Some(holder) = result.holder else { return };
        result.copy = Copy::Asked;
        let tensors = result.tensors.clone();
        self.act(Action::MakeDurable { artifact: id, tensors, holder: holder.worker });
    }

    /// A durable copy that is not what it should be.
    pub(super) fn forget_copy(&mut self, id: ArtifactId) {
        let Some(result) = self.result_mut(id).filter(|result| result.is_durable()) else { return };
        result.copy = Copy::No;
        self.record(Change::ArtifactForgotten(id));
        self.act(Action::DeleteDurable(id));
        self.touch_artifact(id);
    }

    /// The end of an result that nothing refers to any more.
    pub(super) fn discard(&mut self, id: ArtifactId, result: &StageResult) {
        if result.is_durable() {
            self.record(Change::ArtifactForgotten(id));
            self.act(Action::DeleteDurable(id));
        }
        if let Some(holder) = result.holder {
            self.release(holder);
        }
    }

    fn result_mut(&mut self, id: ArtifactId) -> Option<&mut StageResult> {
        match id {
            ArtifactId::Text(key) => self.texts.get_mut(&key)?.result.as_mut(),
            ArtifactId::Image(video) => self.videos.get_mut(&video)?.image.as_mut(),
            ArtifactId::Checkpoint { video, steps_done } => {
                self.videos.get_mut(&video)?.checkpoints.0.get_mut(&steps_done)
            }
        }
    }

    fn touch_artifact(&mut self, id: ArtifactId) {
        if let ArtifactId::Text(key) = id
            && let Some(text) = self.texts.get(&key)
        {
            self.dirty.extend(text.readers.iter().map(|&video| Dirty::Video(video)));
        }
        self.touch(work_of(id));
    }
}

fn work_of(id: ArtifactId) -> Work {
    match id {
        ArtifactId::Text(key) => Work::Text(key),
        ArtifactId::Image(video) => Work::Image(video),
        ArtifactId::Checkpoint { video, .. } => Work::Video(video),
    }
}
