//! What people ask of the driver: answered from the books, or passed on to the scheduler.

use tokio::sync::oneshot;
use wanfarm_scheduler::{Input, Target};
use wanfarm_types::{JobId, VideoId};

use super::Driver;
use crate::jobs::{JobPhase, Submission};
use crate::requests::{Changes, JobVerb, Request, RequestError};

impl Driver {
    pub(super) fn on_request(&mut self, request: Request) {
        match request {
            Request::MissingImages { images, reply } => {
                answer(reply, images.into_iter().filter(|image| self.images.get(image).is_none()).collect());
            }
            Request::ImageStored { image, reply } => {
                if self.images.insert(image) {
                    self.copies.keep(image.digest);
                }
                answer(reply, ());
            }
            Request::Submit { submission, reply } => answer(reply, self.submit(submission)),
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

    fn submit(&mut self, submission: Submission) -> Result<JobId, RequestError> {
        let mut images = submission.videos.iter().filter_map(|video| video.image);
        if let Some(missing) = images.find(|image| self.images.get(image).is_none()) {
            return Err(RequestError::NoSuchImage(missing));
        }
        let job = self.jobs.submit(submission);
        // A client that asks again gets the job it has; only a new one is still to be planned.
        if self.jobs.is_unplanned(job) {
            self.plan(job);
        }
        Ok(job)
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
