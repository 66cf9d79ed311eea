//! The only loop: every event of the process comes here, one after another, and every action leaves from here.
//!
//! It owns the scheduler and the books; it decides nothing itself. Deliberately not here: sockets, files and
//! computations, which run in tasks that answer with events.

mod facts;
mod requests;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use wanfarm_proto::v1::{self, coordinator_message::Body};
use wanfarm_scheduler::{Action, ArtifactId, Change, Input, Scheduler};
use wanfarm_types::{AttemptId, Failure, Incarnation, JobId, Stage, VideoId, WorkerId};

use crate::catalog::Catalog;
use crate::copies::Copies;
use crate::dispatch::{self, Attached, RawReport, WorkerEvent};
use crate::images::Images;
use crate::jobs::{JobPhase, Jobs, VideoPhase};
use crate::ledger::Ledger;
use crate::outputs::{Finished, Outputs};
use crate::requests::Request;
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
        /// Whether it was.
        made: bool,
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
    images: Images,
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
            images: Images::default(),
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
            Event::Copied { artifact, made } => {
                self.feed(if made { Input::Durable(artifact) } else { Input::CopyFailed(artifact) });
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
        match self.jobs.resolve(job, &model.card, &self.images) {
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
                Change::VideoState { video, state: wanfarm_scheduler::VideoState::Open } => {
                    self.show_phase(*video, VideoPhase::Waiting, "");
                    self.clear_error(*video);
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

    /// A video that is tried again has no error to show.
    fn clear_error(&mut self, video: VideoId) {
        let Some(video) = self.jobs.in_manifest(video) else { return };
        self.jobs.update(video, |status| status.error.clear());
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
