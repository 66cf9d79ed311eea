//! The reference: rows by key in memory. What it does is what every engine must do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wanfarm_scheduler::{ArtifactId, Change, TextKey};
use wanfarm_types::{AttemptId, Digest, GrantId, JobId, Role, VideoId, WebhookId, WorkerId};

use crate::access::GrantRow;
use crate::store::{Loaded, Row, Store, StoreError, WebhookRow};

/// What a row's key is. Declared in the order of [`Store::load`]: parents first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Model(String),
    Weights(String, Role, Digest),
    Image(Digest),
    Worker(WorkerId),
    WorkerState(WorkerId),
    WorkerNote(WorkerId),
    Mount(PathBuf),
    Webhook(WebhookId),
    Grant(GrantId),
    Job(JobId, OfJob),
    Pin(JobId, Role),
    Text(TextKey),
    ImageArtifact(VideoId),
    Checkpoint(VideoId, u32),
    Attempt(AttemptId, OfAttempt),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum OfJob {
    Submission,
    Resolved,
    Plan,
    VideoPhase(u32),
    Outputs(u32),
    VideoTimes(u32),
    State,
    Suspended,
    Ended,
    Reported,
    About,
    Priority,
    Forecast,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum OfAttempt {
    Issued,
    Begun,
    Ended,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    rows: BTreeMap<Key, Row>,
    last_attempt: u64,
    last_job: u64,
    last_event: u64,
}

/// The store. Clones share their rows, as two openings of one database do.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
}

impl Store for MemoryStore {
    fn commit(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut tables = self.tables.lock().unwrap();
        let mut next = tables.clone();
        for row in rows {
            next.put(row).map_err(|why| StoreError::Refused { path: PathBuf::from("memory"), why })?;
        }
        *tables = next;
        Ok(())
    }

    fn load(&mut self) -> Result<Loaded, StoreError> {
        let tables = self.tables.lock().unwrap();
        Ok(Loaded {
            rows: tables.rows.values().cloned().collect(),
            next_attempt: AttemptId(tables.last_attempt + 1),
            next_job: JobId(tables.last_job + 1),
            next_event: tables.last_event + 1,
        })
    }
}

impl Tables {
    fn put(&mut self, row: &Row) -> Result<(), String> {
        if let Row::Scheduler(Change::JobForgotten(job)) = row {
            self.forget(*job);
            return Ok(());
        }
        if let Row::Scheduler(Change::ArtifactForgotten(artifact)) = row {
            self.rows.remove(&artifact_key(artifact));
            return Ok(());
        }
        if let Row::ModelForgotten(model) = row {
            self.rows.retain(|key, _| match key {
                Key::Model(name) | Key::Weights(name, ..) => name != model,
                _ => true,
            });
            return Ok(());
        }
        if let Row::Event(event) = row {
            if event.id <= self.last_event {
                return Err(format!("event {} is there already", event.id));
            }
            self.last_event = event.id;
            return Ok(());
        }
        if let Row::Requeued(job) = row {
            return self.requeue(*job);
        }
        let (key, parent) = key(row);
        let once = matches!(key, Key::Job(_, OfJob::Submission) | Key::Attempt(_, OfAttempt::Issued));
        if once && self.rows.contains_key(&key) {
            return Err(format!("{key:?} is there already"));
        }
        if let Row::Job(job) = row {
            let taken =
                |row: &Row| matches!(row, Row::Job(other) if other.submission.client_key == job.submission.client_key);
            if !job.submission.client_key.is_empty() && self.rows.values().any(taken) {
                return Err(format!("key {:?} is taken", job.submission.client_key));
            }
            self.last_job = self.last_job.max(job.id.0);
        }
        if parent.is_some_and(|parent| !self.has(&parent)) {
            return Err(format!("{row:?} belongs to nothing"));
        }
        if let Key::Attempt(id, OfAttempt::Issued) = key {
            self.last_attempt = self.last_attempt.max(id.0);
        }
        let removes = matches!(
            row,
            Row::ImageForgotten(_)
                | Row::WorkerForgotten(_)
                | Row::WebhookForgotten(_)
                | Row::GrantForgotten(_)
                | Row::Scheduler(Change::WorkerForgotten(_))
                | Row::Suspended { reason: None, .. }
                | Row::WorkerNote { note: None, .. }
                | Row::Ended { end: None, .. }
                | Row::Reported { at: None, .. }
                | Row::VideoTimes { started: None, ended: None, .. }
                | Row::Scheduler(Change::WeightsPinned { weights: None, .. })
        );
        if removes {
            self.rows.remove(&key)
        } else {
            self.rows.insert(key, row.clone())
        };
        Ok(())
    }

    fn has(&self, parent: &Parent) -> bool {
        match *parent {
            Parent::Row(ref key) => self.rows.contains_key(key),
            Parent::Place(video) => match self.rows.get(&Key::Job(video.job, OfJob::Submission)) {
                Some(Row::Job(job)) => (video.index as usize) < job.submission.videos.len(),
                _ => false,
            },
            Parent::Planned(video) => match self.rows.get(&Key::Job(video.job, OfJob::Resolved)) {
                Some(Row::Resolved { videos, .. }) => {
                    (video.index as usize) < videos.iter().filter(|video| video.is_ok()).count()
                }
                _ => false,
            },
        }
    }

    fn requeue(&mut self, job: JobId) -> Result<(), String> {
        let has = |of| self.rows.contains_key(&Key::Job(job, of));
        if !has(OfJob::Submission) || has(OfJob::Plan) {
            return Err(format!("{job} cannot wait again"));
        }
        for of in [OfJob::Resolved, OfJob::State, OfJob::Suspended, OfJob::Ended, OfJob::Reported] {
            self.rows.remove(&Key::Job(job, of));
        }
        Ok(())
    }

    fn forget(&mut self, job: JobId) {
        let of_job = |video: &VideoId| video.job == job;
        let mut attempts = Vec::new();
        for row in self.rows.values() {
            if let Row::Scheduler(Change::AttemptIssued { attempt, item, .. }) = row
                && item.video.job == job
            {
                attempts.push(*attempt);
            }
        }
        self.rows.retain(|key, _| match key {
            Key::Job(id, _) | Key::Pin(id, _) => *id != job,
            Key::ImageArtifact(video) | Key::Checkpoint(video, _) => !of_job(video),
            Key::Attempt(id, _) => !attempts.contains(id),
            _ => true,
        });
    }
}

/// What must be there before a row.
enum Parent {
    Row(Key),
    /// A video of a submission.
    Place(VideoId),
    /// A video with settings.
    Planned(VideoId),
}

fn key(row: &Row) -> (Key, Option<Parent>) {
    let submission = |job| Some(Parent::Row(Key::Job(job, OfJob::Submission)));
    match row {
        Row::Model(info) => (Key::Model(info.name.clone()), None),
        Row::Weights { model, role, weights, .. } => {
            (Key::Weights(model.clone(), *role, *weights), Some(Parent::Row(Key::Model(model.clone()))))
        }
        Row::Image(image) => (Key::Image(image.digest), None),
        Row::ImageForgotten(digest) => (Key::Image(*digest), None),
        Row::ModelForgotten(model) => (Key::Model(model.clone()), None),
        Row::Worker { worker, .. } | Row::WorkerForgotten(worker) => (Key::Worker(*worker), None),
        Row::WorkerNote { worker, .. } => (Key::WorkerNote(*worker), None),
        Row::Job(job) => (Key::Job(job.id, OfJob::Submission), None),
        Row::Resolved { job, .. } => (Key::Job(*job, OfJob::Resolved), submission(*job)),
        Row::Requeued(job) => (Key::Job(*job, OfJob::Resolved), submission(*job)),
        Row::Suspended { job, .. } => (Key::Job(*job, OfJob::Suspended), submission(*job)),
        Row::Ended { job, .. } => (Key::Job(*job, OfJob::Ended), submission(*job)),
        Row::Reported { job, .. } => (Key::Job(*job, OfJob::Reported), submission(*job)),
        Row::About { job, .. } => (Key::Job(*job, OfJob::About), submission(*job)),
        Row::Forecast { job, .. } => (Key::Job(*job, OfJob::Forecast), submission(*job)),
        Row::Outputs { video, .. } => (Key::Job(video.job, OfJob::Outputs(video.index)), Some(Parent::Place(*video))),
        Row::VideoTimes { video, .. } => {
            (Key::Job(video.job, OfJob::VideoTimes(video.index)), Some(Parent::Place(*video)))
        }
        Row::Event(_) => unreachable!("no row that is loaded"),
        Row::Mount { folder, .. } => (Key::Mount(folder.clone()), None),
        Row::Grant(GrantRow { id, .. }) | Row::GrantForgotten(id) => (Key::Grant(*id), None),
        Row::Webhook(WebhookRow { id, .. }) | Row::WebhookForgotten(id) => (Key::Webhook(*id), None),
        Row::Begun { attempt, .. } => (Key::Attempt(*attempt, OfAttempt::Begun), issued(*attempt)),
        Row::Scheduler(change) => match change {
            Change::JobAdded(plan) => {
                let last = plan.videos.len().checked_sub(1).map(|last| VideoId { job: plan.id, index: last as u32 });
                (Key::Job(plan.id, OfJob::Plan), last.map(Parent::Planned).or(submission(plan.id)))
            }
            Change::JobPhase { job, .. } => (Key::Job(*job, OfJob::State), submission(*job)),
            Change::JobPriority { job, .. } => (Key::Job(*job, OfJob::Priority), submission(*job)),
            Change::WeightsPinned { job, role, weights } => {
                (Key::Pin(*job, *role), weights.and_then(|_| submission(*job)))
            }
            Change::JobForgotten(job) => (Key::Job(*job, OfJob::Submission), None),
            Change::VideoPhase { video, .. } => {
                (Key::Job(video.job, OfJob::VideoPhase(video.index)), Some(Parent::Planned(*video)))
            }
            Change::ArtifactDurable { artifact, .. } | Change::ArtifactForgotten(artifact) => {
                let parent = match artifact {
                    ArtifactId::Text(_) => None,
                    ArtifactId::Image(video) | ArtifactId::Checkpoint { video, .. } => Some(Parent::Planned(*video)),
                };
                (artifact_key(artifact), parent)
            }
            Change::TextKept { text, .. } => (Key::Text(*text), None),
            Change::AttemptIssued { attempt, item, .. } => {
                (Key::Attempt(*attempt, OfAttempt::Issued), Some(Parent::Planned(item.video)))
            }
            Change::AttemptEnded { attempt, .. } => (Key::Attempt(*attempt, OfAttempt::Ended), issued(*attempt)),
            Change::WorkerState { worker, .. } | Change::WorkerForgotten(worker) => (Key::WorkerState(*worker), None),
        },
    }
}

fn issued(attempt: AttemptId) -> Option<Parent> {
    Some(Parent::Row(Key::Attempt(attempt, OfAttempt::Issued)))
}

fn artifact_key(artifact: &ArtifactId) -> Key {
    match *artifact {
        ArtifactId::Text(text) => Key::Text(text),
        ArtifactId::Image(video) => Key::ImageArtifact(video),
        ArtifactId::Checkpoint { video, steps_done } => Key::Checkpoint(video, steps_done),
    }
}
