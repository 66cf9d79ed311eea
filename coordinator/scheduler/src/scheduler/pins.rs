//! Which weights a job is rendered with. Deliberately decided before anything is rendered, by what most workers have:
//! else one machine with the wrong files that finishes first would get all the good ones refused.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use wanfarm_types::{Digest, JobId, Role, WorkerId};

use super::Scheduler;
use super::workers::Death;
use crate::job::ModelId;
use crate::placement::PoolId;
use crate::worker::Session;
use crate::{Action, Change, JobState, Refusal};

impl Scheduler {
    /// Pins the weights of unfinished jobs in those roles that nobody served before this worker came.
    pub(super) fn pin_for(&mut self, comes: WorkerId) {
        let Some(worker) = self.workers.get(&comes) else { return };
        let unfinished = self.jobs.iter().filter(|(_, job)| {
            let mut roles = worker.serves.keys().filter(|pool| pool.model == job.model).map(|pool| pool.role);
            job.state != JobState::Finished && roles.any(|role| !job.pins.contains_key(&role))
        });
        for id in unfinished.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.pin_job(id);
        }
    }

    /// Pins the weights of a job: in each role those that the most workers have; of as many, the lowest digest.
    pub(super) fn pin_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let mut votes: BTreeMap<Role, BTreeMap<Digest, u32>> = BTreeMap::new();
        for worker in self.workers.values().filter(|worker| worker.session != Session::Gone) {
            let serves = worker.serves.iter().filter(|(pool, _)| pool.model == job.model);
            for (pool, weights) in serves.filter(|(pool, _)| !job.pins.contains_key(&pool.role)) {
                *votes.entry(pool.role).or_default().entry(*weights).or_default() += 1;
            }
        }
        for (role, votes) in votes {
            let most = votes.into_iter().max_by_key(|&(weights, count)| (count, Reverse(weights)));
            if let Some((weights, _)) = most {
                self.pin_to(id, role, weights);
            }
        }
    }

    /// Notes that a result of a job was made with the weights of a worker.
    pub(super) fn pin(&mut self, id: JobId, role: Role, worker: WorkerId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let pool = PoolId { model: job.model, role };
        job.made.insert(role);
        if job.pins.contains_key(&role) {
            return;
        }
        let weights = self.workers.get(&worker).and_then(|worker| worker.serves.get(&pool)).copied();
        if let Some(weights) = weights {
            self.pin_to(id, role, weights);
        }
    }

    /// A pin that nothing was made with, and that nobody can serve any more, gives way to what a worker brings: files
    /// may be replaced while a job waits.
    pub(super) fn forget_idle_pins(&mut self, comes: WorkerId) {
        let Some(serves) = self.workers.get(&comes).map(|worker| worker.serves.clone()) else { return };
        let present = |pool: PoolId, pin: Digest| {
            let others = self.workers.iter().filter(|(id, worker)| **id != comes && worker.session != Session::Gone);
            others.into_iter().any(|(_, worker)| worker.serves.get(&pool) == Some(&pin))
        };
        let mut idle = Vec::new();
        for (&id, job) in self.jobs.iter().filter(|(_, job)| job.state != JobState::Finished) {
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
        }
    }

    /// Pins, and turns others away.
    fn pin_to(&mut self, id: JobId, role: Role, weights: Digest) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let pool = PoolId { model: job.model, role };
        job.pins.insert(role, weights);
        self.record(Change::WeightsPinned { job: id, role, weights: Some(weights) });
        let other: Vec<(WorkerId, Digest)> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.session != Session::Gone)
            .filter_map(|(&other, worker)| {
                Some((other, *worker.serves.get(&pool).filter(|theirs| **theirs != weights)?))
            })
            .collect();
        for (other, got) in other {
            let refusal = self.other_weights(id, pool.model, role, weights, got);
            self.refuse(other, refusal);
        }
    }

    /// Why a worker must not work along, if so.
    pub(super) fn refusal(&self, id: WorkerId) -> Option<Refusal> {
        let worker = self.workers.get(&id)?;
        let unfinished = self.jobs.iter().filter(|(_, job)| job.state != JobState::Finished);
        let mut pins = unfinished.flat_map(|(&id, job)| job.pins.iter().map(move |(&role, pin)| (id, job, role, *pin)));
        pins.find_map(|(id, job, role, expected)| {
            let got = *worker.serves.get(&PoolId { model: job.model, role })?;
            (got != expected).then(|| self.other_weights(id, job.model, role, expected, got))
        })
    }

    fn other_weights(&self, job: JobId, model: ModelId, role: Role, expected: Digest, got: Digest) -> Refusal {
        Refusal::OtherWeights { job, model: self.models.name(model).to_owned(), role, expected, got }
    }

    pub(super) fn refuse(&mut self, id: WorkerId, refusal: Refusal) {
        self.bury(id, Death::Clean);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.refused = Some(refusal.to_string());
        }
        if let Some(incarnation) = self.workers.get(&id).map(|worker| worker.incarnation) {
            self.act(Action::RefuseWorker { worker: id, incarnation, refusal });
        }
    }
}
