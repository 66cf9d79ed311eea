//! What the rows mean to people and to the sidecars. Rows change the registry, whether they have just been decided or
//! are read after a restart; beside them there is only what the moment shows and no row tells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use wanfarm_manifest::claims::{Claims, Holder, Wanted};
use wanfarm_scheduler::{ArtifactId, Change, TextKey};
use wanfarm_types::{JobId, Stage, TEXT_LEN, VideoId, VideoState, WebhookId, WorkerId};

use crate::access::SharedAccess;
use crate::catalog::Catalog;
use crate::images::Images;
use crate::jobs::{Job, Jobs};
use crate::ledger::{KnownWorker, Ledger};
use crate::store::{Row, WebhookRow};

/// What the rows say, in the form that answers need.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) jobs: Jobs,
    /// The paths of all jobs.
    pub(super) claims: Claims,
    pub(super) images: Images,
    pub(super) catalog: Catalog,
    pub(super) ledger: Ledger,
    /// Tokens of the texts that are longer than is read.
    long_texts: BTreeMap<TextKey, u32>,
    /// Grows with every change of who may be given work.
    pub(super) standings: u64,
    /// Where the volume of an output folder was mounted when files were last written to it.
    pub(super) mounts: BTreeMap<PathBuf, PathBuf>,
    /// What people say of workers.
    pub(super) notes: BTreeMap<WorkerId, String>,
    /// Who is told of what happens.
    pub(super) webhooks: BTreeMap<WebhookId, WebhookRow>,
    /// Who may do what; read where requests come in.
    pub(super) access: SharedAccess,
}

impl Registry {
    /// An empty registry; the first job gets the number `next_job`.
    pub(super) fn new(next_job: JobId, access: SharedAccess) -> Self {
        Self {
            jobs: Jobs::new(next_job),
            claims: Claims::default(),
            images: Images::default(),
            catalog: Catalog::default(),
            ledger: Ledger::default(),
            long_texts: BTreeMap::new(),
            standings: 0,
            mounts: BTreeMap::new(),
            notes: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            access,
        }
    }

    /// Applies a row. `now` is in seconds since one origin.
    pub(super) fn record(&mut self, row: &Row, now: f64) {
        match row {
            Row::Model(info) => self.catalog.set_info(info),
            Row::Weights { model, role, weights, files } => self.catalog.add_files(model, *role, *weights, files),
            Row::Image(image) => self.images.insert(*image),
            Row::ImageForgotten(digest) => self.images.remove(digest),
            Row::Worker { worker, name, device, seen } => {
                let known = KnownWorker { name: name.clone(), device: device.clone(), seen: *seen };
                self.ledger.worker_is(*worker, known);
            }
            Row::WorkerForgotten(worker) => self.ledger.forget_worker(*worker),
            Row::WorkerNote { worker, note } => {
                self.standings += 1;
                match note {
                    Some(note) => drop(self.notes.insert(*worker, note.clone())),
                    None => drop(self.notes.remove(worker)),
                }
            }
            Row::ModelForgotten(model) => self.catalog.forget(model),
            Row::Job(job) => {
                self.jobs.add(job);
                if let Some(job) = self.jobs.get(job.id) {
                    each_claim(job, |holder, wanted| self.claims.claim(holder, wanted));
                }
            }
            Row::Resolved { job, videos } => self.jobs.resolved(*job, videos),
            Row::Requeued(job) => self.jobs.requeue(*job),
            Row::Suspended { job, reason } => self.jobs.set_suspend_reason(*job, reason.clone()),
            Row::Outputs { video, written, verdict, seconds, frames } => {
                self.jobs.set_outputs(*video, written, verdict, *seconds, frames);
            }
            Row::Ended { job, end } => self.jobs.ended(*job, end.as_deref().cloned()),
            Row::Reported { job, at } => self.jobs.reported(*job, *at),
            Row::About { job, about } => self.jobs.describe(*job, about.clone()),
            Row::Forecast { job, at, seconds } => self.jobs.forecast(*job, *at, *seconds),
            Row::VideoTimes { video, started, ended } => self.jobs.set_times(*video, *started, *ended),
            Row::Webhook(webhook) => drop(self.webhooks.insert(webhook.id, webhook.clone())),
            Row::WebhookForgotten(webhook) => drop(self.webhooks.remove(webhook)),
            Row::Grant(grant) => self.access.insert(grant.clone()),
            Row::GrantForgotten(grant) => self.access.remove(*grant),
            Row::Event(_) => {}
            Row::Mount { folder, mount } => drop(self.mounts.insert(folder.clone(), mount.clone())),
            Row::Begun { attempt, at, waited } => self.ledger.begun(*attempt, *at, *waited),
            Row::Scheduler(change) => {
                self.record_change(change, now);
                let passes = |video, stage: Stage| {
                    let guidance = self.jobs.spec(video).map(|spec| spec.guidance);
                    guidance.zip(stage.expert()).map_or(0, |(guidance, expert)| guidance.passes(expert))
                };
                self.ledger.record(change, now, passes);
            }
        }
    }

    fn record_change(&mut self, change: &Change, now: f64) {
        match change {
            Change::JobAdded(plan) => {
                self.jobs.planned(plan);
                for index in (0u32..).take(plan.videos.len()) {
                    self.ledger.video_added(VideoId { job: plan.id, index }, now);
                }
                // Some texts were encoded for other jobs.
                for (text, tokens) in &self.long_texts {
                    self.jobs.text_read(plan.id, *text, *tokens);
                }
            }
            Change::JobPhase { job, state } => self.jobs.set_phase(*job, *state),
            Change::JobPriority { job, priority } => self.jobs.set_priority(*job, *priority),
            Change::WeightsPinned { job, role, weights } => self.jobs.pin(*job, *role, *weights),
            Change::JobForgotten(job) => {
                if let Some(job) = self.jobs.forget(*job) {
                    each_claim(&job, |holder, wanted| self.claims.release(holder, wanted));
                }
                if !self.long_texts.is_empty() {
                    let read: BTreeSet<TextKey> =
                        self.jobs.iter().flat_map(|job| job.texts.iter().flatten()).copied().collect();
                    self.long_texts.retain(|text, _| read.contains(text));
                }
            }
            Change::VideoPhase { video, state } => self.jobs.set_video_phase(*video, state),
            Change::ArtifactDurable { artifact: ArtifactId::Checkpoint { video, steps_done }, .. } => {
                self.jobs.set_durable(*video, *steps_done);
            }
            Change::AttemptIssued { item, worker, .. } => {
                let name = self.ledger.worker(*worker).map_or("", |known| &known.name);
                self.jobs.set_work(item.video, VideoState::Running, Some(item.stage), name);
            }
            Change::AttemptEnded { attempt, timing, .. } => {
                let Some((video, text)) = self.ledger.open(*attempt) else { return };
                self.jobs.set_work(video, VideoState::Waiting, None, "");
                if let Some(text) = text.filter(|_| timing.text_tokens as usize > TEXT_LEN) {
                    self.long_texts.insert(text, timing.text_tokens);
                    let jobs: Vec<JobId> = self.jobs.iter().map(|job| job.id).collect();
                    jobs.into_iter().for_each(|job| self.jobs.text_read(job, text, timing.text_tokens));
                }
            }
            Change::WorkerState { .. } | Change::WorkerForgotten(_) => self.standings += 1,
            Change::ArtifactDurable { .. } | Change::TextKept { .. } | Change::ArtifactForgotten(_) => {}
        }
    }
}

/// Everything that a job writes.
fn each_claim(job: &Job, mut each: impl FnMut(Holder, &Wanted)) {
    each(Holder { job: job.id, video: None }, &Wanted::report(&job.output, &job.report));
    for (index, video) in (0u32..).zip(&job.submission.videos) {
        each(Holder { job: job.id, video: Some(index) }, &job.wants(video));
    }
}
