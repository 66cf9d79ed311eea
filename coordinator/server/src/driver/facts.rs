//! Answers about jobs and workers, from the registry and the scheduler. Deliberately without decisions.

use std::collections::{BTreeMap, BTreeSet};

use wanfarm_scheduler::{Session, WorkerView};
use wanfarm_types::{
    Digest, JobId, JobReport, JobState, JobSummary, ModelRole, Pace, Role, RunningItem, Stage, VideoId, WorkerId,
    WorkerStatus, bottleneck,
};

use super::Driver;
use crate::estimate::{Workforce, Workload};
use crate::presence::Presence;
use crate::requests::{Farm, Figures, Remaining, Report, RequestError, ServedRole};
use crate::times::rfc3339;

impl Driver {
    /// Every worker's line.
    pub(super) fn worker_lines(&self) -> Vec<WorkerStatus> {
        let connected: BTreeSet<WorkerId> = self.sessions.connected().collect();
        self.scheduler.worker_ids().filter_map(|id| self.worker_line(id, connected.contains(&id))).collect()
    }

    /// Figures of the moment.
    pub(super) fn figures(&self) -> Figures {
        let mut busy = BTreeMap::new();
        for worker in self.sessions.known() {
            if let Some(presence) = self.sessions.presence(worker) {
                // Two may have one name.
                *busy.entry(self.sessions.name(worker).to_owned()).or_default() += presence.busy_seconds();
            }
        }
        Figures { queue: Stage::ALL.map(|stage| (stage, self.scheduler.ready(stage))).to_vec(), busy }
    }

    fn worker_line(&self, worker: WorkerId, connected: bool) -> Option<WorkerStatus> {
        let view = self.scheduler.view_worker(worker)?;
        let roles: BTreeSet<Role> = view.serves.iter().map(|(_, role)| *role).collect();
        let models: BTreeSet<&String> = view.serves.iter().map(|(model, _)| model).collect();
        let (address, reachable) = self.sessions.address(worker);
        let presence = self.sessions.presence(worker);
        let told = |text: &str| some(text.to_owned());
        let pace = |(model, stage, size, seconds): (_, _, wanfarm_scheduler::SizeClass, _)| Pace {
            model,
            stage: Some(stage),
            tokens: size.0,
            seconds,
        };
        Some(WorkerStatus {
            id: worker,
            address: some(address),
            reachable: reachable.filter(|_| connected),
            roles: roles.into_iter().collect(),
            models: models.into_iter().cloned().collect(),
            device: self.sessions.device(worker).to_owned(),
            memory_bytes: Some(self.sessions.memory_bytes(worker)).filter(|bytes| *bytes > 0),
            weights: self.sessions.weights(worker).to_vec(),
            state: state(&view, connected).to_owned(),
            running: view.running.and_then(|(_, video, stage, reached)| self.running_item(video, stage, reached)),
            paces: view.pace.into_iter().map(pace).collect(),
            memory: view.memory,
            assigned: view.assigned.map(|roles| roles.into_iter().collect()),
            detail: some(self.detail(worker, view.set_aside, &view.refused, &view.unloadable)),
            name: view.name,
            version: told(self.sessions.build(worker)),
            host: told(self.sessions.host(worker)),
            since: presence.and_then(|presence| rfc3339(presence.since().at)),
            last_seen: presence.and_then(|presence| rfc3339(presence.seen().at)),
            busy: presence.and_then(Presence::share),
            note: self.registry.notes.get(&worker).cloned(),
        })
    }

    /// The detail line of a worker.
    fn detail(
        &self,
        worker: WorkerId,
        set_aside: Option<String>,
        refused: &[(String, Role, String)],
        unloadable: &[ModelRole],
    ) -> String {
        let refused = refused.iter().map(|(_, role, why)| format!("no {role} work: {why}"));
        let unloadable = unloadable.iter().map(|role| format!("could not load {role}, which is tried again"));
        let passed_over = self.sessions.passed_over(worker).iter().cloned();
        set_aside
            .into_iter()
            .chain(refused)
            .chain(unloadable)
            .chain(passed_over)
            .chain(self.sessions.hidden(worker))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn running_item(&self, video: VideoId, stage: Stage, steps_done: u32) -> Option<RunningItem> {
        let video = self.registry.jobs.in_manifest(video)?;
        let line = self.registry.jobs.get(video.job)?.videos().get(video.index as usize)?;
        let steps_done = steps_done.max(line.steps_done);
        Some(RunningItem { video, stage: Some(stage), steps_done, steps: line.steps })
    }

    /// A model, and the workers that could be given work for it now.
    pub(super) fn farm(&self, model: &str, images: &[Digest]) -> Farm {
        let info = self.registry.catalog.get(model).map(|known| known.info.clone());
        let mut force = Workforce::new(info.clone());
        let needed = info.as_ref().map(|info| info.roles()).unwrap_or_default();
        let mut served: Vec<ServedRole> = needed.iter().map(|role| ServedRole::new(*role)).collect();
        for worker in self.available() {
            let roles = self.scheduler.roles(worker, model);
            if roles.is_empty() {
                continue;
            }
            for served in served.iter_mut().filter(|served| roles.contains(&served.role)) {
                let load = self.scheduler.load_time(worker, model, served.role);
                let (memory, seconds) = (self.sessions.memory_bytes(worker), load as f64 / 1000.0);
                served.workers += 1;
                served.holders += u32::from(load == 0);
                served.least_memory = Some(served.least_memory.map_or(memory, |least| least.min(memory)));
                if load > 0 {
                    served.load_seconds = Some(served.load_seconds.map_or(seconds, |least| least.min(seconds)));
                }
            }
            let paces = self.scheduler.view_worker(worker).map(|view| view.pace).unwrap_or_default();
            let paces = paces.into_iter().filter(|(of, ..)| of == model);
            force.add(
                roles,
                self.sessions.device(worker),
                paces.map(|(_, stage, size, seconds)| (stage, size, seconds)),
            );
        }
        let rooms = self.scheduler.rooms(model);
        let images = images.iter().filter_map(|digest| Some((*digest, *self.registry.images.get(digest)?))).collect();
        let waiting_for = self.missing(model, &needed);
        Farm { info, force, roles: served, rooms, images, waiting_for }
    }

    /// The remaining work of a job, with that of jobs before or beside it.
    pub(super) fn remaining(&self, job: JobId) -> Result<Remaining, RequestError> {
        let asked = self.registry.jobs.get(job).ok_or(RequestError::NoSuchJob(job))?;
        let videos = asked.summary().videos;
        let (model, priority) = (&asked.submission.model, asked.priority());
        let mut work = Workload::default();
        for other in self.registry.jobs.summaries() {
            let competes = other.state == JobState::Active && other.model == *model && other.priority >= priority;
            if other.job == job || competes {
                self.add_remaining(other.job, &mut work);
            }
        }
        Ok(Remaining { farm: self.farm(model, &[]), work, videos })
    }

    fn add_remaining(&self, job: JobId, work: &mut Workload) {
        work.add_job(self.scheduler.remaining(job));
    }

    /// The missing workers for these roles of a model.
    pub(super) fn missing(&self, model: &str, needed: &[Role]) -> String {
        if self.registry.catalog.get(model).is_none() {
            return format!("a worker that serves model {model}");
        }
        let roles = self.unserved(model, needed);
        if roles.is_empty() {
            return String::new();
        }
        let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
        let mut words = format!("a {} worker for model {model}", names.join(" and a "));
        let connected: BTreeSet<WorkerId> = self.sessions.connected().collect();
        let barred = self.sessions.known().filter_map(|worker| {
            let served = roles_for(self.sessions.served(worker), model);
            let mut missed = served.iter().filter(|role| roles.contains(role));
            let first = missed.next()?;
            let passed_over =
                || self.scheduler.passed_over(worker, model, *first).filter(|_| connected.contains(&worker));
            let why = self.scheduler.barred(worker).or_else(passed_over)?;
            let left = if connected.contains(&worker) { "" } else { ", and has left" };
            Some(format!("{} is {why}{left}", self.sessions.name(worker)))
        });
        let barred: Vec<String> = barred.collect();
        if !barred.is_empty() {
            words += &format!(" ({})", barred.join(", "));
        }
        words
    }

    pub(super) fn unserved(&self, model: &str, needed: &[Role]) -> Vec<Role> {
        let served: BTreeSet<Role> = self.available().flat_map(|worker| self.scheduler.roles(worker, model)).collect();
        needed.iter().copied().filter(|role| !served.contains(role)).collect()
    }

    /// True when another worker with an open connection serves a model.
    pub(super) fn serves(&self, model: &str, except: WorkerId) -> bool {
        let others = self.sessions.connected().filter(|worker| *worker != except);
        others.flat_map(|worker| self.sessions.served(worker)).any(|(name, _)| name == model)
    }

    /// Workers that can be given work.
    fn available(&self) -> impl Iterator<Item = WorkerId> {
        self.sessions.connected().filter(|worker| self.scheduler.barred(*worker).is_none())
    }

    /// A job's line.
    pub(super) fn job_line(&mut self, id: JobId) -> Option<JobSummary> {
        let waiting_for = some(self.waiting_for(id));
        Some(JobSummary { waiting_for, ..self.registry.jobs.get(id)?.summary() })
    }

    /// The report of a job.
    pub(super) fn job_report(&mut self, id: JobId) -> Result<Report, RequestError> {
        let waiting_for = some(self.waiting_for(id));
        let job = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        let (now, totals) = match job.ended() {
            Some(end) => (end.at.elapsed, end.totals.clone()),
            None => (self.seconds(), self.registry.ledger.totals(id, self.worker_lines())),
        };
        let render_seconds = totals.begun.map(|begun| now - begun).filter(|seconds| *seconds > 0.0);
        let [stages, roles, workers] = totals.lines(render_seconds);
        let (place, files) = (job.report.clone(), self.files_of(job, None));
        let report = JobReport {
            job: JobSummary { waiting_for, ..job.summary_in_report() },
            output_dir: files.root.display().to_string(),
            wall_seconds: (now - job.submitted().elapsed).max(0.0),
            render_seconds,
            bottleneck: bottleneck(&roles),
            stages,
            roles,
            workers,
            videos: job.videos().to_vec(),
            machines: totals.machines,
            lost: Vec::new(),
            forecast: job.forecast().cloned(),
        };
        Ok(Report { report, place, files })
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn roles_for(served: &[(String, Role)], model: &str) -> BTreeSet<Role> {
    served.iter().filter(|(of, _)| of == model).map(|(_, role)| *role).collect()
}

pub(super) fn state(view: &WorkerView, connected: bool) -> &'static str {
    match (view.session, connected) {
        (Session::Gone, _) if view.draining => "left (drained)",
        (Session::Gone, _) if !view.refused.is_empty() && view.refused.len() == view.serves.len() => "refused",
        (Session::Gone, _) => "gone",
        (Session::Lost, _) | (_, false) => "lost",
        _ if view.set_aside.is_some() => "set aside",
        _ if view.draining && (view.running.is_some() || view.leaves) => "draining",
        _ if view.draining => "drained",
        _ if view.running.is_some() => "busy",
        _ => "idle",
    }
}
