//! What nobody needs any more goes by itself: jobs that ended long ago, files that no job names, workers and models that
//! no row names. Deliberately not what people ask to be forgotten (`requests`).

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use wanfarm_scheduler::{Input, JobPhase, Session};
use wanfarm_types::{JobId, WorkerId};

use super::Driver;
use crate::store::Row;

/// How often is looked, and how soon after the start.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// To within so many seconds is recorded when a worker was last there.
pub(super) const DAY: f64 = 86_400.0;

/// How long things are kept, and when is looked again.
#[derive(Debug)]
pub(super) struct Upkeep {
    retention: Option<Duration>,
    /// When the driver has to look.
    pub(super) next: Instant,
}

impl Upkeep {
    pub(super) fn new(retention: Option<Duration>) -> Self {
        Self { retention, next: Instant::now() + period(retention) }
    }
}

fn period(retention: Option<Duration>) -> Duration {
    retention.map_or(UPKEEP_INTERVAL, |retention| retention.clamp(Duration::from_secs(1), UPKEEP_INTERVAL))
}

impl Driver {
    /// Looks for what can go, if it is time to. One job a turn: a large one takes a while, and nobody is to wait long.
    pub(super) fn keep_up(&mut self) {
        if self.upkeep.next > Instant::now() {
            return;
        }
        self.upkeep.next = Instant::now() + period(self.upkeep.retention);
        if self.obstacles.of_store().is_some() {
            return;
        }
        let oldest = self.upkeep.retention.map(|retention| self.seconds() - retention.as_secs_f64());
        if let Some(job) = oldest.and_then(|oldest| self.ended_before(oldest)) {
            tracing::info!(%job, "a job that ended long ago is forgotten");
            self.forget_job(job);
            self.upkeep.next = Instant::now();
            return;
        }
        self.drop_uploads();
        self.note_present();
        if let Some(oldest) = oldest {
            self.drop_workers(oldest);
            self.drop_models();
        }
    }

    fn ended_before(&self, oldest: f64) -> Option<JobId> {
        let mut told = self.registry.jobs.iter().filter(|job| job.phase() == Some(JobPhase::Finished) && job.is_told());
        told.find(|job| job.ended().is_some_and(|end| end.at.elapsed < oldest)).map(|job| job.id)
    }

    /// Records which workers are there.
    fn note_present(&mut self) {
        let now = self.seconds();
        let present: Vec<_> =
            self.sessions.connected().filter_map(|id| Some((id, self.registry.ledger.worker(id)?))).collect();
        let old = present.into_iter().filter(|(_, known)| (known.seen - now).abs() > DAY);
        let rows = old.map(|(worker, known)| Row::Worker {
            worker,
            name: known.name.clone(),
            device: known.device.clone(),
            seen: now,
        });
        rows.collect::<Vec<_>>().into_iter().for_each(|row| self.put(row));
    }

    /// Forgets workers that have long been away, of which people have said nothing, and are named by no job.
    fn drop_workers(&mut self, oldest: f64) {
        let named = self.registry.ledger.named();
        let away = self.registry.ledger.workers().filter(|(id, known)| known.seen < oldest && !named.contains(id));
        let away: Vec<WorkerId> = away.map(|(id, _)| id).collect();
        for worker in away {
            let noted = self.registry.notes.contains_key(&worker);
            let stays = noted
                || self.scheduler.view_worker(worker).is_some_and(|view| {
                    view.session != Session::Gone
                        || view.draining
                        || view.assigned.is_some()
                        || view.set_aside.is_some()
                });
            if !stays {
                tracing::info!(%worker, name = %self.sessions.name(worker), "a worker that has long been away is forgotten");
                self.forget_worker(worker);
            }
        }
    }

    /// Forgets a worker that is gone. Its name stays as long as a job's attempts tell of it.
    pub(super) fn forget_worker(&mut self, worker: WorkerId) {
        self.feed(Input::ForgetWorker(worker));
        self.sessions.remove(worker);
        if self.registry.notes.contains_key(&worker) {
            self.put(Row::WorkerNote { worker, note: None });
        }
        if !self.registry.ledger.named().contains(&worker) {
            self.put(Row::WorkerForgotten(worker));
        }
    }

    /// Forgets models that no job names and nobody serves.
    fn drop_models(&mut self) {
        let jobs = self.registry.jobs.iter().map(|job| job.submission.model.as_str());
        let served =
            self.sessions.known().flat_map(|worker| self.sessions.served(worker)).map(|(model, _)| model.as_str());
        let spoken_of: BTreeSet<&str> = jobs.chain(served).collect();
        let unknown = self.registry.catalog.names().filter(|name| !spoken_of.contains(name));
        for model in unknown.map(str::to_owned).collect::<Vec<_>>() {
            self.put(Row::ModelForgotten(model));
        }
    }
}
