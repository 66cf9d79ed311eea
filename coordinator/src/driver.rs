//! The only loop: every event of the process comes here, one after another, and every action leaves from here.
//!
//! It owns the scheduler and the books; it decides nothing itself. Deliberately not here: sockets, files and
//! computations, which run in tasks that answer with events.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wanfarm_proto::v1::{self, coordinator_message::Body};
use wanfarm_scheduler::{Action, ArtifactId, Assignment, Change, Input, Scheduler, Target};
use wanfarm_types::{AttemptId, Digest, Failure, FailureKind, Incarnation, JobId, Stage, TensorRef, VideoId, WorkerId};

use crate::catalog::{Catalog, Model};
use crate::copies::Copies;
use crate::dispatch::{self, Attached, RawReport, WorkerEvent};
use crate::jobs::{JobPhase, Jobs, VideoPhase};
use crate::ledger::Ledger;
use crate::outputs::{Finished, Outputs, Task};
use crate::plan;
use crate::requests::{Changes, JobVerb, Request, RequestError};
use crate::sessions::{Session, Sessions};

/// Everything that can happen to a coordinator.
#[derive(Debug)]
pub enum Event {
    /// A worker said hello on a new connection.
    Attached(Box<Attached>),
    /// A worker said something.
    Worker {
        /// On which connection.
        connection: u64,
        /// Who.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
        /// What.
        event: WorkerEvent,
    },
    /// A worker's connection ended.
    Detached {
        /// Which connection.
        connection: u64,
        /// Who.
        worker: WorkerId,
        /// Which boot of it.
        incarnation: Incarnation,
    },
    /// A person or a pipeline wants something.
    Request(Request),
    /// A durable copy was made, or not.
    Copied {
        /// Which.
        artifact: ArtifactId,
        /// Why not.
        result: Result<(), String>,
    },
    /// The files of a video were written, or not.
    Written {
        /// Which video, by its place in the plan.
        video: VideoId,
        /// What was written, or why not.
        result: Result<Box<Finished>, Failure>,
    },
    /// The report of a job that has ended is in its place.
    Reported(JobId),
    /// Leave the loop.
    Stop,
}

/// What the driver works with.
pub struct Driver {
    scheduler: Scheduler,
    jobs: Jobs,
    catalog: Catalog,
    ledger: Ledger,
    sessions: Sessions,
    copies: Copies,
    outputs: Outputs,
    attempts: BTreeMap<AttemptId, Running>,
    events: mpsc::Receiver<Event>,
    started: Instant,
}

/// What an attempt that is out with a worker does.
struct Running {
    video: VideoId,
    stage: Stage,
    worker: WorkerId,
}

impl Driver {
    /// A driver with empty books. `events` is the receiving end of what all tasks send.
    pub fn new(
        scheduler: Scheduler,
        copies: Copies,
        outputs: Outputs,
        sessions: Sessions,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        Self {
            scheduler,
            jobs: Jobs::default(),
            catalog: Catalog::default(),
            ledger: Ledger::default(),
            sessions,
            copies,
            outputs,
            attempts: BTreeMap::new(),
            events,
            started: Instant::now(),
        }
    }

    /// Runs until [`Event::Stop`], or until nobody can send events any more.
    pub async fn run(mut self) {
        loop {
            let timeout = self.scheduler.poll_timeout().map(|at| self.started + Duration::from_millis(at.0));
            tokio::select! {
                event = self.events.recv() => match event {
                    None | Some(Event::Stop) => return,
                    Some(event) => self.on_event(event),
                },
                () = until(timeout) => {
                    let now = self.now();
                    self.scheduler.handle_timeout(now);
                }
            }
            self.carry_out();
        }
    }

    fn now(&self) -> wanfarm_scheduler::Instant {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        wanfarm_scheduler::Instant(elapsed)
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn feed(&mut self, input: Input) {
        let now = self.now();
        self.scheduler.handle(now, input);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Attached(attached) => self.on_attached(*attached),
            Event::Worker { connection, worker, incarnation, event } => {
                // What an older connection still delivers, its successor has said again.
                if self.sessions.is_current(worker, connection) {
                    self.on_worker(worker, incarnation, event);
                }
            }
            Event::Detached { connection, worker, incarnation } => {
                if self.sessions.is_current(worker, connection) {
                    self.sessions.close(worker);
                    self.feed(Input::WorkerLost { worker, incarnation });
                }
            }
            Event::Request(request) => self.on_request(request),
            Event::Copied { artifact, result: Ok(()) } => self.feed(Input::Durable(artifact)),
            Event::Copied { artifact, result: Err(error) } => {
                tracing::warn!(?artifact, %error, "a durable copy could not be made");
                self.feed(Input::CopyFailed(artifact));
            }
            Event::Written { video, result: Ok(finished) } => {
                if let Some(video) = self.jobs.in_manifest(video) {
                    self.jobs.update(video, |status| {
                        status.phase = VideoPhase::Done;
                        status.stage = None;
                        status.files = finished.files;
                        status.verdict = finished.verdict;
                        status.seconds = finished.seconds;
                    });
                }
                self.feed(Input::OutputsWritten(video));
            }
            Event::Written { video, result: Err(failure) } => {
                tracing::warn!(%video, %failure, "the files of a video could not be written");
                self.feed(Input::OutputsFailed { video, failure });
            }
            Event::Reported(job) => self.jobs.set_phase(job, JobPhase::Finished),
            Event::Stop => {}
        }
    }

    fn on_attached(&mut self, attached: Attached) {
        for announcement in &attached.models {
            match self.catalog.announce(announcement) {
                Ok(false) => {}
                Ok(true) => self.plan_waiting(&announcement.card.name),
                Err(reason) => return refuse(&attached.outbox, reason),
            }
        }
        let (hello, session) = Session::open(attached);
        self.sessions.insert(hello.worker, session);
        self.sessions.welcome(hello.worker);
        self.feed(Input::WorkerJoined(hello));
    }

    /// Jobs for a model that has just become known.
    fn plan_waiting(&mut self, model: &str) {
        for job in self.jobs.waiting_for(model) {
            self.plan(job);
        }
    }

    fn plan(&mut self, job: JobId) {
        let Some(model) = self.jobs.get(job).and_then(|job| self.catalog.get(&job.submission.model)) else { return };
        match self.jobs.resolve(job, &model.card) {
            Some(plan) => {
                let now = self.seconds();
                for index in (0u32..).take(plan.videos.len()) {
                    self.ledger.video_added(VideoId { job, index }, now);
                }
                self.feed(Input::JobAdded(plan));
            }
            None => self.outputs.report(self.jobs.get(job)),
        }
    }

    fn on_worker(&mut self, worker: WorkerId, incarnation: Incarnation, event: WorkerEvent) {
        match event {
            WorkerEvent::Heartbeat => self.feed(Input::Heartbeat { worker, incarnation }),
            WorkerEvent::Goodbye => {
                self.sessions.close(worker);
                self.feed(Input::WorkerGone { worker, incarnation, clean: true });
            }
            WorkerEvent::Report(attempt, raw) => {
                let Some(report) = self.read_report(attempt, raw) else { return };
                self.show(attempt, &report);
                self.feed(Input::Report { worker, incarnation, attempt, report });
            }
        }
    }

    fn read_report(&self, attempt: AttemptId, raw: RawReport) -> Option<wanfarm_scheduler::Report> {
        let done = match raw {
            RawReport::Report(report) => return Some(report),
            RawReport::Done(done) => done,
        };
        // An attempt unknown here has ended for the scheduler too; any final report makes it answer with Drop.
        let Some(running) = self.attempts.get(&attempt) else {
            return Some(wanfarm_scheduler::Report::Failed(Failure::transient("the attempt has ended")));
        };
        Some(dispatch::outputs(running.stage, done).unwrap_or_else(|error| {
            wanfarm_scheduler::Report::Failed(Failure::transient(format!("the worker's result is unusable: {error}")))
        }))
    }

    /// Keeps what people see up to date with a report.
    fn show(&mut self, attempt: AttemptId, report: &wanfarm_scheduler::Report) {
        let now = self.seconds();
        let Some(running) = self.attempts.get(&attempt) else { return };
        let Some(video) = self.jobs.in_manifest(running.video) else { return };
        match report {
            wanfarm_scheduler::Report::Started => self.ledger.started(attempt, now),
            wanfarm_scheduler::Report::StepDone { checkpoint, seconds } => self.jobs.update(video, |status| {
                status.steps_done = checkpoint.steps_done;
                status.seconds_per_step = *seconds;
            }),
            _ => {}
        }
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Commit(changes) => self.record(&changes),
                Action::Assign(assignment) => self.assign(*assignment),
                Action::Revoke { worker, incarnation, attempt } => {
                    self.tell(worker, incarnation, Body::Revoke(v1::Revoke { attempt: attempt.0 }));
                }
                Action::StopAfterStep { worker, incarnation, attempt } => {
                    self.tell(worker, incarnation, Body::StopAfterStep(v1::StopAfterStep { attempt: attempt.0 }));
                }
                Action::Ack { worker, incarnation, attempt } => {
                    self.tell(worker, incarnation, Body::Acknowledge(v1::Acknowledge { attempt: attempt.0 }));
                }
                Action::Drop { worker, incarnation, attempt } => {
                    self.tell(worker, incarnation, Body::Drop(v1::Drop { attempt: attempt.0 }));
                }
                Action::RefuseWorker { worker, incarnation, refusal } => {
                    let reason = refusal.to_string();
                    tracing::warn!(%worker, %reason, "worker refused");
                    self.tell(worker, incarnation, Body::Refused(v1::Refused { reason }));
                    self.sessions.close(worker);
                }
                Action::Disconnect { worker, incarnation } => {
                    if self.sessions.incarnation(worker) == Some(incarnation) {
                        tracing::warn!(worker = %self.sessions.name(worker), "worker silent for too long");
                        self.sessions.close(worker);
                    }
                }
                Action::SetAside { worker, reason } => {
                    tracing::warn!(worker = %self.sessions.name(worker), %reason, "worker set aside");
                    self.sessions.set_aside(worker, reason);
                }
                Action::MakeDurable { artifact, tensors, holder } => {
                    self.copies.start(artifact, tensors, self.sessions.tensor_url(holder));
                }
                Action::DeleteDurable(artifact) => self.copies.forget(artifact),
                Action::WriteOutputs { video, frames, holder, checkpoint } => {
                    self.write_outputs(video, frames, holder, checkpoint.tensors.first().map(|latents| latents.digest));
                }
                Action::RefuseJob { job, error } => {
                    // Plans are made here from checked specs; a refusal is a fault of this program.
                    tracing::error!(%job, %error, "the scheduler refused a job");
                    self.outputs.report(self.jobs.get(job));
                }
                Action::VideoFailed { video, failure } => {
                    tracing::warn!(%video, %failure, "video failed");
                    if let Some(video) = self.jobs.in_manifest(video) {
                        self.jobs.update(video, |status| {
                            status.phase = VideoPhase::Failed;
                            status.error = failure.message;
                        });
                    }
                }
                // Shown as finished when the report is there, so that whoever waits for the end finds it.
                Action::JobFinished(job) => self.outputs.report(self.jobs.get(job)),
            }
        }
    }

    fn record(&mut self, changes: &[Change]) {
        let now = self.seconds();
        for change in changes {
            self.ledger.record(change, now, |worker| {
                (self.sessions.name(worker).to_owned(), self.sessions.device(worker).to_owned())
            });
            match change {
                Change::AttemptEnded { attempt, .. } => {
                    let Some(ended) = self.attempts.remove(attempt) else { continue };
                    self.show_phase(ended.video, VideoPhase::Waiting, "");
                }
                Change::VideoState { video, state: wanfarm_scheduler::VideoState::Cancelled } => {
                    self.show_phase(*video, VideoPhase::Cancelled, "");
                }
                Change::JobState { job, state } => {
                    let phase = match state {
                        wanfarm_scheduler::JobState::Active => JobPhase::Active,
                        wanfarm_scheduler::JobState::Paused => JobPhase::Paused,
                        // Shown when the report is in its place.
                        wanfarm_scheduler::JobState::Finished => continue,
                    };
                    self.jobs.set_phase(*job, phase);
                }
                _ => {}
            }
        }
    }

    fn show_phase(&mut self, video: VideoId, phase: VideoPhase, worker: &str) {
        let Some(video) = self.jobs.in_manifest(video) else { return };
        self.jobs.update(video, |status| {
            status.phase = phase;
            worker.clone_into(&mut status.worker);
        });
    }

    fn assign(&mut self, assignment: Assignment) {
        let Assignment { worker, incarnation, attempt, item, text, inputs, holders, prefetch: _ } = assignment;
        self.attempts.insert(attempt, Running { video: item.video, stage: item.stage, worker });
        let Some(video) = self.jobs.in_manifest(item.video) else { return };
        let Some(job) = self.jobs.get(video.job) else { return };
        let Some(Some(spec)) = job.specs.get(video.index as usize) else { return };
        // A video that reads a text twice (prompt = negative prompt) encodes it once; either string will do.
        let is_prompt = |key| plan::text_key(&spec.model, &spec.prompt) == key;
        let text = text.map(|key| if is_prompt(key) { &spec.prompt } else { &spec.negative });
        let locate = |tensor: TensorRef| self.locate(tensor, &holders, worker);
        let assign = v1::Assign {
            attempt: attempt.0,
            item: Some(item.into()),
            spec: Some(spec.clone().into()),
            text: text.cloned().unwrap_or_default(),
            inputs: Some(v1::ItemInputs {
                text: inputs.text.into_iter().map(locate).collect(),
                image: inputs.image.into_iter().map(locate).collect(),
                checkpoint: inputs.checkpoint.map(|checkpoint| v1::Checkpoint {
                    steps_done: checkpoint.steps_done,
                    tensors: checkpoint.tensors.into_iter().map(locate).collect(),
                }),
            }),
        };
        self.tell(worker, incarnation, Body::Assign(assign));
        let name = self.sessions.name(worker).to_owned();
        self.jobs.update(video, |status| {
            status.phase = VideoPhase::Running;
            status.stage = Some(item.stage);
            status.worker = name;
        });
    }

    /// A tensor with every address it can be read from: workers first, the durable copy last.
    fn locate(&self, tensor: TensorRef, holders: &[(Digest, WorkerId)], reader: WorkerId) -> v1::TensorRef {
        let held = holders.iter().filter(|(digest, _)| *digest == tensor.digest);
        let mut locations: Vec<String> = held.map(|(_, worker)| self.sessions.tensor_url(*worker)).collect();
        if self.copies.holds(&tensor.digest) {
            locations.push(self.sessions.coordinator_url(reader));
        }
        locations.retain(|url| !url.is_empty());
        v1::TensorRef::from(tensor).with_locations(locations)
    }

    fn write_outputs(&mut self, video: VideoId, frames: TensorRef, holder: WorkerId, latents: Option<Digest>) {
        self.show_phase(video, VideoPhase::Writing, "");
        let place = self.jobs.in_manifest(video);
        let job = self.jobs.get(video.job);
        let found = place.zip(job).and_then(|(place, job)| {
            let spec = job.specs.get(place.index as usize)?.clone()?;
            Some((job, spec, job.texts.get(place.index as usize)?))
        });
        let Some(((job, spec, texts), latents)) = found.zip(latents) else {
            let failure = Failure { kind: FailureKind::Deterministic, message: "the video is not on the books".into() };
            return self.feed(Input::OutputsFailed { video, failure });
        };
        let task = Task {
            video,
            spec,
            model_files: self.catalog.get(&job.submission.model).map(Model::files).unwrap_or_default(),
            attempts: self.ledger.attempts(video, texts),
            frames,
            source: self.sessions.tensor_url(holder),
            latents,
        };
        self.outputs.write(task);
    }

    fn tell(&mut self, worker: WorkerId, incarnation: Incarnation, body: Body) {
        if self.sessions.incarnation(worker) == Some(incarnation)
            && !self.sessions.send(worker, dispatch::message(body))
        {
            tracing::warn!(worker = %self.sessions.name(worker), "worker reads too slowly; closing its connection");
            self.sessions.close(worker);
            self.feed(Input::WorkerLost { worker, incarnation });
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Submit { submission, reply } => {
                let job = self.jobs.submit(submission);
                // A client that asks again gets the job it has; only a new one is still to be planned.
                if self.jobs.is_unplanned(job) {
                    self.plan(job);
                }
                answer(reply, job);
            }
            Request::Changes { job, since, reply } => {
                let changes = self.jobs.changes(job, since).map(|(job, videos, version)| {
                    let waiting_for = self.waiting_for(&job.model, job.phase);
                    Changes { job, videos, version, waiting_for }
                });
                answer(reply, changes.ok_or(RequestError::NoSuchJob(job)));
            }
            Request::Jobs { reply } => answer(reply, self.jobs.summaries()),
            Request::Workers { reply } => {
                let busy = self.attempts.values().map(|running| running.worker).collect();
                answer(reply, self.sessions.list(&busy));
            }
            Request::ControlJob { job, video, verb, reply } => answer(reply, self.control_job(job, video, verb)),
            Request::ControlWorker { worker, enable, reply } => {
                if self.sessions.knows(worker) {
                    self.feed(if enable { Input::WorkerEnabled(worker) } else { Input::Drain(worker) });
                    self.sessions.set_draining(worker, !enable);
                    answer(reply, Ok(()));
                } else {
                    answer(reply, Err(RequestError::NoSuchWorker(worker)));
                }
            }
        }
    }

    fn control_job(&mut self, job: JobId, video: Option<u32>, verb: JobVerb) -> Result<(), RequestError> {
        if self.jobs.get(job).is_none() {
            return Err(RequestError::NoSuchJob(job));
        }
        let target = match video {
            None => Target::Job(job),
            Some(index) => {
                let video = VideoId { job, index };
                Target::Video(self.jobs.in_plan(video).ok_or(RequestError::NoSuchVideo(video))?)
            }
        };
        self.feed(match verb {
            JobVerb::Pause => Input::Pause(job),
            JobVerb::Resume => Input::Resume(job),
            JobVerb::Cancel => Input::Cancel(target),
            JobVerb::Retry => Input::Retry(target),
        });
        Ok(())
    }

    /// Why a job cannot go on, if that is so: its model or a role of it is served by nobody.
    fn waiting_for(&self, model: &str, phase: JobPhase) -> String {
        match (phase, self.catalog.get(model)) {
            (JobPhase::Finished | JobPhase::Paused, _) => String::new(),
            (_, None) => format!("a worker that serves model {model}"),
            (_, Some(known)) => {
                let served = self.sessions.roles_served(model);
                let missing: Vec<_> = known
                    .card
                    .roles()
                    .into_iter()
                    .filter(|role| !served.contains(role))
                    .map(|role| role.name())
                    .collect();
                match missing.as_slice() {
                    [] => String::new(),
                    roles => format!("a {} worker for model {model}", roles.join(" and a ")),
                }
            }
        }
    }
}

/// Sends an answer; whoever asked may have left.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

fn refuse(outbox: &dispatch::Outbox, reason: String) {
    tracing::warn!(%reason, "worker refused");
    // A full or closed outbox means that the worker is gone or will be when it is dropped.
    let _ = outbox.try_send(Ok(dispatch::message(Body::Refused(v1::Refused { reason }))));
}

async fn until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
