//! What people ask of the driver: answered from the books, or passed on to the scheduler.

use std::path::PathBuf;

use tokio::sync::oneshot;
use wanfarm_scheduler::{Input, Target};
use wanfarm_types::{JobId, VideoId};

use super::Driver;
use crate::jobs::{JobPhase, Submission, VideoPhase};
use crate::requests::{Changes, JobVerb, Request, RequestError};
use crate::store::Row;

impl Driver {
    pub(super) fn on_request(&mut self, request: Request) {
        match request {
            Request::MissingImages { images, reply } => {
                answer(reply, images.into_iter().filter(|image| self.books.images.get(image).is_none()).collect());
            }
            Request::ImageStored { image, reply } => {
                if self.books.images.get(&image.digest).is_none() {
                    self.copies.keep(image.digest);
                    self.put(Row::Image(image));
                }
                self.answer_when_recorded(reply, ());
            }
            Request::MissingLoras { loras, reply } => {
                answer(reply, loras.into_iter().filter(|lora| !self.copies.holds(lora)).collect());
            }
            Request::LoraStored { lora, reply } => {
                // Its row is the job that names it; until there is one, it stays as long as this process.
                if !self.copies.holds(&lora) {
                    self.copies.keep(lora);
                }
                answer(reply, ());
            }
            Request::Submit { submission, unfit, reply } => match self.submit(submission, unfit) {
                Ok(job) => self.answer_when_recorded(reply, Ok(job)),
                refused => answer(reply, refused),
            },
            Request::Changes { job, since, reply } => {
                let waiting_for = self.waiting_for(job);
                let changes = self.books.jobs.changes(job, since);
                let changes = changes.map(|(job, videos, version)| Changes { job, videos, version, waiting_for });
                answer(reply, changes.ok_or(RequestError::NoSuchJob(job)));
            }
            Request::Farm { model, images, reply } => answer(reply, self.farm(&model, &images)),
            Request::Remaining { job, reply } => answer(reply, self.remaining(job)),
            Request::Report { job, reply } => answer(reply, self.job_report(job)),
            Request::Files { job, video, reply } => answer(reply, self.files(job, video)),
            Request::Jobs { reply } => {
                let mut lines = Vec::new();
                for line in self.books.jobs.summaries() {
                    let waiting_for = self.waiting_for(line.job);
                    lines.push((line, waiting_for));
                }
                answer(reply, lines);
            }
            Request::Workers { reply } => answer(reply, self.worker_lines()),
            Request::ControlJob { job, video, verb, reply } => {
                let done = self.control_job(job, video, verb);
                self.answer_when_recorded(reply, done);
            }
            Request::ControlWorker { worker, enable, reply } => {
                if self.sessions.knows(worker) {
                    self.feed(if enable { Input::WorkerEnabled(worker) } else { Input::Drain(worker) });
                    self.answer_when_recorded(reply, Ok(()));
                } else {
                    answer(reply, Err(RequestError::NoSuchWorker(worker)));
                }
            }
        }
    }

    fn submit(&mut self, submission: Submission, unfit: Option<String>) -> Result<JobId, RequestError> {
        let mut images = submission.videos.iter().filter_map(|video| video.image);
        if let Some(missing) = images.find(|image| self.books.images.get(image).is_none()) {
            return Err(RequestError::NoSuchImage(missing));
        }
        let mut loras = submission.videos.iter().flat_map(|video| &video.loras).filter(|lora| lora.strength != 0.0);
        if let Some(missing) = loras.find(|lora| !self.copies.holds(&lora.blake3)) {
            return Err(RequestError::NoSuchLora(missing.blake3));
        }
        // A client that asks again gets the job it has.
        if let Some(known) = self.books.jobs.with_key(&submission.client_key) {
            return Ok(known);
        }
        if let Some(why) = unfit {
            return Err(RequestError::Unfit(why));
        }
        if let Some(why) = self.obstacles.of_store() {
            return Err(RequestError::Full(why.to_owned()));
        }
        let job = self.books.jobs.number(submission, self.moment());
        let id = job.id;
        self.put(Row::Job(job));
        self.plan(id);
        // Before work is spent on it.
        self.try_outputs();
        Ok(id)
    }

    fn control_job(&mut self, id: JobId, video: Option<u32>, verb: JobVerb) -> Result<(), RequestError> {
        let job = self.books.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        let video = video.map(|index| VideoId { job: id, index });
        if let Some(video) = video.filter(|video| video.index as usize >= job.videos().len()) {
            return Err(RequestError::NoSuchVideo { id: video, videos: job.videos().len() });
        }
        match (verb, video, job.summary().phase) {
            (JobVerb::Pause | JobVerb::Resume, Some(video), _) => return Err(RequestError::OneVideo(video)),
            (JobVerb::Pause, None, JobPhase::Finished) => return Err(RequestError::Ended(id)),
            (JobVerb::Cancel, None, JobPhase::WaitingForModel) => {
                self.finish_unplanned(id);
                return Ok(());
            }
            (_, _, JobPhase::WaitingForModel) => return Err(RequestError::Waits(id, self.waiting_for(id))),
            _ => {}
        }
        let target = match video {
            None => Target::Job(id),
            Some(video) => Target::Video(self.books.jobs.in_plan(video).ok_or(RequestError::NeverPlanned(video))?),
        };
        if verb == JobVerb::Resume {
            self.look_again();
        }
        // From now on it stands as people want it, room or not.
        if video.is_none() && verb != JobVerb::Retry {
            self.release(id);
        }
        self.feed(match verb {
            JobVerb::Pause => Input::Pause(id),
            JobVerb::Resume => Input::Resume(id),
            JobVerb::Cancel => Input::Cancel(target),
            JobVerb::Retry => Input::Retry(target),
        });
        Ok(())
    }

    fn files(&self, id: JobId, video: Option<u32>) -> Result<Vec<(u32, PathBuf)>, RequestError> {
        let job = self.books.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        if let Some(index) = video.filter(|index| *index as usize >= job.videos().len()) {
            return Err(RequestError::NoSuchVideo { id: VideoId { job: id, index }, videos: job.videos().len() });
        }
        let wanted = job.videos().iter().filter(|line| video.is_none_or(|index| line.index == index));
        let finished = wanted.filter(|line| line.phase == VideoPhase::Done);
        Ok(finished.flat_map(|line| line.files.iter().map(|file| (line.index, file.clone()))).collect())
    }
}

/// Sends an answer; whoever asked may have left.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}
