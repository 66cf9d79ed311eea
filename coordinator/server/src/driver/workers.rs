//! What workers say: that they are there, what they have computed, that they leave.

use wanfarm_sampling::forms;
use wanfarm_scheduler::Input;
use wanfarm_types::{
    AttemptId, CoordinatorMessage, EventKind, Failure, Incarnation, ItemOutputs, Report, WorkerId, WorkerMessage,
};

use super::registry::Registry;
use super::{Driver, upkeep};
use crate::event::Attached;
use crate::ledger::KnownWorker;
use crate::outbox::Outbox;
use crate::sessions::Session;
use crate::store::Row;
use crate::times::{Moment, rfc3339_in, wall_clock};

impl Driver {
    pub(super) fn on_attached(&mut self, mut attached: Attached) {
        let hello = &mut attached.hello;
        if let Some(twin) = self.sessions.twin(hello.worker, hello.incarnation) {
            let reason = format!("{twin} lives and has the same worker id, from a copy of the data folder");
            return refuse(&attached.outbox, reason, true);
        }
        let (mut news, mut passed_over) = (Vec::new(), Vec::new());
        for served in std::mem::take(&mut hello.models) {
            let model = &served.info.name;
            let in_use = self.registry.jobs.render_with(model) || self.serves(model, hello.worker);
            match self.registry.catalog.news(&served, in_use) {
                Ok(rows) => {
                    news.extend(rows);
                    hello.models.push(served);
                }
                Err(reason) => passed_over.push(reason),
            }
        }
        // It goes on with its other models, if it has any.
        if hello.models.is_empty() && !passed_over.is_empty() {
            return refuse(&attached.outbox, passed_over.join("; "), false);
        }
        for reason in &passed_over {
            tracing::warn!(worker = %hello.name, %reason, "a model is passed over");
        }
        let (worker, name, device, seen) = (hello.worker, hello.name.clone(), hello.device.clone(), self.seconds());
        let is_new = |known: &KnownWorker| {
            (&known.name, &known.device) != (&name, &device) || (known.seen - seen).abs() > upkeep::DAY
        };
        if self.registry.ledger.worker(worker).is_none_or(is_new) {
            news.push(Row::Worker { worker, name, device, seen });
        }
        news.into_iter().for_each(|row| self.put(row));
        for served in &attached.hello.models {
            for job in self.registry.jobs.waiting_for(&served.info.name) {
                self.plan(job);
            }
        }
        let (hello, session) = Session::open(attached, passed_over);
        self.sessions.insert(hello.worker, session, self.moment());
        self.note_worker(EventKind::WorkerJoined, hello.worker, None);
        self.sessions.welcome(hello.worker);
        if let Some(suspect) = self.sessions.suspect(hello.worker) {
            self.dialler.watch(suspect);
        }
        self.feed(Input::WorkerJoined(hello));
    }

    pub(super) fn on_worker(&mut self, worker: WorkerId, incarnation: Incarnation, message: WorkerMessage) {
        match message {
            WorkerMessage::Heartbeat => self.feed(Input::Heartbeat { worker, incarnation }),
            // Heard where it comes in.
            WorkerMessage::Log { .. } => {}
            WorkerMessage::Goodbye { .. } => {
                tracing::info!(worker = self.sessions.name(worker), "worker left");
                self.note_worker(EventKind::WorkerLeft, worker, None);
                self.sessions.close(worker);
                self.feed(Input::WorkerGone { worker, incarnation, clean: true });
            }
            WorkerMessage::Report(attempt, report) => {
                let report = self.judged(worker, attempt, report);
                self.show(attempt, &report);
                self.feed(Input::Report { worker, incarnation, attempt, report });
            }
        }
    }

    /// A report, or the failure of the worker that makes it, if it tells of what its item cannot have made: whoever is given
    /// that next would fail in its place.
    fn judged(&self, worker: WorkerId, attempt: AttemptId, report: Report) -> Report {
        let Registry { jobs, ledger, catalog, .. } = &self.registry;
        let made = match &report {
            Report::ItemDone { outputs, .. } => outputs.clone(),
            Report::StepDone { checkpoint, .. } => ItemOutputs::Checkpoint(checkpoint.clone()),
            _ => return report,
        };
        let known = ledger.open(attempt).filter(|_| ledger.worker_of(attempt) == Some(worker));
        let Some(spec) = known.and_then(|(video, _)| jobs.spec(video)) else { return report };
        let Some(model) = catalog.get(&spec.model) else { return report };
        // An item that was stopped before its first step hands its state back, or none.
        let is_empty = matches!(&made, ItemOutputs::Checkpoint(state) if state.tensors.is_empty());
        match forms::check_outputs(spec, &model.info, &made) {
            Err(misfit) if !is_empty => {
                let stage = ledger.stage_of(attempt).map_or_else(String::new, |stage| format!("{stage}: "));
                let name = self.sessions.name(worker);
                Report::Failed(Failure::transient(format!("{stage}what {name} made of it is not that: {misfit}")))
            }
            _ => report,
        }
    }

    /// Keeps what people see up to date with a report.
    fn show(&mut self, attempt: AttemptId, report: &Report) {
        let now = self.seconds();
        let Registry { jobs, ledger, .. } = &mut self.registry;
        let Some((video, _)) = ledger.open(attempt) else { return };
        let stage = ledger.stage_of(attempt);
        let computes = matches!(report, Report::Started | Report::Loading(_) | Report::StepDone { .. });
        // Said with every step, as a coordinator that has started again has not heard of the beginning.
        if let Some(presence) =
            ledger.worker_of(attempt).filter(|_| computes).and_then(|id| self.sessions.presence_mut(id))
        {
            presence.computes(attempt);
        }
        match report {
            Report::Started => {
                if let Some(waited) = ledger.begins(attempt, now) {
                    let at = Moment { at: wall_clock(), elapsed: now };
                    let first = jobs
                        .in_manifest(video)
                        .filter(|video| jobs.get(video.job).is_some_and(|job| job.started(video.index).is_none()));
                    self.put(Row::Begun { attempt, at, waited });
                    if let Some(video) = first {
                        self.put(Row::VideoTimes { video, started: Some(at.at), ended: None });
                    }
                }
            }
            Report::Loading(progress) => {
                let Some(video) = jobs.in_manifest(video) else { return };
                jobs.update(video, |status| status.loading = Some(*progress).filter(|load| !load.is_done()));
            }
            Report::StepDone { checkpoint, seconds } => {
                let Some(video) = jobs.in_manifest(video) else { return };
                if let Some((stage, job)) = stage.zip(jobs.get(video.job)) {
                    self.meters.stepped(stage, &job.submission.model, *seconds);
                }
                jobs.update(video, |status| {
                    status.loading = None;
                    status.steps_done = checkpoint.steps_done;
                    status.seconds_per_step = Some(*seconds).filter(|seconds| *seconds > 0.0);
                    let left = f64::from(status.steps.saturating_sub(status.steps_done));
                    status.eta = status.seconds_per_step.and_then(|seconds| rfc3339_in(left * seconds));
                });
            }
            _ => {}
        }
    }
}

fn refuse(outbox: &Outbox, reason: String, take_new_identity: bool) {
    tracing::warn!(%reason, "worker refused");
    // A full or closed outbox means that the worker is gone or will be when it is dropped.
    let _ = outbox.try_send(CoordinatorMessage::Refused { reason, take_new_identity });
}
