//! Requests of clients: answered from the registry, or passed on to the scheduler.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;
use wanfarm_client::{HeldModel, HeldRole, JobVerb, Submitted, WorkerVerb};
use wanfarm_manifest::{Submission, Taken, chains, film};
use wanfarm_scheduler::{Change, Input, Session, Target};
use wanfarm_types::about::check_note;
use wanfarm_types::{
    About, Digest, JobId, JobState, JobStatus, Role, VideoId, VideoRequest, VideoSpec, VideoState, VideoStatus,
    WorkerId,
};

use super::{Driver, facts};
use crate::jobs::Job;
use crate::preview::Shown;
use crate::requests::{AboutChange, Changes, News, Places, Request, RequestError, Settled};
use crate::store::Row;
use crate::times::wall_clock;

impl Driver {
    pub(super) fn on_request(&mut self, request: Request) {
        match request {
            Request::MissingFiles { files, reply } => {
                let missing = self.missing_files(files);
                answer(reply, missing);
            }
            Request::ImageStored { image, reply } => match self.keep_image(image) {
                true => self.answer_when_recorded(reply, true),
                false => answer(reply, false),
            },
            Request::LoraStored { lora, reply } => {
                if self.copies.is_leaving(&lora) {
                    return answer(reply, false);
                }
                // Its row is the job that names it; until there is one, it stays for a while.
                if !self.copies.holds(&lora) {
                    self.copies.keep(lora);
                }
                self.uploads.given(lora);
                answer(reply, true);
            }
            Request::Submit { submission, about, asked, unfit, places, by, reply } => {
                match self.asked_by(by, |driver| driver.submit(submission, about, asked, unfit, &places)) {
                    Ok(submitted) => self.answer_when_recorded(reply, Ok(submitted)),
                    refused => answer(reply, refused),
                }
            }
            Request::Settle { submission, places, reply } => {
                answer(reply, self.settle_names(&submission, &places.looks))
            }
            Request::Changes { job, since, reply } => {
                let changes = self.changes(job, since);
                answer(reply, changes.ok_or(RequestError::NoSuchJob(job)));
            }
            Request::News { since, reply } => {
                let news = self.news_since(since);
                answer(reply, news);
            }
            Request::StoreObstacle { reply } => answer(reply, self.obstacles.of_store().map(str::to_owned)),
            Request::Farm { model, images, reply } => answer(reply, self.farm(&model, &images)),
            Request::Models { reply } => answer(reply, self.registry.catalog.infos().cloned().collect()),
            Request::HeldModels { reply } => answer(reply, self.held_models()),
            Request::Remaining { job, reply } => answer(reply, self.remaining(job)),
            Request::Forecast { job, seconds, reply } => {
                self.note_forecast(job, seconds);
                self.answer_when_recorded(reply, ());
            }
            Request::Report { job, reply } => answer(reply, self.job_report(job)),
            Request::Files { job, video, reply } => answer(reply, self.files(job, video)),
            Request::Jobs { reply } => {
                let jobs: Vec<JobId> = self.registry.jobs.iter().map(|job| job.id).collect();
                answer(reply, jobs.into_iter().filter_map(|job| self.job_line(job)).collect());
            }
            Request::Figures { reply } => answer(reply, self.figures()),
            Request::Workers { reply } => answer(reply, self.worker_lines()),
            Request::Shown { job, video, reply } => answer(reply, self.shown(VideoId { job, index: video })),
            Request::Again { job, videos, reply } => answer(reply, self.again(job, &videos)),
            Request::ControlJob { job, video, verb, by, reply } => {
                let done = self.asked_by(by, |driver| driver.control_job(job, video, verb));
                self.answer_when_recorded(reply, done);
            }
            Request::DescribeJob { job, change, by, reply } => {
                let done = self.asked_by(by, |driver| driver.describe(job, change));
                self.answer_when_recorded(reply, done);
            }
            Request::Webhooks { reply } => answer(reply, self.registry.webhooks.values().cloned().collect()),
            Request::AddWebhook { webhook, by, reply } => {
                let done = self.asked_by(by, |driver| driver.add_webhook(webhook));
                self.answer_when_recorded(reply, done);
            }
            Request::RemoveWebhook { webhook, by, reply } => {
                let done = self.asked_by(by, |driver| driver.remove_webhook(webhook));
                self.answer_when_recorded(reply, done);
            }
            Request::WebhookTold { webhook, event, reply } => {
                self.webhook_told(webhook, event);
                self.answer_when_recorded(reply, ());
            }
            Request::Enrol { key, token, name, by, reply } => {
                let done = self.asked_by(by, |driver| driver.enrol(key, token, name));
                self.answer_when_recorded(reply, done);
            }
            Request::Admit { key, name, rights, reply } => {
                let done = self.admit(key, name, rights);
                self.answer_when_recorded(reply, done);
            }
            Request::Grant { grant, by, reply } => {
                let done = self.asked_by(by, |driver| driver.grant(grant));
                self.answer_when_recorded(reply, done);
            }
            Request::Grants { reply } => answer(reply, self.registry.access.all()),
            Request::Revoke { id, by, reply } => {
                let done = self.asked_by(by, |driver| driver.revoke(id));
                self.answer_when_recorded(reply, done);
            }
            Request::ControlWorker { worker, verb, by, reply } => {
                let done = self.asked_by(by, |driver| driver.control_worker(worker, verb));
                self.answer_when_recorded(reply, done);
            }
        }
    }

    /// Does what somebody asks for, under their name.
    fn asked_by<T>(&mut self, by: impl Into<Option<String>>, act: impl FnOnce(&mut Self) -> T) -> T {
        self.history.by = by.into();
        let done = act(self);
        self.history.by = None;
        done
    }

    /// Of each role of each model the files that most workers have who are here.
    fn held_models(&self) -> Vec<HeldModel> {
        let mut held: BTreeMap<(&str, Role), HeldRole> = BTreeMap::new();
        let mut presets: BTreeMap<&str, String> = BTreeMap::new();
        for (info, role, _, files) in self.registry.catalog.versions() {
            let workers = self.sessions.holders(files);
            let best = held.get(&(info.name.as_str(), role)).map_or(0, |held| held.workers);
            if workers > best {
                held.insert((&info.name, role), HeldRole { role, workers, files: files.to_vec(), kept: false });
                presets.insert(&info.name, info.preset.to_string());
            }
        }
        let mut models: BTreeMap<&str, Vec<HeldRole>> = BTreeMap::new();
        held.into_iter().for_each(|((name, _), role)| models.entry(name).or_default().push(role));
        let model = |(name, roles): (&str, _)| {
            let preset = presets.remove(name).unwrap_or_default();
            HeldModel { name: name.to_owned(), preset, roles, beside: self.sessions.beside(name) }
        };
        models.into_iter().map(model).collect()
    }

    fn changes(&mut self, job: JobId, since: u64) -> Option<Changes> {
        let line = self.job_line(job)?;
        let (videos, version) = self.registry.jobs.changes(job, since)?;
        Some(Changes { news: JobStatus { job: line, videos, ..JobStatus::default() }, version })
    }

    fn news_since(&mut self, since: Option<u64>) -> News {
        let jobs = &self.registry.jobs;
        let known = jobs.iter().map(|job| job.id).collect();
        let changed = |job: &&Job| since.is_none_or(|since| job.version() > since);
        let told = jobs.iter().filter(|job| changed(job) || !job.state().is_end());
        let told: Vec<JobId> = told.map(|job| job.id).collect();
        let videos = since.map_or_else(Vec::new, |since| {
            let changes = |job: &Job| Some((job.id, jobs.changes(job.id, since)?.0));
            jobs.iter().filter(changed).filter_map(changes).filter(|(_, videos)| !videos.is_empty()).collect()
        });
        let version = jobs.version();
        let jobs = told.into_iter().filter_map(|job| self.job_line(job)).collect();
        News { version, known, jobs, videos, workers: self.worker_lines() }
    }

    /// Those files that are not there; the others are kept for the job that is about to name them.
    fn missing_files(&mut self, files: Vec<Digest>) -> Vec<Digest> {
        let (here, missing): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| self.copies.holds(file));
        here.into_iter().for_each(|file| self.uploads.given(file));
        missing
    }

    fn submit(
        &mut self,
        submission: Submission,
        about: About,
        asked: Digest,
        unfit: Option<String>,
        places: &Places,
    ) -> Result<Submitted, RequestError> {
        // A client that asks again gets the job it has.
        if let Some(known) =
            self.registry.jobs.with_key(&submission.client_key).and_then(|id| self.registry.jobs.get(id))
        {
            return match known.asked == asked {
                true => Ok(Submitted { job: Some(known.id), already: true, renamed: 0, left_out: 0 }),
                false => Err(RequestError::KeyTaken {
                    key: submission.client_key,
                    job: known.id,
                    name: known.submission.name.clone(),
                }),
            };
        }
        let mut images = submission.videos.iter().flat_map(VideoRequest::files);
        if let Some(missing) = images.find(|image| self.registry.images.get(image).is_none()) {
            return Err(RequestError::NoSuchImage(missing));
        }
        let mut loras = submission.videos.iter().flat_map(|video| &video.loras).filter(|lora| lora.strength != 0.0);
        if let Some(missing) = loras.find(|lora| !self.copies.holds(&lora.blake3)) {
            return Err(RequestError::NoSuchLora(missing.blake3));
        }
        if let Some(why) = unfit {
            return Err(RequestError::Unfit(why));
        }
        if let Some(why) = self.obstacles.of_store() {
            return Err(RequestError::Full(why.to_owned()));
        }
        let Settled { videos, renamed, left_out } = self.settle_names(&submission, &places.looks)?;
        if videos.is_empty() {
            return Ok(Submitted { job: None, already: false, renamed, left_out });
        }
        let submission = Submission { videos, ..submission };
        let report = self.report_place(&submission, places);
        let output = self.outputs.root().to_owned();
        let job = self.registry.jobs.number(submission, asked, self.moment(), output, report);
        let id = job.id;
        self.put(Row::Job(job));
        if about != About::default() {
            self.put(Row::About { job: id, about });
        }
        self.plan(id);
        // Before work is spent on it.
        self.try_outputs();
        Ok(Submitted { job: Some(id), already: false, renamed, left_out })
    }

    fn control_job(&mut self, id: JobId, video: Option<u32>, verb: JobVerb) -> Result<(), RequestError> {
        let job = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        let video = video.map(|index| VideoId { job: id, index });
        if let Some(video) = video.filter(|video| video.index as usize >= job.videos().len()) {
            return Err(RequestError::NoSuchVideo { id: video, videos: job.videos().len() });
        }
        match (verb, video, job.phase()) {
            (JobVerb::Pause | JobVerb::Resume | JobVerb::SetPriority(_) | JobVerb::Forget { .. }, Some(video), _) => {
                return Err(RequestError::OneVideo(video));
            }
            (JobVerb::SetPriority(priority), None, _) => return self.set_priority(id, priority),
            (JobVerb::Forget { cancel }, None, _) => return self.cancel_and_forget(id, cancel),
            (JobVerb::Pause | JobVerb::Resume, None, _) if job.state().is_end() => return Err(RequestError::Ended(id)),
            (JobVerb::Cancel, None, None) => {
                self.finish_unplanned(id);
                return Ok(());
            }
            (_, _, None) => return Err(RequestError::Waits(id, self.waiting_for(id))),
            (JobVerb::Retry, _, _) => return self.retry(id, video),
            _ => {}
        }
        let target = self.target(id, video)?;
        if verb == JobVerb::Resume {
            self.look_again();
        }
        // From now on it stands as people want it, room or not.
        if video.is_none() {
            self.release(id);
        }
        self.feed(match verb {
            JobVerb::Pause => Input::Pause(id),
            JobVerb::Resume => Input::Resume(id),
            JobVerb::Cancel | JobVerb::Retry | JobVerb::SetPriority(_) | JobVerb::Forget { .. } => {
                Input::Cancel(target)
            }
        });
        Ok(())
    }

    fn shown(&self, video: VideoId) -> Result<Option<Shown>, RequestError> {
        let job = self.registry.jobs.get(video.job).ok_or(RequestError::NoSuchJob(video.job))?;
        let missing = || RequestError::NoSuchVideo { id: video, videos: job.videos().len() };
        let line = job.videos().get(video.index as usize).ok_or_else(missing)?;
        let spec = job.specs.get(video.index as usize).and_then(Option::as_ref);
        let model = self.registry.catalog.get(&job.submission.model);
        let planned = self.registry.jobs.in_plan(video).filter(|_| !line.state.is_end());
        let (Some(spec), Some(model), Some(planned)) = (spec, model, planned) else { return Ok(None) };
        let VideoSpec { width, height, frames, fps, solver, .. } = *spec;
        Ok(self.copies.newest_state(planned).map(|tensors| Shown {
            model: job.submission.model.clone(),
            solver,
            shape: model.info.geometry.latent_shape(width, height, frames),
            frames,
            fps,
            tensors: tensors.to_vec(),
        }))
    }

    fn again(&self, id: JobId, videos: &[u32]) -> Result<(Submission, About), RequestError> {
        let job = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        let Submission { name, model, videos: all, .. } = &job.submission;
        let video = |&index: &u32| {
            let missing = RequestError::NoSuchVideo { id: VideoId { job: id, index }, videos: all.len() };
            all.get(index as usize).cloned().ok_or(missing)
        };
        let mut chosen: Vec<VideoRequest> = videos.iter().map(video).collect::<Result<_, _>>()?;
        // It is rendered from the very frame that it was rendered from.
        let mut missing = None;
        chains::renumber(&mut chosen, videos, |at, need| {
            let file = job.kept(need);
            if file.is_none() {
                missing = Some(RequestError::Needs { index: videos[at], other: job.label(need.video()) });
            }
            file
        });
        if let Some(missing) = missing {
            return Err(missing);
        }
        // Where the chain is cut there is nothing to join.
        chosen.iter_mut().filter(|video| film::fault(video).is_some()).for_each(|video| video.join = None);
        let submission = Submission {
            client_key: String::new(),
            name: name.clone(),
            model: model.clone(),
            priority: job.priority(),
            early_look: false,
            taken: Taken::NewName,
            videos: chosen,
        };
        Ok((submission, job.about().clone()))
    }

    /// Also of a job that has ended, whose videos may be tried again.
    fn set_priority(&mut self, id: JobId, priority: u32) -> Result<(), RequestError> {
        let priority = wanfarm_manifest::check_priority(priority).map_err(RequestError::Unfit)?;
        let job = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        if job.priority() == priority {
            return Ok(());
        }
        let priority = i32::try_from(priority).unwrap_or(i32::MAX);
        match job.phase() {
            // The scheduler has not heard of it yet.
            None => self.put(Row::Scheduler(Change::JobPriority { job: id, priority })),
            Some(_) => self.feed(Input::SetPriority(id, priority)),
        }
        Ok(())
    }

    fn describe(&mut self, id: JobId, change: AboutChange) -> Result<(), RequestError> {
        let before = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?.about();
        let about = change.apply(before);
        about.check()?;
        if about != *before {
            self.put(Row::About { job: id, about });
        }
        Ok(())
    }

    /// What is forecast later takes in what went otherwise: only the first says how far it was off.
    fn note_forecast(&mut self, id: JobId, seconds: f64) {
        let job = self.registry.jobs.get(id);
        if job.is_some_and(|job| job.forecast().is_none() && job.state() == JobState::Active) {
            self.put(Row::Forecast { job: id, at: wall_clock(), seconds });
        }
    }

    fn target(&self, id: JobId, video: Option<VideoId>) -> Result<Target, RequestError> {
        let Some(video) = video else { return Ok(Target::Job(id)) };
        let never = match self.registry.jobs.get(id).is_some_and(|job| job.specs.is_empty()) {
            true => RequestError::NotPlanned(video),
            false => RequestError::NeverPlanned(video),
        };
        self.registry.jobs.in_plan(video).map(Target::Video).ok_or(never)
    }

    fn retry(&mut self, id: JobId, video: Option<VideoId>) -> Result<(), RequestError> {
        let target = self.target(id, video)?;
        let job = self.registry.jobs.get(id).ok_or(RequestError::NoSuchJob(id))?;
        if !job.is_planned() {
            return self.requeue(id);
        }
        let is_retriable = |line: &VideoStatus| matches!(line.state, VideoState::Failed | VideoState::Cancelled);
        let lines = job.videos().iter().filter(|line| video.is_none_or(|video| video.index == line.index));
        let planned = |line: &VideoStatus| self.registry.jobs.in_plan(VideoId { job: id, index: line.index }).is_some();
        if !lines.into_iter().any(|line| is_retriable(line) && planned(line)) {
            return Err(video.map_or(RequestError::NothingToRetry(id), RequestError::NotRetriable));
        }
        self.feed(Input::Retry(target));
        Ok(())
    }

    /// A job of which nothing was ever planned waits for its model again, or is planned if that is known by now.
    fn requeue(&mut self, id: JobId) -> Result<(), RequestError> {
        self.put(Row::Requeued(id));
        self.plan(id);
        if self.has_finished(id) { Err(RequestError::RefusedAgain(id)) } else { Ok(()) }
    }

    fn cancel_and_forget(&mut self, id: JobId, cancel: bool) -> Result<(), RequestError> {
        if !self.has_finished(id) {
            if !cancel {
                return Err(RequestError::NotEnded(id));
            }
            self.release(id);
            self.feed(Input::Cancel(Target::Job(id)));
        }
        self.forget_job(id);
        Ok(())
    }

    /// Keeps nothing of a job that has ended, or was never planned, but its finished files. Files that it named and
    /// nobody else does stay for a while, so that the same manifest can be submitted again.
    pub(super) fn forget_job(&mut self, id: JobId) {
        let files: BTreeSet<Digest> = self.registry.jobs.get(id).into_iter().flat_map(|job| job.files()).collect();
        self.feed(Input::Forget(id));
        // The scheduler knows only what was planned.
        if self.registry.jobs.get(id).is_some() {
            self.put_change(Change::JobForgotten(id));
        }
        files.into_iter().for_each(|file| self.uploads.named(file));
    }

    fn note_of_worker(&mut self, worker: WorkerId, note: Option<String>) -> Result<(), RequestError> {
        note.as_deref().map_or(Ok(()), check_note)?;
        if note.as_ref() != self.registry.notes.get(&worker) {
            self.put(Row::WorkerNote { worker, note });
        }
        Ok(())
    }

    fn control_worker(&mut self, worker: WorkerId, verb: WorkerVerb) -> Result<(), RequestError> {
        let view = self.scheduler.view_worker(worker).ok_or(RequestError::NoSuchWorker(worker))?;
        match verb {
            WorkerVerb::Drain => self.feed(Input::Drain(worker)),
            WorkerVerb::Enable => self.feed(Input::WorkerEnabled(worker)),
            WorkerVerb::Assign(roles) => {
                let served: BTreeSet<Role> = view.serves.iter().map(|(_, role)| *role).collect();
                // Of one that is away it is not known what it will serve.
                let is_here = view.session != Session::Gone;
                if let Some(role) = roles.iter().copied().find(|role| is_here && !served.contains(role)) {
                    return Err(RequestError::NotServed {
                        name: view.name,
                        role,
                        served: served.into_iter().collect(),
                    });
                }
                self.feed(Input::AssignRoles(worker, Some(roles)));
            }
            WorkerVerb::Auto => self.feed(Input::AssignRoles(worker, None)),
            WorkerVerb::Note(note) => self.note_of_worker(worker, note.filter(|note| !note.is_empty()))?,
            WorkerVerb::Forget if view.session == Session::Gone => self.forget_worker(worker),
            WorkerVerb::Forget => {
                let connected = self.sessions.connected().any(|id| id == worker);
                return Err(RequestError::WorkerLives { state: facts::state(&view, connected), name: view.name });
            }
        }
        Ok(())
    }
}

/// Sends an answer; the asker may have left.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}
