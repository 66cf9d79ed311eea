//! The only loop: every event of the process comes here, one after another, and every action leaves from here.
//!
//! It owns the scheduler, the registry and the store; it decides nothing itself. Each turn handles all events that have
//! arrived, writes what follows from them as one batch of rows, and only then acts. Deliberately not here: sockets,
//! files and computations, which run in tasks that answer with events.

mod access;
mod actions;
mod commit;
mod facts;
mod history;
mod names;
mod obstacles;
mod registry;
mod requests;
mod restore;
mod stall;
#[cfg(test)]
mod tests;
mod upkeep;
mod uploads;
mod waiting;
mod webhooks;
mod work;
mod workers;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use wanfarm_scheduler::{Action, ArtifactId, Change, Input, JobPhase, Scheduler, VideoPhase};
use wanfarm_types::{Digest, EventKind, JobId, JobSummary, VideoId, WorkerId};

use crate::copies::Copies;
use crate::dialler::Dialler;
use crate::event::{Copied, Event, Staged};
use crate::meters::Meters;
use crate::obstacle::Obstacle;
use crate::outputs::{KeptExcerpt, ReportError, WriteError};
use crate::sessions::Sessions;
use crate::store::{JobEnd, Row, Store, StoreError};
use crate::times::{Moment, wall_clock};
use crate::writer::OutputWriter;
use commit::Answer;
use history::History;
pub use history::Told;
use obstacles::Obstacles;
use registry::Registry;
use stall::Stall;
use upkeep::Upkeep;
use uploads::Uploads;
use waiting::{Hints, Unread};

pub use restore::{Parts, RestoreError};

/// Events handled in one turn at most, so that none waits long for its answer.
const MAX_EVENTS_PER_TURN: usize = 1024;

/// The state of the driver.
pub struct Driver {
    scheduler: Scheduler,
    registry: Registry,
    sessions: Sessions,
    copies: Copies,
    outputs: OutputWriter,
    dialler: Dialler,
    events: mpsc::Receiver<Event>,
    started: Instant,
    /// The farm's clock at `started`, in seconds.
    before: f64,
    /// `None` while a batch is being written, elsewhere.
    store: Option<Box<dyn Store>>,
    /// Rows to be written, and what waits until they are.
    rows: Vec<Row>,
    actions: VecDeque<Action>,
    answers: Vec<Answer>,
    obstacles: Obstacles,
    hints: Hints,
    /// Tells watchers that there is something new.
    news: watch::Sender<u64>,
    history: History,
    upkeep: Upkeep,
    stall: Stall,
    uploads: Uploads,
    meters: Meters,
    /// Files to be removed once their rows are.
    unneeded: Vec<Digest>,
    unread: Unread,
    stopping: bool,
}

impl Driver {
    /// Runs until [`Event::Stop`], or until nobody can send events any more.
    ///
    /// # Errors
    /// When the store fails other than for lack of room: nothing that was not recorded has been acted on.
    pub async fn run(mut self) -> Result<(), StoreError> {
        self.settle().await?;
        while !self.stopping {
            let timeout = self.scheduler.poll_timeout().map(|at| self.started + Duration::from_millis(at.0));
            let timeout =
                timeout.into_iter().chain(self.obstacles.next()).chain([self.upkeep.next, self.stall.next]).min();
            let event = tokio::select! {
                event = self.events.recv() => match event {
                    None => return Ok(()),
                    event => event,
                },
                // Yield once so that senders blocked on the full channel can enqueue: after a system suspend the deadline
                // is already due while heartbeats are still pending.
                () = until(timeout) => {
                    tokio::task::yield_now().await;
                    None
                }
            };
            let begun = Instant::now();
            if let Some(event) = event {
                self.on_event(event);
            }
            self.handle_waiting_events();
            self.on_time();
            self.settle().await?;
            self.tell_watchers();
            self.meters.turned(begun.elapsed());
        }
        Ok(())
    }

    /// Handles the events that have arrived, before any deadline is checked.
    fn handle_waiting_events(&mut self) {
        for _ in 1..MAX_EVENTS_PER_TURN {
            let Ok(event) = self.events.try_recv() else { break };
            self.on_event(event);
        }
    }

    fn tell_watchers(&self) {
        let version = self.version();
        self.news.send_if_modified(|told| std::mem::replace(told, version) != version);
    }

    fn on_time(&mut self) {
        let now = self.now();
        if self.scheduler.poll_timeout().is_some_and(|at| at <= now) {
            self.scheduler.handle_timeout(now);
            self.collect();
        }
        self.look_at_obstacles();
        self.keep_up();
        self.look_for_stall();
    }

    fn now(&self) -> wanfarm_scheduler::Instant {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        wanfarm_scheduler::Instant(elapsed)
    }

    /// The farm's clock.
    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn moment(&self) -> Moment {
        Moment { at: wall_clock(), elapsed: self.seconds() }
    }

    fn feed(&mut self, input: Input) {
        let now = self.now();
        self.scheduler.handle(now, input);
        self.collect();
    }

    /// Takes what the scheduler decided: rows to be written, and actions that wait until they are.
    fn collect(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Commit(changes) => changes.into_iter().for_each(|change| self.put_change(change)),
                action => self.actions.push_back(action),
            }
        }
    }

    /// Records a row in the registry and queues it to be written.
    fn put(&mut self, row: Row) {
        let before = self.before(&row);
        self.registry.record(&row, self.seconds());
        self.note_row(&row, before);
        self.rows.push(row);
    }

    fn put_change(&mut self, change: Change) {
        // A job that is taken up again has a new end, and a new report.
        if let Change::JobPhase { job, state: JobPhase::Active } = change
            && self.has_finished(job)
        {
            self.put(Row::Ended { job, end: None });
            self.put(Row::Reported { job, at: None });
        }
        if let Change::JobForgotten(job) = change {
            self.hints.forget(job);
        }
        if let Change::AttemptEnded { attempt, .. } = change
            && let Some(presence) =
                self.registry.ledger.worker_of(attempt).and_then(|worker| self.sessions.presence_mut(worker))
        {
            presence.ends(attempt);
        }
        let ends = if let Change::JobPhase { job, state: JobPhase::Finished } = change { Some(job) } else { None };
        let times = if let Change::VideoPhase { video, state } = &change { self.times_of(*video, state) } else { None };
        self.put(Row::Scheduler(change));
        times.into_iter().for_each(|times| self.put(times));
        if let Some(job) = ends {
            self.end(job);
        }
    }

    /// When a video (by its place in the plan) that comes to this phase began and ends; nothing when that is recorded.
    fn times_of(&self, video: VideoId, phase: &VideoPhase) -> Option<Row> {
        let video = self.registry.jobs.in_manifest(video)?;
        let has_ended = self.registry.jobs.line(video)?.ended.is_some();
        let ends = *phase != VideoPhase::Open;
        let started = self.registry.jobs.get(video.job)?.started(video.index);
        (ends || has_ended).then(|| Row::VideoTimes { video, started, ended: ends.then(wall_clock) })
    }

    /// Closes the account of a job: what its report tells changes no more.
    fn end(&mut self, job: JobId) {
        let totals = self.registry.ledger.totals(job, self.worker_lines());
        let end = JobEnd { at: self.moment(), totals };
        if let Some(job) = self.registry.jobs.get(job) {
            let JobSummary { job: id, name, done, failed, cancelled, .. } = job.summary();
            let seconds = (end.at.elapsed - job.submitted().elapsed).max(0.0).round();
            tracing::info!(job = %id, name, done, failed, cancelled, seconds, "job ended");
        }
        self.put(Row::Ended { job, end: Some(Box::new(end)) });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Attached(attached) => self.on_attached(*attached),
            Event::Worker { connection, worker, incarnation, message } => {
                // What an older connection still delivers, its successor has said again.
                if self.sessions.is_current(worker, connection) {
                    let now = self.moment();
                    if let Some(presence) = self.sessions.presence_mut(worker) {
                        presence.hears(now);
                    }
                    self.on_worker(worker, incarnation, message);
                }
            }
            Event::Detached { connection, worker, incarnation } => {
                if self.sessions.is_current(worker, connection) {
                    tracing::info!(worker = self.sessions.name(worker), "the connection of a worker has ended");
                    self.note_worker(EventKind::WorkerLost, worker, None);
                    self.sessions.close(worker);
                    self.feed(Input::WorkerLost { worker, incarnation });
                }
            }
            Event::DialledBack { connection, worker, reach } => {
                if self.sessions.is_current(worker, connection) {
                    self.sessions.dialled_back(worker, reach);
                }
            }
            Event::Wanted { digest, reply } => {
                let made_by = self.scheduler.holder_of(&digest);
                if let Some(holder) = made_by {
                    self.sessions.go_round(holder);
                }
                let holder = made_by.or_else(|| self.sessions.holder_of_file(&digest));
                // The asker may have left.
                let _ = reply.send(holder.map(|holder| self.sessions.source(holder).outbox));
            }
            Event::Request(request) => self.on_request(request),
            Event::Copied { artifact, maker, copied } => self.on_copied(artifact, maker, copied),
            Event::Deleted(digests) => self.copies.deleted(&digests),
            Event::Staged { video, staged } => {
                let Staged { written, verdict, seconds, frames, recorded } = *staged;
                // Of a video that was given up or forgotten meanwhile, nothing is put anywhere.
                let Some(video) = self.registry.jobs.in_manifest(video).filter(|video| self.is_wanted(*video)) else {
                    return;
                };
                // One that is just being removed is made again with the next try.
                if !frames.iter().all(|(_, image)| self.keep_image(*image)) {
                    return;
                }
                let kept = frames.iter().map(|(excerpt, image)| KeptExcerpt { excerpt: *excerpt, file: image.digest });
                let (written, frames) = (written.into(), kept.collect());
                self.put(Row::Outputs { video, written, verdict, seconds, frames });
                self.answer_when_recorded(recorded, ());
            }
            Event::Written { video, result } => self.on_written(video, result),
            Event::TriedOut(tried) => self.on_tried_out(tried),
            Event::NoDescriptors => self.on_obstacle(Obstacle::NoDescriptors),
            // It may have been forgotten or taken up again meanwhile.
            Event::Reported(job, _) if !self.has_finished(job) => {}
            Event::Reported(job, Ok(())) => self.put(Row::Reported { job, at: Some(wall_clock()) }),
            Event::Reported(job, Err(ReportError::Held(obstacle))) => self.hold_report(job, obstacle),
            // In no row: a coordinator that starts again tries again.
            Event::Reported(job, Err(ReportError::Failed(why))) => self.registry.jobs.unreported(job, why),
            Event::Stop => self.stopping = true,
        }
    }

    fn on_written(&mut self, video: VideoId, result: Result<(), WriteError>) {
        self.obstacles.wrote(video);
        if !matches!(result, Err(WriteError::Unread(_))) {
            self.unread.remove(video);
        }
        match result {
            Ok(()) => {
                let place = self.registry.jobs.in_manifest(video).unwrap_or(video);
                self.feed(Input::OutputsWritten(video));
                if let Some(line) = self.registry.jobs.line(place) {
                    tracing::info!(video = %place, verdict = line.verdict, seconds = line.seconds.unwrap_or(0.0).round(), "video done");
                }
            }
            Err(WriteError::Held(obstacle)) => {
                self.feed(Input::OutputsHeld(video));
                self.on_obstacle(obstacle);
            }
            Err(WriteError::Unread(why)) => {
                tracing::warn!(%video, %why, "the frames of a video could not be read; trying again");
                self.unread.insert(video, why);
                self.feed(Input::OutputsHeld(video));
            }
            Err(WriteError::Failed(failure)) => {
                let place = self.registry.jobs.in_manifest(video).unwrap_or(video);
                tracing::warn!(video = %place, %failure, "the files of a video could not be written");
                self.feed(Input::OutputsFailed { video, failure });
            }
        }
    }

    fn is_wanted(&self, video: VideoId) -> bool {
        self.registry.jobs.line(video).is_some_and(|line| !line.state.is_end())
    }

    fn on_copied(&mut self, artifact: ArtifactId, maker: WorkerId, copied: Copied) {
        if matches!(copied, Copied::Made) {
            let asked = self.copies.made(artifact);
            self.feed(Input::Durable(artifact));
            if let Some(asked) = asked {
                let meters = self.meters.clone();
                self.answers.push(Box::new(move || meters.copied(asked.elapsed())));
            }
            return;
        }
        self.copies.forget(artifact);
        match copied {
            Copied::Full(obstacle) => self.hold_copy(artifact, obstacle),
            Copied::Unsound(why) => {
                let place = |video| self.registry.jobs.in_manifest(video).unwrap_or(video);
                let what = match artifact {
                    ArtifactId::Text(_) => "a text".to_owned(),
                    ArtifactId::Image(video) => format!("the first frame of {}", place(video)),
                    ArtifactId::Checkpoint { video, steps_done } => {
                        format!("{} after {steps_done} steps", place(video))
                    }
                };
                let reason = format!("what it made of {what} is of no use to anybody, as it had to see: {why}");
                self.feed(Input::CopyUnsound { artifact, maker, reason });
            }
            Copied::Made | Copied::Missed => self.feed(Input::CopyFailed(artifact)),
        }
    }

    /// Plans a job if its model is known.
    fn plan(&mut self, job: JobId) {
        let Registry { jobs, catalog, images, .. } = &self.registry;
        let model = jobs.get(job).and_then(|job| catalog.get(&job.submission.model));
        let Some((videos, plan)) = model.and_then(|model| jobs.resolve(job, &model.info, images)) else { return };
        let mut refused = videos.iter().filter_map(|video| video.as_ref().err());
        if let Some(why) = refused.next() {
            tracing::warn!(%job, why, others = refused.count(), "the model cannot render a video of this job");
        }
        self.put(Row::Resolved { job, videos });
        if plan.videos.is_empty() {
            // No video of it suits the model, and each says why.
            return self.finish_unplanned(job);
        }
        self.feed(Input::JobAdded(plan));
        self.hold_if_blocked(job);
    }

    fn has_finished(&self, job: JobId) -> bool {
        self.registry.jobs.get(job).is_some_and(|job| job.phase() == Some(JobPhase::Finished))
    }

    /// The end of a job of which the scheduler knows nothing.
    fn finish_unplanned(&mut self, job: JobId) {
        self.put_change(Change::JobPhase { job, state: JobPhase::Finished });
        self.actions.push_back(Action::JobFinished(job));
    }
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
