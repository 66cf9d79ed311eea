//! What workers say about attempts. Every report passes the fence first: only the live attempt of an item, on the
//! worker and boot it was given to, can change anything.

use std::collections::BTreeSet;

use wanfarm_types::{
    AttemptId, Checkpoint, Failure, FailureKind, Incarnation, ItemOutputs, JobId, LoadProgress, Report, Stage,
    StepTiming, TensorRef, VideoId, WorkItem, WorkerId,
};

use super::{Dirty, Scheduler};
use crate::attempts::{Attempt, Revocation, Work};
use crate::stage_result::{Holder, StageResult};
use crate::video::Frames;
use crate::{Action, AttemptEnd, Change, Instant, SizeClass};

impl Scheduler {
    pub(super) fn report(&mut self, worker: WorkerId, incarnation: Incarnation, id: AttemptId, report: Report) {
        if !self.is_connected(worker, incarnation) {
            self.act(Action::Disconnect { worker, incarnation });
            return;
        }
        self.renew(worker);
        let live = self.ledger.get(id).filter(|live| live.worker == worker && live.incarnation == incarnation);
        if live.is_none() {
            self.answer(worker, id, report.is_final());
            return;
        }
        match report {
            Report::Started => self.started(id),
            Report::Loading(progress) => self.loading(id, progress),
            Report::StepDone { checkpoint, seconds } => self.step_done(id, checkpoint, seconds),
            Report::ItemDone { outputs, timing } => self.item_done(id, outputs, timing),
            Report::Failed(failure) => self.failed(id, failure),
            Report::Revoked => {
                self.end_attempt(id, AttemptEnd::Revoked, None);
                self.answer(worker, id, true);
            }
        }
    }

    /// Answers a report of an attempt that is not live: its results are kept already, or not needed.
    pub(super) fn answer(&mut self, id: WorkerId, attempt: AttemptId, is_final: bool) {
        let Some(worker) = self.workers.get(&id) else { return };
        let incarnation = worker.incarnation;
        if !worker.held.contains_key(&attempt) {
            self.act(Action::Drop { worker: id, incarnation, attempt });
        } else if is_final {
            self.act(Action::Ack { worker: id, incarnation, attempt });
        }
    }

    /// From here on the attempt can be stopped, but not revoked.
    fn started(&mut self, id: AttemptId) {
        let Some(attempt) = self.ledger.get_mut(id).filter(|attempt| !attempt.started) else { return };
        attempt.started = true;
        self.watch(id);
        self.estimate_end(id);
        let Some(attempt) = self.ledger.get_mut(id) else { return };
        let (worker, revocation) = (attempt.worker, attempt.revocation);
        if revocation == Some(Revocation::IfUnstarted) {
            attempt.revocation = None;
            if let Some(idle) = attempt.awaited_by.take() {
                self.stop_awaiting(idle);
                self.dirty.insert(Dirty::Worker(idle));
            }
        } else if let Some(kind) = revocation {
            self.send_revocation(id, kind);
        }
        self.dirty.insert(Dirty::Worker(worker));
    }

    /// Estimates the end of an attempt from the speed of its worker.
    fn estimate_end(&mut self, id: AttemptId) {
        let Some(attempt) = self.ledger.get_mut(id) else { return };
        let slowness = self.workers.get(&attempt.worker).and_then(|worker| worker.slowness(attempt.pool()));
        let left = attempt.step_work.saturating_mul(u64::from(attempt.left()));
        attempt.ends = slowness.map(|slowness| Instant(self.now.0.saturating_add(slowness.time(left))));
    }

    fn step_done(&mut self, id: AttemptId, checkpoint: Checkpoint, seconds: f64) {
        self.started(id);
        let Some(attempt) = self.ledger.get_mut(id) else { return };
        let steps = checkpoint.steps_done;
        let is_news = steps > attempt.reached && steps <= attempt.item.steps.end;
        if !is_news || checkpoint.tensors.is_empty() {
            return;
        }
        attempt.reached = steps;
        attempt.step_seconds.push(seconds);
        let attempt = attempt.clone();
        let is_whole = self.videos.get(&attempt.item.video).is_some_and(|video| video.plan.is_whole(steps - 1));
        if is_whole && self.measure(&attempt, seconds) {
            self.estimate_end(id);
        }
        self.watch(id);
        self.take_checkpoint(id, &attempt, checkpoint);
        self.dirty.insert(Dirty::Worker(attempt.worker));
    }

    fn item_done(&mut self, id: AttemptId, outputs: ItemOutputs, timing: StepTiming) {
        let Some(attempt) = self.ledger.get_mut(id) else { return };
        if let Some(failure) = unfit(attempt, &outputs) {
            return self.failed(id, failure);
        }
        if let ItemOutputs::Checkpoint(checkpoint) = &outputs {
            attempt.reached = checkpoint.steps_done;
            if attempt.reached == attempt.item.steps.end
                && let Some(video) = self.videos.get_mut(&attempt.item.video)
            {
                video.moves = 0;
            }
        }
        let seconds = timing.seconds;
        let Some(attempt) = self.end_attempt(id, AttemptEnd::Done, Some(timing)) else { return };
        if !attempt.is_denoising() {
            self.measure(&attempt, seconds);
        }
        match outputs {
            ItemOutputs::Text(tensor) => {
                self.take_text(id, &attempt, StageResult::held(vec![tensor], held(id, &attempt)))
            }
            ItemOutputs::Image(tensors) => {
                self.take_image(id, &attempt, StageResult::held(tensors, held(id, &attempt)))
            }
            ItemOutputs::Checkpoint(checkpoint) => self.take_checkpoint(id, &attempt, checkpoint),
            ItemOutputs::Frames(tensor) => {
                self.take_frames(id, &attempt, tensor);
            }
        }
        if let Some(worker) = self.workers.get_mut(&attempt.worker)
            && !(attempt.is_denoising() && attempt.ran().is_empty())
        {
            worker.streak.retain(|(role, _)| *role != attempt.item.stage.role());
        }
        self.answer(attempt.worker, id, true);
    }

    /// Weights are being loaded for an item, which is as good a sign of life as a step, if it has come further.
    fn loading(&mut self, id: AttemptId, progress: LoadProgress) {
        self.started(id);
        let Some(attempt) = self.ledger.get_mut(id) else { return };
        let is_old =
            attempt.reached > attempt.item.steps.first || attempt.load.is_some_and(|load| load.read >= progress.read);
        if is_old || !progress.seconds.is_finite() {
            return;
        }
        attempt.load = Some(progress);
        let (pool, worker) = (attempt.pool(), attempt.worker);
        self.watch(id);
        self.dirty.insert(Dirty::Worker(worker));
        if let Some(worker) = self.workers.get_mut(&worker).filter(|_| progress.is_done()) {
            worker.loaded(pool, progress.seconds);
        }
    }

    /// The weights for an item could not be loaded: the worker gets nothing of that role for a while, longer each time. It
    /// may have let everything go for them.
    fn not_loaded(&mut self, attempt: &Attempt) {
        let Some(worker) = self.workers.get_mut(&attempt.worker) else { return };
        let before = worker.unloadable.get(&attempt.pool()).map_or(0, |(_, times)| *times);
        let until = self.now + self.config.load_pause.saturating_mul(1 << before.min(5));
        worker.give_up(attempt.pool(), until);
        worker.hold(BTreeSet::new());
        self.hold_what_runs(attempt.worker);
        self.reloads.insert((until, attempt.worker));
        self.dirty.insert(Dirty::Worker(attempt.worker));
    }

    pub(super) fn failed(&mut self, id: AttemptId, failure: Failure) {
        let Some(attempt) = self.end_attempt(id, AttemptEnd::Failed(failure.clone()), None) else { return };
        match failure.kind {
            FailureKind::Deterministic => self.fail(attempt.work, &failure),
            FailureKind::InputsLost => self.inputs_lost(&attempt, &failure),
            FailureKind::NotLoaded => self.not_loaded(&attempt),
            FailureKind::Transient | FailureKind::NotFinite => {
                self.add_to_streak(&attempt, &failure);
                self.strike(&attempt, &failure);
            }
        }
        self.answer(attempt.worker, id, true);
    }

    /// Takes an attempt off the ledger and frees its places.
    pub(super) fn end_attempt(
        &mut self,
        id: AttemptId,
        end: AttemptEnd,
        timing: Option<StepTiming>,
    ) -> Option<Attempt> {
        let attempt = self.ledger.end(id)?;
        if let Some(deadline) = attempt.deadline {
            self.stalls.remove(&(deadline, id));
        }
        match attempt.work {
            Work::Text(key) => self.texts.get_mut(&key).map(|text| text.attempt = None),
            Work::Image(video) => self.videos.get_mut(&video).map(|video| video.image_attempt = None),
            Work::Video(video) => self.videos.get_mut(&video).map(|video| video.attempt = None),
        };
        self.touch(attempt.work);
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            let was_last = worker.next.or(worker.running) == Some(id);
            worker.vacate(id);
            self.dirty.insert(Dirty::Worker(attempt.worker));
            if was_last {
                self.hold_what_runs(attempt.worker);
            }
        }
        if let Some(idle) = attempt.awaited_by {
            self.stop_awaiting(idle);
            self.dirty.insert(Dirty::Worker(idle));
        }
        self.board.refund(
            attempt.lane,
            attempt.charged,
            attempt.job,
            if attempt.restored { 0 } else { attempt.undone() },
        );
        let timing = timing.unwrap_or_else(|| attempt.timing());
        let load_seconds = attempt.load.map_or(0.0, |load| load.seconds);
        let timing = StepTiming { load_seconds, ..timing };
        self.record(Change::AttemptEnded { attempt: id, end, steps: attempt.ran(), timing });
        Some(attempt)
    }

    /// Counts a failure against what the item belongs to, and gives up on it when that was one too many.
    pub(super) fn strike(&mut self, attempt: &Attempt, failure: &Failure) {
        let max = self.config.max_strikes;
        let pool = self.board.pool(attempt.pool());
        let strikes = match attempt.work {
            Work::Text(key) => self.texts.get_mut(&key).map(|text| &mut text.strikes),
            Work::Image(video) | Work::Video(video) => self.videos.get_mut(&video).map(|video| &mut video.strikes),
        };
        let Some(strikes) = strikes else { return };
        strikes.add(attempt.worker, failure.kind);
        let others_left = pool.is_some_and(|pool| !pool.members.is_subset(&strikes.on));
        if strikes.is_out(max, others_left) {
            self.fail(attempt.work, failure);
        }
        // Its first frame may be encoded by another worker at the same time.
        if let Work::Image(video) | Work::Video(video) = attempt.work {
            self.touch_its_workers(video);
        }
        self.touch(attempt.work);
    }

    /// True when that changes what is known of the worker's speed.
    fn measure(&mut self, attempt: &Attempt, seconds: f64) -> bool {
        let size = self.size_of(attempt.item);
        let worker = self.workers.get_mut(&attempt.worker);
        size.zip(worker)
            .is_some_and(|(size, worker)| worker.measure(attempt.lane.model, attempt.item.stage, size, seconds))
    }

    /// The class an item's time is measured in.
    pub(super) fn size_of(&self, item: WorkItem) -> Option<SizeClass> {
        match item.stage {
            Stage::EncodeText => Some(SizeClass(0)),
            stage => self.videos.get(&item.video).map(|video| video.plan.size_of(stage)),
        }
    }

    fn take_text(&mut self, id: AttemptId, attempt: &Attempt, result: StageResult) {
        let Work::Text(key) = attempt.work else { return };
        let Some(text) = self.texts.get_mut(&key).filter(|text| !text.readers.is_empty() && !text.is_usable()) else {
            return;
        };
        text.result = Some(result.replace(text.result.as_ref()));
        text.weights = self.workers.get(&attempt.worker).and_then(|worker| worker.serves.get(&attempt.pool())).copied();
        text.strikes.clear();
        let readers: Vec<VideoId> = text.readers.iter().copied().collect();
        let mut jobs: Vec<JobId> = readers.iter().map(|video| video.job).collect();
        jobs.dedup();
        self.dirty.extend(readers.into_iter().map(Dirty::Video));
        self.hold(id, attempt);
        for job in jobs {
            self.pin(job, attempt.item.stage.role(), attempt.worker);
        }
    }

    fn take_image(&mut self, id: AttemptId, attempt: &Attempt, result: StageResult) {
        let Some(video) = self.videos.get_mut(&attempt.item.video) else { return };
        if video.state.is_open() && !video.image_is_usable() {
            video.image = Some(result.replace(video.image.as_ref()));
            self.keep(id, attempt);
        }
    }

    fn take_checkpoint(&mut self, id: AttemptId, attempt: &Attempt, checkpoint: Checkpoint) {
        let Some(video) = self.videos.get_mut(&attempt.item.video) else { return };
        if video.state.is_open() && checkpoint.steps_done > attempt.item.steps.first {
            video.checkpoints.add(checkpoint, held(id, attempt));
            self.keep(id, attempt);
        }
    }

    /// Frames whose latents are unknown (an attempt from before a restart, its input lost) are made again.
    fn take_frames(&mut self, id: AttemptId, attempt: &Attempt, tensor: TensorRef) {
        let Some(video) = self.videos.get_mut(&attempt.item.video) else { return };
        let steps_done = video.plan.total_steps();
        let known =
            video.checkpoints.0.get(&steps_done).map(|state| Checkpoint { steps_done, tensors: state.tensors.clone() });
        let Some(state) = attempt.from.clone().or(known) else { return };
        if video.state.is_open() && video.frames.is_none() {
            video.frames = Some(Frames { tensor, holder: held(id, attempt), state });
            self.keep(id, attempt);
        }
    }

    /// After a result of a video was taken in.
    fn keep(&mut self, id: AttemptId, attempt: &Attempt) {
        if let Some(video) = self.videos.get_mut(&attempt.item.video) {
            video.note_progress();
            // Whom its items avoid may have changed with that, also of one that runs beside this.
            let out = [video.attempt, video.image_attempt].into_iter().flatten().filter_map(|id| self.ledger.get(id));
            self.dirty.extend(out.map(|attempt| Dirty::Worker(attempt.worker)));
        }
        if self.refers(attempt.work, held(id, attempt)) {
            self.hold(id, attempt);
        }
        self.touch(attempt.work);
        self.pin(attempt.job, attempt.item.stage.role(), attempt.worker);
        if attempt.is_denoising() {
            self.pin_texts(attempt.item.video);
        }
    }

    fn hold(&mut self, id: AttemptId, attempt: &Attempt) {
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            worker.held.insert(id, attempt.work);
        }
    }
}

fn held(id: AttemptId, attempt: &Attempt) -> Holder {
    Holder { worker: attempt.worker, attempt: id }
}

/// Why a result cannot be that of the item, if so. A worker that says such things is treated as failing.
fn unfit(attempt: &Attempt, outputs: &ItemOutputs) -> Option<Failure> {
    let steps = attempt.item.steps;
    let fits = match (outputs, attempt.item.stage) {
        (ItemOutputs::Text(_), Stage::EncodeText) | (ItemOutputs::Frames(_), Stage::Decode) => true,
        (ItemOutputs::Image(tensors), Stage::EncodeImage) => !tensors.is_empty(),
        (ItemOutputs::Checkpoint(state), Stage::DenoiseHigh | Stage::DenoiseLow | Stage::Denoise) => {
            let ran = state.steps_done >= attempt.reached && state.steps_done <= steps.end;
            ran && !(state.tensors.is_empty() && state.steps_done > steps.first)
        }
        _ => false,
    };
    let what = || {
        Failure::transient(format!(
            "the worker's result does not fit {} of steps {}..{}; it may be another version",
            attempt.item.stage, steps.first, steps.end
        ))
    };
    (!fits).then(what)
}
