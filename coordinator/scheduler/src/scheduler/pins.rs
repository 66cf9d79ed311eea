//! Which weights a job is rendered with. Deliberately decided before anything is rendered, by what most workers have:
//! else one machine with the wrong files that finishes first would get all the good ones refused. And refused is a role,
//! not a machine: a worker with other files for one role still serves its other roles.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use wanfarm_types::{Digest, JobId, Role, WorkerId};

use super::workers::LossCause;
use super::{Dirty, Scheduler};
use crate::job::PoolId;
use crate::worker::{Session, Worker};
use crate::{Action, AttemptEnd, Change, JobPhase, Refusal};

impl Scheduler {
    /// Pins the weights of unfinished jobs in roles that no worker served before this one joined.
    pub(super) fn pin_for(&mut self, comes: WorkerId) {
        let Some(worker) = self.workers.get(&comes) else { return };
        let unfinished = self.jobs.iter().filter(|(_, job)| {
            let pools = worker.serves.keys().filter(|pool| pool.model == job.model && worker.is_member(**pool));
            job.state != JobPhase::Finished && pools.into_iter().any(|pool| !job.pins.contains_key(&pool.role))
        });
        for id in unfinished.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.pin_job(id);
        }
    }

    /// Pins the weights of a job: in each role those that the most workers have; of as many, those that were there first.
    pub(super) fn pin_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let mut votes: BTreeMap<Role, BTreeMap<Digest, (u32, Reverse<u64>)>> = BTreeMap::new();
        for worker in self.workers.values().filter(|worker| worker.session != Session::Gone) {
            let serves = worker.serves.iter().filter(|(pool, _)| pool.model == job.model && worker.is_member(**pool));
            for (pool, weights) in serves.filter(|(pool, _)| !job.pins.contains_key(&pool.role)) {
                let (count, first) =
                    votes.entry(pool.role).or_default().entry(*weights).or_insert((0, Reverse(u64::MAX)));
                *count += 1;
                *first = Reverse(first.0.min(worker.arrival));
            }
        }
        for (role, votes) in votes {
            if let Some((weights, _)) = votes.into_iter().max_by_key(|&(_, vote)| vote) {
                self.pin_to(id, role, weights);
            }
        }
        self.use_kept(id);
    }

    /// Notes that a result of a job was made with these weights.
    pub(super) fn made_with(&mut self, id: JobId, role: Role, weights: Digest) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.made.insert(role);
        if !job.pins.contains_key(&role) {
            self.pin_to(id, role, weights);
        }
    }

    /// Notes that a result of a job was made with the weights of a worker.
    pub(super) fn pin(&mut self, id: JobId, role: Role, worker: WorkerId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let pool = PoolId { model: job.model, role };
        job.made.insert(role);
        let weights = self.workers.get(&worker).and_then(|worker| worker.serves.get(&pool)).copied();
        if let Some(weights) = weights {
            self.made_with(id, role, weights);
        }
    }

    /// A pin that produced nothing and that no worker can serve any more gives way to what a worker brings: files
    /// may be replaced while a job waits.
    pub(super) fn forget_idle_pins(&mut self, comes: WorkerId) {
        let Some(serves) = self.workers.get(&comes).map(|worker| worker.serves.clone()) else { return };
        let present = |pool: PoolId, pin: Digest| {
            let others = self.workers.iter().filter(|(id, worker)| **id != comes && worker.session != Session::Gone);
            others.into_iter().any(|(_, worker)| worker.serves.get(&pool) == Some(&pin))
        };
        let mut idle = Vec::new();
        for (&id, job) in self.jobs.iter().filter(|(_, job)| job.state != JobPhase::Finished) {
            for (&role, &pin) in job.pins.iter().filter(|(role, _)| !job.made.contains(role)) {
                let pool = PoolId { model: job.model, role };
                if serves.get(&pool).is_some_and(|theirs| *theirs != pin) && !present(pool, pin) {
                    idle.push((id, role));
                }
            }
        }
        for (id, role) in idle {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.pins.remove(&role);
            }
            self.record(Change::WeightsPinned { job: id, role, weights: None });
            self.look_again = true;
        }
    }

    /// Pins, and refuses the role to workers with others.
    fn pin_to(&mut self, id: JobId, role: Role, weights: Digest) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let pool = PoolId { model: job.model, role };
        job.pins.insert(role, weights);
        self.record(Change::WeightsPinned { job: id, role, weights: Some(weights) });
        if role == Role::TextEncoder {
            self.drop_foreign_texts(id, weights);
        }
        let differs = |worker: &Worker| {
            let theirs = worker.serves.get(&pool).filter(|_| worker.can_run(pool));
            worker.session != Session::Gone && theirs.is_some_and(|theirs| *theirs != weights)
        };
        let others = self.workers.iter().filter(|(_, worker)| differs(worker)).map(|(&id, _)| id);
        for other in others.collect::<Vec<_>>() {
            self.judge(other);
        }
    }

    /// Refuses a worker those roles in which it has other weights than an unfinished job is rendered with, and gives
    /// back those in which it has no longer. One that is refused them all is turned away: then it answers false.
    pub(super) fn judge(&mut self, id: WorkerId) -> bool {
        let refused = self.refusals(id);
        let Some(worker) = self.workers.get_mut(&id) else { return false };
        let new: Vec<Refusal> =
            refused.iter().filter(|(pool, _)| !worker.refused.contains_key(pool)).map(|(_, why)| why.clone()).collect();
        let changed = !new.is_empty() || refused.len() != worker.refused.len();
        worker.refuse(refused);
        if worker.is_refused() {
            let (incarnation, refusal) = (worker.incarnation, worker.refused.values().next().cloned());
            self.lose_worker(id, LossCause::Clean);
            self.actions.extend(refusal.map(|refusal| Action::RefuseWorker { worker: id, incarnation, refusal }));
            return false;
        }
        if !changed {
            return true;
        }
        for refusal in new {
            self.act(Action::RefuseRole { worker: id, refusal });
        }
        self.end_strays(id);
        self.dirty.insert(Dirty::Worker(id));
        true
    }

    /// Looks at the refused again: a job has ended, or the one worker with the weights of a job has left before it made
    /// anything.
    pub(super) fn reconsider(&mut self) {
        let refused = self.workers.iter().filter(|(_, worker)| worker.session != Session::Gone);
        let refused = refused.filter(|(_, worker)| !worker.refused.is_empty()).map(|(&id, _)| id);
        for id in refused.collect::<Vec<_>>() {
            self.forget_idle_pins(id);
            if self.judge(id) {
                self.pin_for(id);
            }
        }
    }

    /// Why a worker gets no work of a pool, by pool.
    pub(super) fn refusals(&self, id: WorkerId) -> BTreeMap<PoolId, Refusal> {
        let Some(worker) = self.workers.get(&id) else { return BTreeMap::new() };
        let mut refused = BTreeMap::new();
        for (&job, of) in self.jobs.iter().filter(|(_, job)| job.state != JobPhase::Finished) {
            for (&role, &expected) in &of.pins {
                let pool = PoolId { model: of.model, role };
                if let Some(&got) = worker.serves.get(&pool).filter(|got| **got != expected) {
                    let model = self.models.name(of.model).to_owned();
                    refused.entry(pool).or_insert(Refusal::OtherWeights { job, model, role, expected, got });
                }
            }
        }
        refused
    }

    /// Ends what a worker has of a role that it serves no longer, or is refused.
    pub(super) fn end_strays(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let strays = [worker.running, worker.next].into_iter().flatten();
        let strays = strays.filter(|id| self.ledger.get(*id).is_some_and(|attempt| !worker.can_run(attempt.pool())));
        for attempt in strays.collect::<Vec<_>>() {
            if self.end_attempt(attempt, AttemptEnd::Lost, None).is_some() {
                self.answer(id, attempt, true);
            }
        }
    }
}
