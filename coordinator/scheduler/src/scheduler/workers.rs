//! Workers: hello, lease, loss, refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wanfarm_types::{AttemptId, Failure, Incarnation, Role, WorkerId};

use super::{Dirty, Scheduler};
use crate::attempts::{Attempt, Revocation};
use crate::job::PoolId;
use crate::placement::{LOAD_SPEED, Residency};
use crate::stage_result::Holder;
use crate::worker::{Session, Worker, label};
use crate::{Action, AttemptEnd, Change, WorkerHello};

/// Why a worker is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LossCause {
    /// It left on purpose. Counts against nothing.
    Clean,
    /// No sign of life for a lease: asleep, cut off, or dead. Counts against the video it ran.
    Silent,
    /// Its process ended while it ran a video. Counts against the video, and against the worker if nothing came of it.
    Crashed,
}

impl Scheduler {
    pub(super) fn worker_joined(&mut self, hello: WorkerHello) {
        let (id, incarnation) = (hello.worker, hello.incarnation);
        hello.running.iter().chain(&hello.holding).for_each(|&attempt| self.ledger.skip(attempt));
        let rebooted = self.workers.get(&id).is_some_and(|worker| worker.incarnation != incarnation);
        let stayed = self.workers.get(&id).is_some_and(|worker| worker.session != Session::Gone && !rebooted);
        if rebooted {
            self.lose_worker(id, LossCause::Crashed);
        }
        let serves = hello
            .serves
            .iter()
            .map(|served| (PoolId { model: self.models.id(&served.model), role: served.role }, served.weights));
        let serves: BTreeMap<_, _> = serves.collect();
        let residency = hello.budget.map(|budget| self.memory_of(budget, &hello));
        let worker = self.workers.entry(id).or_insert_with(|| Worker::new(incarnation, String::new()));
        worker.incarnation = incarnation;
        worker.residency = residency;
        worker.serve(serves);
        if !stayed || worker.arrival == 0 {
            self.arrivals += 1;
            worker.arrival = self.arrivals;
            worker.unloadable.clear();
            worker.refuse(Default::default());
        }
        if worker.name != hello.name {
            worker.name = hello.name;
            self.record_worker(id);
        }
        self.forget_idle_pins(id);
        if !self.judge(id) {
            return;
        }
        self.reconcile(id, &hello.running, &hello.holding);
        self.end_strays(id);
        self.hold_what_runs(id);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.session = Session::Connected;
        }
        self.pin_for(id);
        if self.workers.get(&id).is_some_and(|worker| worker.session == Session::Gone) {
            // Others were there with other weights, and are more.
            return;
        }
        let at_work = !hello.running.is_empty() || !hello.holding.is_empty();
        self.leave_after_hello(id, rebooted, at_work);
        self.renew(id);
        self.resend(id);
        self.stop_unassigned(id);
        self.dirty.insert(Dirty::Worker(id));
    }

    /// The memory of a worker that says hello.
    fn memory_of(&mut self, budget: u64, hello: &WorkerHello) -> Arc<Residency> {
        let mut pool = |model: &str, role| PoolId { model: self.models.id(model), role };
        let roles: BTreeMap<_, _> =
            hello.serves.iter().map(|served| (pool(&served.model, served.role), served.footprint)).collect();
        let mut held: BTreeSet<_> = hello.loaded.iter().map(|loaded| pool(&loaded.model, loaded.role)).collect();
        held.retain(|pool| roles.contains_key(pool));
        let known = self.workers.get(&hello.worker);
        let speed = known.and_then(|worker| Some(worker.residency.as_ref()?.speed)).unwrap_or(LOAD_SPEED);
        Arc::new(Residency::new(budget, roles, held, speed))
    }

    /// A worker holds what it was told to with the last item it has, or will when that begins.
    pub(super) fn hold_what_runs(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let Some(last) = worker.next.or(worker.running).and_then(|attempt| self.ledger.get(attempt)) {
            worker.hold(last.held.clone());
        }
    }

    /// Compares what is known of a boot with what it says it has: what either side lacks is over.
    fn reconcile(&mut self, id: WorkerId, running: &[AttemptId], holding: &[AttemptId]) {
        let Some(worker) = self.workers.get(&id) else { return };
        let incarnation = worker.incarnation;
        let leased = [worker.running, worker.next];
        let (running, holding): (BTreeSet<_>, BTreeSet<_>) =
            (running.iter().copied().collect(), holding.iter().copied().collect());
        let lost: Vec<AttemptId> =
            worker.held.keys().filter(|held| !running.contains(held) && !holding.contains(held)).copied().collect();
        for attempt in leased.into_iter().flatten() {
            if !running.contains(&attempt) {
                self.end_attempt(attempt, AttemptEnd::Lost, None);
            } else if let Some(attempt) = self.ledger.get_mut(attempt) {
                attempt.restored = false;
            }
        }
        for attempt in lost {
            self.lose(Holder { worker: id, attempt });
        }
        let is_live = |this: &Self, attempt| {
            this.ledger.get(attempt).is_some_and(|live| live.worker == id && live.incarnation == incarnation)
        };
        for &attempt in &running {
            if !is_live(self, attempt) {
                self.answer(id, attempt, true);
            }
        }
        for &attempt in &holding {
            if !is_live(self, attempt) {
                self.answer(id, attempt, false);
            }
        }
    }

    /// Says again what a broken connection may have swallowed.
    fn resend(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        for attempt in [worker.running, worker.next].into_iter().flatten() {
            if let Some(kind) = self.ledger.get(attempt).and_then(|attempt| attempt.revocation) {
                self.send_revocation(attempt, kind);
            }
        }
    }

    pub(super) fn heartbeat(&mut self, id: WorkerId, incarnation: Incarnation) {
        if self.is_connected(id, incarnation) {
            self.renew(id);
        } else {
            self.act(Action::Disconnect { worker: id, incarnation });
        }
    }

    pub(super) fn worker_lost(&mut self, id: WorkerId, incarnation: Incarnation) {
        if self.is_connected(id, incarnation) {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.session = Session::Lost;
            }
            self.stop_awaiting(id);
            self.dirty.insert(Dirty::Worker(id));
        }
    }

    pub(super) fn worker_gone(&mut self, id: WorkerId, incarnation: Incarnation, clean: bool) {
        if self.workers.get(&id).is_some_and(|worker| worker.incarnation == incarnation) {
            self.lose_worker(id, if clean { LossCause::Clean } else { LossCause::Crashed });
        }
    }

    pub(super) fn worker_enabled(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.streak.clear();
        worker.unloadable.clear();
        worker.note_speeds();
        self.dirty.insert(Dirty::Worker(id));
        (worker.leaves, worker.leave_by) = (false, None);
        self.leaving.remove(&id);
        if worker.draining || worker.set_aside.is_some() {
            worker.draining = false;
            worker.set_aside = None;
            self.record_worker(id);
            self.dirty.insert(Dirty::Worker(id));
        }
    }

    /// Narrows what a worker is given work of, or gives it work of all that it serves again.
    pub(super) fn assign_roles(&mut self, id: WorkerId, roles: Option<BTreeSet<Role>>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.assigned != roles) else { return };
        worker.assign_roles(roles);
        self.stop_unassigned(id);
        self.record_worker(id);
        // What it serves now may be what a job still has no weights for.
        self.pin_for(id);
        self.look_again = true;
        self.dirty.insert(Dirty::Worker(id));
    }

    /// Stops what a worker has of roles that it is not to work in.
    fn stop_unassigned(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let own = [worker.running, worker.next].into_iter().flatten();
        let own = own.filter(|own| self.ledger.get(*own).is_some_and(|attempt| !worker.is_member(attempt.pool())));
        for attempt in own.collect::<Vec<_>>() {
            self.revoke(attempt, Revocation::Stop);
        }
    }

    /// Forgets a worker that is gone, and what was decided about it. One that comes back is new.
    pub(super) fn forget_worker(&mut self, id: WorkerId) {
        if self.workers.get(&id).is_some_and(|worker| worker.session == Session::Gone) {
            self.workers.remove(&id);
            self.leaving.remove(&id);
            self.record(Change::WorkerForgotten(id));
        }
    }

    /// Counts a failed video against the worker; too many in a row, and it gets no more.
    pub(super) fn add_to_streak(&mut self, attempt: &Attempt, failure: &Failure) {
        let id = attempt.worker;
        let max = self.config.max_streak as usize;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let role = attempt.item.stage.role();
        worker.streak.insert((role, attempt.item.video));
        let failed = worker.streak.iter().filter(|(of, _)| *of == role).count();
        if failed >= max {
            self.set_aside(
                id,
                format!("failed {failed} different videos in a row as {role}; the last error: {failure}"),
            );
        }
    }

    /// The worker gets no more until a person says so.
    pub(super) fn set_aside(&mut self, id: WorkerId, reason: String) {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.set_aside.is_none()) else { return };
        worker.set_aside = Some(reason.clone());
        self.record_worker(id);
        self.act(Action::SetAside { worker: id, reason });
        self.dirty.insert(Dirty::Worker(id));
    }

    /// Ends everything a lost worker had: attempts, results in its memory, its seat on the board.
    pub(super) fn lose_worker(&mut self, id: WorkerId, cause: LossCause) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let name = label(id, worker);
        let (running, next) = (worker.running, worker.next);
        worker.session = Session::Gone;
        if let Some(lease) = worker.lease.take() {
            self.leases.remove(&(lease, id));
        }
        let held: Vec<AttemptId> = worker.held.keys().copied().collect();
        self.stop_awaiting(id);
        self.look_again = true;
        if let Some(next) = next {
            self.end_attempt(next, AttemptEnd::Lost, None);
        }
        let ended = running.and_then(|running| self.end_attempt(running, AttemptEnd::Lost, None));
        for attempt in held {
            self.lose(Holder { worker: id, attempt });
        }
        self.refresh_worker(id);
        // A pool without it may decide otherwise, also where it had nothing.
        self.dirty.insert(Dirty::Worker(id));
        let Some(attempt) = ended.filter(|attempt| attempt.started && !attempt.restored) else { return };
        if cause == LossCause::Clean {
            return;
        }
        let failure = Failure::transient(format!("worker {name} was lost while it ran {}", attempt.item.stage));
        if cause == LossCause::Crashed && attempt.ran().is_empty() {
            self.add_to_streak(&attempt, &failure);
        }
        self.strike(&attempt, &failure);
    }

    /// True when the scheduler has not been called for half a lease after something was due (a coordinator asleep, a
    /// debugger): no silence can be held against anyone then.
    pub(super) fn was_away(&self) -> bool {
        self.poll_timeout().is_some_and(|first| self.now - first > self.config.lease / 2)
    }

    /// Ends the leases that are due.
    pub(super) fn end_leases(&mut self, was_away: bool) {
        while let Some(&(_, id)) = self.leases.first().filter(|(at, _)| *at <= self.now) {
            if was_away {
                self.renew(id);
                continue;
            }
            let Some(incarnation) = self.workers.get(&id).map(|worker| worker.incarnation) else { break };
            let connected = self.is_connected(id, incarnation);
            self.lose_worker(id, LossCause::Silent);
            if connected {
                self.act(Action::Disconnect { worker: id, incarnation });
            }
        }
    }

    pub(super) fn renew(&mut self, id: WorkerId) {
        let lease = self.now + self.config.lease;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let Some(old) = worker.lease.replace(lease) {
            self.leases.remove(&(old, id));
        }
        self.leases.insert((lease, id));
    }

    pub(super) fn is_connected(&self, id: WorkerId, incarnation: Incarnation) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.is_connected() && worker.incarnation == incarnation)
    }

    /// The worker no longer waits for an item that was revoked for it.
    pub(super) fn stop_awaiting(&mut self, id: WorkerId) {
        let awaited = self.workers.get_mut(&id).and_then(|worker| worker.awaiting.take());
        if let Some(attempt) = awaited.and_then(|attempt| self.ledger.get_mut(attempt)) {
            attempt.awaited_by = None;
        }
    }

    pub(super) fn record_worker(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            self.changes.push(Change::WorkerState {
                worker: id,
                name: worker.name.clone(),
                draining: worker.draining,
                assigned: worker.assigned.clone(),
                set_aside: worker.set_aside.clone(),
            });
        }
    }

    /// Revokes an attempt. Idempotent; a stop outranks a revocation of what has not started.
    pub(super) fn revoke(&mut self, id: AttemptId, kind: Revocation) {
        let Some(attempt) = self.ledger.get_mut(id).filter(|attempt| attempt.revocation < Some(kind)) else { return };
        let first = attempt.revocation.replace(kind).is_none();
        let (worker, started) = (attempt.worker, attempt.started);
        self.dirty.insert(Dirty::Worker(worker));
        if first || started {
            self.send_revocation(id, kind);
        }
    }

    pub(super) fn send_revocation(&mut self, id: AttemptId, kind: Revocation) {
        let Some(attempt) = self.ledger.get(id) else { return };
        let (worker, incarnation) = (attempt.worker, attempt.incarnation);
        if !self.is_connected(worker, incarnation) {
            return;
        }
        if !attempt.started {
            self.act(Action::Revoke { worker, incarnation, attempt: id });
        } else if kind == Revocation::Stop && attempt.is_denoising() {
            self.act(Action::StopAfterStep { worker, incarnation, attempt: id });
        }
    }
}
