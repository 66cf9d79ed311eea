//! Carrying out decisions of the placement policy: attempts are issued here, and only here.

use wanfarm_types::{AttemptId, Checkpoint, Digest, ItemInputs, WorkItem, WorkerId};

use super::{Dirty, Scheduler};
use crate::attempts::{Attempt, Revocation, Work};
use crate::placement::{Decision, Ticket, kept};
use crate::stage_result::StageResult;
use crate::{Action, Assignment, Change};

impl Scheduler {
    pub(super) fn carry_out(&mut self, decision: Decision) {
        match decision {
            Decision::Assign { work, worker } => self.assign(work, worker, false),
            Decision::Prefetch { work, worker } => self.assign(work, worker, true),
            Decision::Revoke { attempt, to } => self.revoke_for(attempt, to, Revocation::IfUnstarted),
            Decision::MakeRoom { attempt } => self.revoke(attempt, Revocation::Stop),
            Decision::Move { attempt, to } => {
                self.count_move(attempt);
                self.revoke_for(attempt, to, Revocation::Stop);
            }
        }
    }

    fn assign(&mut self, work: Work, id: WorkerId, prefetch: bool) {
        self.board.charge(work);
        let Some(ticket) = self.board.ticket(work).cloned() else { return };
        let kept = self.board.seat_of(id).and_then(|seat| kept(&self.board, &ticket, seat));
        self.board.offer(work, None);
        let Some(incarnation) = self.workers.get(&id).map(|worker| worker.incarnation) else { return };
        let item = WorkItem { video: ticket.video, stage: ticket.lane.stage, steps: ticket.steps };
        let (inputs, holders) = self.inputs(&ticket);
        let mut attempt = Attempt::new(work, item, (ticket.lane, ticket.priority), ticket.step_work, id, incarnation);
        attempt.from = inputs.checkpoint.clone();
        attempt.held.extend(kept.iter().flatten());
        let held = attempt.held.clone();
        let attempt = self.ledger.issue(attempt);
        if let Work::Text(key) = work {
            self.forget_kept(key);
        }
        match work {
            Work::Text(key) => self.texts.get_mut(&key).map(|text| text.attempt = Some(attempt)),
            Work::Image(video) => self.videos.get_mut(&video).map(|video| video.image_attempt = Some(attempt)),
            Work::Video(video) => self.videos.get_mut(&video).map(|video| video.attempt = Some(attempt)),
        };
        if let Some(worker) = self.workers.get_mut(&id) {
            *(if prefetch { &mut worker.next } else { &mut worker.running }) = Some(attempt);
            worker.hold(held);
        }
        self.touch(work);
        self.dirty.insert(Dirty::Worker(id));
        let keep = kept.into_iter().flatten().map(|pool| self.models.role(pool)).collect();
        let text = if let Work::Text(key) = work { Some(key) } else { None };
        self.record(Change::AttemptIssued { attempt, item, text, worker: id, incarnation });
        let assignment = Assignment { worker: id, incarnation, attempt, item, text, inputs, holders, keep, prefetch };
        self.act(Action::Assign(Box::new(assignment)));
    }

    fn count_move(&mut self, id: AttemptId) {
        let video = self.ledger.get(id).map(|attempt| attempt.item.video);
        if let Some(video) = video.and_then(|id| self.videos.get_mut(&id)) {
            video.moves += 1;
        }
    }

    fn revoke_for(&mut self, id: AttemptId, to: WorkerId, kind: Revocation) {
        if let Some(attempt) = self.ledger.get_mut(id) {
            attempt.awaited_by = Some(to);
        }
        if let Some(worker) = self.workers.get_mut(&to) {
            worker.awaiting = Some(id);
        }
        self.dirty.insert(Dirty::Worker(to));
        self.revoke(id, kind);
    }

    /// What the item starts from, and which workers have it.
    fn inputs(&self, ticket: &Ticket) -> (ItemInputs, Vec<(Digest, WorkerId)>) {
        let mut inputs = ItemInputs::default();
        let mut holders = Vec::new();
        let Work::Video(id) = ticket.work else { return (inputs, holders) };
        let Some(video) = self.videos.get(&id) else { return (inputs, holders) };
        let mut used: Vec<&StageResult> = Vec::new();
        if ticket.lane.stage.expert().is_some() {
            let texts = video.plan.texts.iter().filter_map(|key| self.texts.get(key)?.result.as_ref());
            for result in texts {
                inputs.text.extend(result.tensors.iter().cloned());
                used.push(result);
            }
            if let Some(image) = video.image.as_ref().filter(|_| video.plan.has_image) {
                inputs.image = image.tensors.clone();
                used.push(image);
            }
        }
        if let Some((steps_done, result)) = video.checkpoints.newest() {
            inputs.checkpoint = Some(Checkpoint { steps_done, tensors: result.tensors.clone() });
            used.push(result);
        }
        for result in used {
            let holder = result.holder.map(|holder| holder.worker);
            holders.extend(result.tensors.iter().filter_map(|tensor| Some((tensor.digest, holder?))));
        }
        holders.sort_unstable();
        holders.dedup();
        (inputs, holders)
    }
}
