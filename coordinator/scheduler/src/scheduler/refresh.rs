//! From the state to the board: after every change, what changed is looked at anew and its ticket or seat replaced.
//! Idempotent: doing it once more changes nothing. That is what keeps transitions short and the board right.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use wanfarm_types::{AttemptId, ItemSize, Role, Stage, StepRange, VideoId, WorkerId};

use super::{Dirty, Scheduler};
use crate::attempts::{Attempt, Revocation, Work};
use crate::job::{LaneId, PoolId, Text};
use crate::pace::effort;
use crate::placement::{Occupant, Seat, Ticket};
use crate::stage_result::StageResult;
use crate::video::{Frames, NextStep, Video};
use crate::worker::Worker;
use crate::{Action, ArtifactId, JobPhase, SizeClass, TextKey};

impl Scheduler {
    pub(super) fn refresh_video(&mut self, id: VideoId) {
        self.tidy_results(id);
        let Some(video) = self.videos.get(&id) else { return };
        let next_step = self.next_step(id, video);
        let under_way = [video.attempt, video.image_attempt];
        let run = next_step.run.and_then(|(stage, steps)| self.ticket(id, video, stage, steps));
        let image =
            Some(()).filter(|()| next_step.image).and_then(|()| self.ticket(id, video, Stage::EncodeImage, NO_STEPS));
        self.board.offer(Work::Video(id), run);
        self.board.offer(Work::Image(id), image);
        self.want_texts(id, next_step.texts);
        self.count_load(id, next_step.going_on);
        self.count_unwritten(id, next_step.going_on);
        if !next_step.going_on {
            under_way.into_iter().flatten().for_each(|attempt| self.revoke(attempt, Revocation::Stop));
        }
        if next_step.write {
            self.write_outputs(id);
        }
    }

    /// What a video needs next, given the state of its job and texts.
    pub(super) fn next_step(&self, id: VideoId, video: &Video) -> NextStep {
        let active = self.jobs.get(&id.job).is_some_and(|job| job.state == JobPhase::Active);
        let texts_usable = video.plan.texts.iter().all(|key| self.texts.get(key).is_some_and(Text::is_usable));
        video.next_step(active, self.waits(id, video), texts_usable, self.now)
    }

    /// Keeps the pools' load up to date with how far a video is, or that it does not go on.
    fn count_load(&mut self, id: VideoId, going_on: bool) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        let now = going_on.then(|| video.extent());
        let before = std::mem::replace(&mut video.counted, now);
        if before == now {
            return;
        }
        let Some(job) = self.jobs.get(&id.job) else { return };
        for ((stage, before), (_, now)) in video.load(before).zip(video.load(now)) {
            if before != now {
                let pool = PoolId { model: job.model, role: stage.role() };
                self.board.add_load(pool, now);
                self.board.remove_load(pool, before);
            }
        }
    }

    /// Keeps count, by worker, of frames that are still to be written. Those of a paused job do not count:
    /// when they will be written is unknown, and other jobs must not wait for them.
    fn count_unwritten(&mut self, id: VideoId, going_on: bool) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        let frames = video.frames.as_ref().filter(|_| going_on);
        let now = frames.map(|frames| (frames.holder.worker, frames.tensor.byte_len().unwrap_or(u64::MAX)));
        let before = std::mem::replace(&mut video.unwritten_at, now.map(|(worker, _)| worker));
        if before == video.unwritten_at {
            return;
        }
        if let Some(worker) = before {
            self.workers.get_mut(&worker).map(|worker| worker.unwritten.remove(&id));
            self.dirty.insert(Dirty::Worker(worker));
        }
        if let Some((worker, bytes)) = now {
            self.workers.get_mut(&worker).map(|worker| worker.unwritten.insert(id, bytes));
            self.dirty.insert(Dirty::Worker(worker));
        }
    }

    /// True when a worker holds, or is about to hold, as many frames as may wait to be written.
    fn is_full(&self, worker: &Worker) -> bool {
        let decodes = |id: &AttemptId| self.ledger.get(*id).is_some_and(|attempt| attempt.item.stage == Stage::Decode);
        let coming = worker.running.iter().chain(&worker.next).filter(|id| decodes(id)).count();
        let (count, most) = (worker.unwritten.len() + coming, self.config.unwritten_videos.max(1) as usize);
        // What comes is taken to be as large as the largest that is there.
        let largest = worker.unwritten.values().max().copied().unwrap_or(0);
        let coming = std::iter::repeat_n(&largest, coming);
        let bytes = worker.unwritten.values().chain(coming).fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        count >= most || (count > 0 && bytes >= self.config.unwritten_bytes)
    }

    /// The ticket of a video's item.
    pub(super) fn ticket(&self, id: VideoId, video: &Video, stage: Stage, mut steps: StepRange) -> Option<Ticket> {
        let job = self.jobs.get(&id.job)?;
        let work = if stage == Stage::EncodeImage { Work::Image(id) } else { Work::Video(id) };
        steps.end = steps.end.min(steps.first.saturating_add(self.config.steps_per_assignment.max(1)));
        let newest = video.checkpoints.newest().map(|(_, result)| result);
        let first_text = video.plan.texts.first().and_then(|key| self.texts.get(key)?.result.as_ref());
        let input = newest.or(video.image.as_ref()).or(first_text);
        Some(Ticket {
            lane: LaneId::new(job.model, stage, steps.first, video.plan.item_size()),
            work,
            priority: job.priority,
            turn: video.link.turn,
            behind: video.link.behind,
            video: id,
            steps,
            step_work: effort(stage, video.plan.size_of(stage)),
            prefers: input.and_then(|input| input.holder).map(|holder| holder.worker),
            avoids: video.strikes.avoids(stage.role()),
        })
    }

    /// Drops checkpoints that are superseded, and asks for copies of those worth one.
    fn tidy_results(&mut self, id: VideoId) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        video.image.take_if(|image| !image.is_alive());
        for (steps_done, result) in video.checkpoints.prune() {
            self.discard(ArtifactId::Checkpoint { video: id, steps_done }, &result);
        }
        let Some(video) = self.videos.get(&id).filter(|video| video.state.is_open()) else { return };
        let due =
            video.checkpoints.newest().map(|(steps, _)| steps).filter(|steps| self.is_worth_a_copy(video, *steps));
        if let Some(steps_done) = due {
            self.ask_for_copy(ArtifactId::Checkpoint { video: id, steps_done });
        }
        self.ask_for_copy(ArtifactId::Image(id));
    }

    /// One copy of a video's state at a time; at the end of a stage, after an interval, and whenever work rests.
    fn is_worth_a_copy(&self, video: &Video, steps: u32) -> bool {
        let ends_stage = video.plan.stages.iter().any(|(_, range)| range.end == steps);
        let at_risk = steps.saturating_sub(video.checkpoints.durable_steps());
        let interval = at_risk >= self.config.checkpoint_steps || self.have_cost(video, at_risk);
        !video.checkpoints.is_copying() && (ends_stage || interval || video.attempt.is_none())
    }

    /// True when the last `steps` of the attempt under way took as long as may be lost, or their time is unknown.
    /// Their own times count, not the clock: a worker that slept has not computed meanwhile.
    fn have_cost(&self, video: &Video, steps: u32) -> bool {
        let Some(attempt) = video.attempt.and_then(|id| self.ledger.get(id)) else { return false };
        let seconds: f64 = attempt.step_seconds.iter().rev().take(steps as usize).sum();
        seconds.is_nan() || seconds >= self.config.checkpoint_time.as_secs_f64()
    }

    fn write_outputs(&mut self, id: VideoId) {
        let Some(video) = self.videos.get_mut(&id) else { return };
        let Some(frames) = video.frames.as_ref() else { return };
        let Frames { tensor, holder, state } = frames.clone();
        video.writing = Some(holder.attempt);
        self.act(Action::WriteOutputs { video: id, frames: tensor, holder: holder.worker, checkpoint: state });
    }

    pub(super) fn refresh_text(&mut self, key: TextKey) {
        let Some(text) = self.texts.get_mut(&key) else { return };
        text.result.take_if(|result| !result.is_alive());
        let is_busy = text.attempt.is_some() || text.result.as_ref().is_some_and(StageResult::is_copying);
        if text.readers.is_empty() && !is_busy {
            return self.forget_text(key);
        }
        let unwanted = text.attempt.filter(|_| text.wanting.is_empty());
        let ticket = self.text_ticket(key);
        self.board.offer(Work::Text(key), ticket);
        self.ask_for_copy(ArtifactId::Text(key));
        if let Some(attempt) = unwanted {
            self.revoke(attempt, Revocation::Stop);
        }
    }

    /// The ticket of a text that has to be encoded; it stands in the name of the most urgent video that waits for it.
    pub(super) fn text_ticket(&self, key: TextKey) -> Option<Ticket> {
        let text = self.texts.get(&key)?;
        let &(Reverse(priority), turn, Reverse(behind), video) = text.wanting.first()?;
        let wanted = text.attempt.is_none() && !text.is_usable();
        wanted.then(|| Ticket {
            lane: LaneId::new(text.model, Stage::EncodeText, 0, ItemSize::default()),
            work: Work::Text(key),
            priority,
            turn,
            behind,
            video,
            steps: NO_STEPS,
            step_work: effort(Stage::EncodeText, SizeClass(0)),
            prefers: None,
            avoids: text.strikes.avoids(Role::TextEncoder),
        })
    }

    fn forget_text(&mut self, key: TextKey) {
        self.board.offer(Work::Text(key), None);
        if let Some(text) = self.texts.remove(&key) {
            self.keep_or_discard(key, text);
        }
    }

    pub(super) fn refresh_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let running = worker.running;
        if (worker.draining || worker.set_aside.is_some())
            && let Some(next) = worker.next
        {
            self.revoke(next, Revocation::Stop);
        }
        // Its turn has come, or comes now that the one before it has ended.
        let unwatched = |id: &AttemptId| self.ledger.get(*id).is_some_and(|attempt| attempt.deadline.is_none());
        if let Some(running) = running.filter(unwatched) {
            self.watch(running);
        }
        let Some(worker) = self.workers.get(&id) else { return };
        let seat = self.seat(worker);
        if worker.awaiting.is_some() && seat.as_ref().is_none_or(|seat| seat.running.is_some()) {
            self.stop_awaiting(id);
            self.dirty.insert(Dirty::Worker(id));
        }
        self.board.seat(id, seat);
    }

    /// The seat of a worker; `None` when it may be given nothing.
    pub(super) fn seat(&self, worker: &Worker) -> Option<Seat> {
        let occupant = |id: Option<AttemptId>| {
            let id = id?;
            let attempt = self.ledger.get(id)?;
            Some(Occupant {
                attempt: id,
                lane: attempt.lane,
                priority: self.priority_of(attempt),
                revoked: attempt.revocation.is_some(),
                can_stop: attempt.is_denoising(),
                decodes: attempt.item.stage == Stage::Decode,
                nearly_done: attempt.started && self.is_nearly_done(attempt),
                follows: self.follow_up(worker, attempt),
                may_move: self.may_move(attempt.work),
                avoids: self.avoided(attempt),
                left: attempt.left(),
                step_work: attempt.step_work,
                ends: attempt.ends.map_or(0, |at| at.0),
            })
        };
        let (memberships, running, next) =
            (worker.memberships.clone(), occupant(worker.running), occupant(worker.next));
        let (awaiting, full) = (worker.awaiting.is_some(), self.is_full(worker));
        worker.is_available().then_some(Seat {
            memberships,
            residency: worker.residency.clone(),
            running,
            next,
            awaiting,
            full,
        })
    }

    /// That of its job as it is now.
    fn priority_of(&self, attempt: &Attempt) -> i32 {
        self.jobs.get(&attempt.job).map_or(attempt.charged, |job| job.priority)
    }

    fn is_nearly_done(&self, attempt: &Attempt) -> bool {
        attempt.item.steps.end.saturating_sub(attempt.reached) <= self.config.prefetch_steps
    }

    /// How urgent the item is that will follow from this one, if this worker serves its role too.
    fn follow_up(&self, worker: &Worker, attempt: &Attempt) -> Option<(i32, Stage)> {
        let plan = &self.videos.get(&attempt.item.video)?.plan;
        let stage = match attempt.item.stage {
            Stage::Decode => return None,
            Stage::EncodeText | Stage::EncodeImage => plan.stage_of(0),
            _ => plan.stage_of(attempt.item.steps.end),
        };
        let stage = stage.map_or(Stage::Decode, |(stage, _)| stage);
        let pool = PoolId { model: attempt.lane.model, role: stage.role() };
        // What it would have to load for may wait for whatever is as important, not for anything less so.
        let priority = self.priority_of(attempt);
        let follows = match worker.holds(pool) {
            true => (priority, stage),
            false => (priority.saturating_sub(1), Stage::Decode),
        };
        worker.is_member(pool).then_some(follows)
    }

    fn may_move(&self, work: Work) -> bool {
        matches!(work, Work::Video(id) if self.videos.get(&id).is_some_and(|video| video.moves < self.config.max_moves))
    }

    fn avoided(&self, attempt: &Attempt) -> BTreeMap<WorkerId, u32> {
        let strikes = match attempt.work {
            Work::Text(key) => self.texts.get(&key).map(|text| &text.strikes),
            Work::Image(video) | Work::Video(video) => self.videos.get(&video).map(|video| &video.strikes),
        };
        strikes.map(|strikes| strikes.avoids(attempt.item.stage.role())).unwrap_or_default()
    }
}

/// The step range of stages without steps.
pub(super) const NO_STEPS: StepRange = StepRange { first: 0, end: 0 };
