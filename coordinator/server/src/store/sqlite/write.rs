//! Rows into tables. Each row is one upsert; one that should change a row and finds none is an error.

use rusqlite::{Params, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wanfarm_manifest::Submission;
use wanfarm_scheduler::{ArtifactId, AttemptEnd, Change, JobPlan, VideoPhase};
use wanfarm_types::{Failure, JobId, StepTiming, VideoId, VideoSpec};

use super::Fault;
use crate::access::GrantRow;
use crate::store::{EventRow, JobRow, MAX_EVENTS, Row, WebhookRow};

pub(super) fn row(transaction: &Transaction<'_>, row: &Row) -> Result<(), Fault> {
    match row {
        Row::Model(info) => execute(
            transaction,
            "INSERT INTO model (name, info) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET info = excluded.info",
            params![info.name, exact(info)?],
        ),
        Row::ModelForgotten(model) => {
            execute(transaction, "DELETE FROM weights WHERE model = ?1", params![model])?;
            execute(transaction, "DELETE FROM model WHERE name = ?1", params![model])
        }
        Row::Weights { model, role, weights, files } => execute(
            transaction,
            "INSERT INTO weights (model, role, weights, files) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET files = excluded.files",
            params![model, role.name(), weights.to_string(), json(files)?],
        ),
        Row::Image(image) => execute(
            transaction,
            "INSERT INTO image (digest, bytes, width, height, pictures, microseconds) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET bytes = excluded.bytes, width = excluded.width, height = excluded.height,
             pictures = excluded.pictures, microseconds = excluded.microseconds",
            params![
                image.digest.to_string(),
                number(image.bytes)?,
                image.width,
                image.height,
                image.clip.map(|clip| clip.pictures),
                image.clip.and_then(|clip| clip.microseconds).map(number).transpose()?,
            ],
        ),
        Row::ImageForgotten(digest) => {
            execute(transaction, "DELETE FROM image WHERE digest = ?1", params![digest.to_string()])
        }
        Row::Worker { worker, name, device, seen } => execute(
            transaction,
            "INSERT INTO worker (id, name, device, seen_elapsed) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET name = excluded.name, device = excluded.device,
             seen_elapsed = excluded.seen_elapsed",
            params![worker.to_string(), name, device, finite(*seen)],
        ),
        Row::WorkerForgotten(worker) => {
            execute(transaction, "DELETE FROM worker WHERE id = ?1", params![worker.to_string()])
        }
        Row::WorkerNote { worker, note: Some(note) } => execute(
            transaction,
            "INSERT INTO worker_note (worker, note) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET note = excluded.note",
            params![worker.to_string(), note],
        ),
        Row::WorkerNote { worker, note: None } => {
            execute(transaction, "DELETE FROM worker_note WHERE worker = ?1", params![worker.to_string()])
        }
        Row::Job(job) => submission(transaction, job),
        Row::Resolved { job, videos } => resolved(transaction, *job, videos),
        Row::Requeued(job) => requeued(transaction, *job),
        Row::Suspended { job, reason } => {
            let sql = "UPDATE job SET held = ?2 WHERE id = ?1";
            changed(execute_counting(transaction, sql, params![number(job.0)?, reason])?, job)
        }
        Row::Outputs { video, written, verdict, seconds, frames } => {
            let sql =
                "UPDATE video SET written = ?3, verdict = ?4, seconds = ?5, frames = ?6 WHERE job = ?1 AND place = ?2";
            let (job, place, written) = (number(video.job.0)?, video.index, json(&**written)?);
            let values = params![job, place, written, verdict, finite(*seconds), json(&**frames)?];
            changed(execute_counting(transaction, sql, values)?, video)
        }
        Row::Ended { job, end } => {
            let sql = "UPDATE job SET ended = ?2, ended_elapsed = ?3, totals = ?4 WHERE id = ?1";
            let totals = end.as_ref().map(|end| json(&end.totals)).transpose()?;
            let (at, elapsed) = (end.as_ref().map(|end| end.at.at), end.as_ref().map(|end| end.at.elapsed));
            let values = params![number(job.0)?, at.map(finite), elapsed.map(finite), totals];
            changed(execute_counting(transaction, sql, values)?, job)
        }
        Row::Reported { job, at } => {
            let sql = "UPDATE job SET reported = ?2 WHERE id = ?1";
            changed(execute_counting(transaction, sql, params![number(job.0)?, at.map(finite)])?, job)
        }
        Row::Begun { attempt, at, waited } => {
            let sql = "UPDATE attempt SET begun = ?2, begun_elapsed = ?3, waited = ?4 WHERE id = ?1";
            let values = params![number(attempt.0)?, finite(at.at), finite(at.elapsed), finite(*waited)];
            changed(execute_counting(transaction, sql, values)?, attempt)
        }
        Row::Mount { folder, mount } => execute(
            transaction,
            "INSERT INTO output_mount (folder, mount) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET mount = excluded.mount",
            params![folder.to_string_lossy(), mount.to_string_lossy()],
        ),
        Row::About { job, about } => {
            let sql = "UPDATE job SET about = ?2 WHERE id = ?1";
            changed(execute_counting(transaction, sql, params![number(job.0)?, json(about)?])?, job)
        }
        Row::Forecast { job, at, seconds } => {
            let sql = "UPDATE job SET forecast_at = ?2, forecast_seconds = ?3 WHERE id = ?1";
            let values = params![number(job.0)?, finite(*at), finite(*seconds)];
            changed(execute_counting(transaction, sql, values)?, job)
        }
        Row::VideoTimes { video, started, ended } => {
            let sql = "UPDATE video SET started = ?3, ended = ?4 WHERE job = ?1 AND place = ?2";
            let values = params![number(video.job.0)?, video.index, started.map(finite), ended.map(finite)];
            changed(execute_counting(transaction, sql, values)?, video)
        }
        Row::Webhook(WebhookRow { id, url, secret, kinds, created, told }) => execute(
            transaction,
            "INSERT INTO webhook (id, url, secret, kinds, created, told) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET url = excluded.url, secret = excluded.secret, kinds = excluded.kinds,
             created = excluded.created, told = excluded.told",
            params![id.to_string(), url, secret, json(kinds)?, finite(*created), number(*told)?],
        ),
        Row::Grant(GrantRow { id, name, rights, proof, created, expires }) => execute(
            transaction,
            "INSERT INTO access_grant (id, name, rights, proof, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET name = excluded.name, rights = excluded.rights, proof = excluded.proof,
             created = excluded.created, expires = excluded.expires",
            params![number(id.0)?, name, json(rights)?, json(proof)?, finite(*created), expires.map(finite)],
        ),
        Row::GrantForgotten(grant) => {
            execute(transaction, "DELETE FROM access_grant WHERE id = ?1", params![number(grant.0)?])
        }
        Row::WebhookForgotten(webhook) => {
            execute(transaction, "DELETE FROM webhook WHERE id = ?1", params![webhook.to_string()])
        }
        Row::Event(event) => self::event(transaction, event),
        Row::Scheduler(change) => self::change(transaction, change),
    }
}

fn event(transaction: &Transaction<'_>, event: &EventRow) -> Result<(), Fault> {
    let EventRow { id, at, kind, job, video, worker, name, by, before, after, detail } = event;
    let job = job.map(|job| number(job.0)).transpose()?;
    let worker = worker.map(|worker| worker.to_string());
    execute(
        transaction,
        "INSERT INTO event (id, at, kind, job, video, worker, name, asker, old, new, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![number(*id)?, finite(*at), kind.name(), job, video, worker, name, by, before, after, detail],
    )?;
    let oldest = number(id.saturating_sub(MAX_EVENTS))?;
    execute(transaction, "DELETE FROM event WHERE id <= ?1", params![oldest])
}

fn submission(transaction: &Transaction<'_>, job: &JobRow) -> Result<(), Fault> {
    let id = number(job.id.0)?;
    let Submission { client_key, name, model, priority, early_look, taken, videos } = &job.submission;
    let key = (!client_key.is_empty()).then_some(client_key);
    execute(
        transaction,
        "INSERT INTO job (id, client_key, name, model, priority, early_look, submitted, submitted_elapsed, taken, output,
         report, asked) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            id,
            key,
            name,
            model,
            priority,
            early_look,
            finite(job.submitted.at),
            finite(job.submitted.elapsed),
            word(taken)?,
            job.output.to_string_lossy(),
            job.report,
            word(&job.asked)?,
        ],
    )?;
    let mut insert = transaction.prepare_cached("INSERT INTO video (job, place, request) VALUES (?1, ?2, ?3)")?;
    for (place, request) in (0u32..).zip(videos) {
        insert.execute(params![id, place, exact(request)?])?;
    }
    Ok(())
}

fn resolved(transaction: &Transaction<'_>, job: JobId, videos: &[Result<VideoSpec, String>]) -> Result<(), Fault> {
    let id = number(job.0)?;
    changed(execute_counting(transaction, "UPDATE job SET resolved = 1 WHERE id = ?1", params![id])?, job)?;
    let mut update = transaction
        .prepare_cached("UPDATE video SET number = ?3, spec = ?4, refused = ?5 WHERE job = ?1 AND place = ?2")?;
    let mut planned = 0u32;
    for (place, video) in (0u32..).zip(videos) {
        let (spec, refused) = match video {
            Ok(spec) => (Some(exact(spec)?), None),
            Err(refused) => (None, Some(refused)),
        };
        let found = update.execute(params![id, place, spec.as_ref().map(|_| planned), spec, refused])?;
        changed(found, VideoId { job, index: place })?;
        planned += u32::from(spec.is_some());
    }
    Ok(())
}

fn requeued(transaction: &Transaction<'_>, job: JobId) -> Result<(), Fault> {
    let id = number(job.0)?;
    let sql = "UPDATE job SET resolved = 0, state = NULL, held = NULL, ended = NULL, ended_elapsed = NULL,
         totals = NULL, reported = NULL WHERE id = ?1 AND plan IS NULL";
    changed(execute_counting(transaction, sql, params![id])?, job)?;
    execute(transaction, "UPDATE video SET number = NULL, spec = NULL, refused = NULL WHERE job = ?1", params![id])
}

fn plan(transaction: &Transaction<'_>, plan: &JobPlan) -> Result<(), Fault> {
    let id = number(plan.id.0)?;
    let without_videos = JobPlan {
        id: plan.id,
        priority: plan.priority,
        model: plan.model.clone(),
        early_look: plan.early_look,
        videos: Vec::new(),
    };
    let sql = "UPDATE job SET plan = ?2 WHERE id = ?1";
    changed(execute_counting(transaction, sql, params![id, json(&without_videos)?])?, plan.id)?;
    let mut update = transaction.prepare_cached("UPDATE video SET plan = ?3 WHERE job = ?1 AND number = ?2")?;
    for (index, video) in (0u32..).zip(&plan.videos) {
        changed(update.execute(params![id, index, json(video)?])?, VideoId { job: plan.id, index })?;
    }
    Ok(())
}

fn change(transaction: &Transaction<'_>, change: &Change) -> Result<(), Fault> {
    match change {
        Change::JobAdded(plan) => self::plan(transaction, plan),
        Change::JobPhase { job, state } => {
            let sql = "UPDATE job SET state = ?2 WHERE id = ?1";
            changed(execute_counting(transaction, sql, params![number(job.0)?, word(state)?])?, job)
        }
        Change::JobPriority { job, priority } => {
            let sql = "UPDATE job SET priority_now = ?2 WHERE id = ?1";
            changed(execute_counting(transaction, sql, params![number(job.0)?, priority])?, job)
        }
        Change::WeightsPinned { job, role, weights: Some(weights) } => execute(
            transaction,
            "INSERT INTO pin (job, role, weights) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET weights = excluded.weights",
            params![number(job.0)?, role.name(), weights.to_string()],
        ),
        Change::WeightsPinned { job, role, weights: None } => {
            execute(transaction, "DELETE FROM pin WHERE job = ?1 AND role = ?2", params![number(job.0)?, role.name()])
        }
        Change::JobForgotten(job) => execute(transaction, "DELETE FROM job WHERE id = ?1", params![number(job.0)?]),
        Change::VideoPhase { video, state } => {
            let (state, failure) = match state {
                VideoPhase::Open => ("open", None),
                VideoPhase::Done => ("done", None),
                VideoPhase::Failed(failure) => ("failed", Some(failure)),
                VideoPhase::Cancelled => ("cancelled", None),
            };
            let failure = failure.map(json).transpose()?;
            let sql = "UPDATE video SET state = ?3, failure = ?4 WHERE job = ?1 AND number = ?2";
            let values = params![number(video.job.0)?, video.index, state, failure];
            changed(execute_counting(transaction, sql, values)?, video)
        }
        Change::ArtifactDurable { artifact, tensors } => durable(transaction, artifact, &json(tensors)?),
        Change::TextKept { text, tensors, weights, job } => execute(
            transaction,
            "INSERT INTO text_artifact (text, tensors, weights, job) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tensors = excluded.tensors, weights = excluded.weights, job = excluded.job",
            params![text.0.to_string(), json(tensors)?, weights.to_string(), number(job.0)?],
        ),
        Change::ArtifactForgotten(artifact) => forgotten(transaction, artifact),
        Change::AttemptIssued { attempt, item, text, worker, incarnation } => execute(
            transaction,
            "INSERT INTO attempt (id, job, video, stage, first_step, end_step, text, worker, incarnation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                number(attempt.0)?,
                number(item.video.job.0)?,
                item.video.index,
                item.stage.name(),
                item.steps.first,
                item.steps.end,
                text.map(|text| text.0.to_string()),
                worker.to_string(),
                incarnation.to_string(),
            ],
        ),
        Change::AttemptEnded { attempt, end, steps, timing } => {
            let (outcome, failure) = outcome(end);
            let failure = failure.map(json).transpose()?;
            let StepTiming { seconds, step_seconds, forward_passes, input_wait_seconds, text_tokens, load_seconds } =
                timing;
            let step_seconds: Vec<f64> = step_seconds.iter().copied().map(finite).collect();
            let found = execute_counting(
                transaction,
                "UPDATE attempt SET outcome = ?2, failure = ?3, ran_first = ?4, ran_end = ?5, seconds = ?6,
                 step_seconds = ?7, input_wait_seconds = ?8, forward_passes = ?9, text_tokens = ?10,
                 load_seconds = ?11 WHERE id = ?1",
                params![
                    number(attempt.0)?,
                    outcome,
                    failure,
                    steps.first,
                    steps.end,
                    finite(*seconds),
                    json(&step_seconds)?,
                    finite(*input_wait_seconds),
                    json(forward_passes)?,
                    text_tokens,
                    finite(*load_seconds),
                ],
            )?;
            changed(found, attempt)
        }
        Change::WorkerState { worker, name, draining, assigned, set_aside } => execute(
            transaction,
            "INSERT INTO worker_state (worker, name, draining, assigned, set_aside) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET name = excluded.name, draining = excluded.draining,
             assigned = excluded.assigned, set_aside = excluded.set_aside",
            params![worker.to_string(), name, draining, assigned.as_ref().map(json).transpose()?, set_aside],
        ),
        Change::WorkerForgotten(worker) => {
            execute(transaction, "DELETE FROM worker_state WHERE worker = ?1", params![worker.to_string()])
        }
    }
}

fn durable(transaction: &Transaction<'_>, artifact: &ArtifactId, tensors: &str) -> Result<(), Fault> {
    match artifact {
        ArtifactId::Text(text) => execute(
            transaction,
            "INSERT INTO text_artifact (text, tensors) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET tensors = excluded.tensors, weights = NULL, job = NULL",
            params![text.0.to_string(), tensors],
        ),
        ArtifactId::Image(video) => execute(
            transaction,
            "INSERT INTO image_artifact (job, video, tensors) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET tensors = excluded.tensors",
            params![number(video.job.0)?, video.index, tensors],
        ),
        ArtifactId::Checkpoint { video, steps_done } => execute(
            transaction,
            "INSERT INTO checkpoint (job, video, steps_done, tensors) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET tensors = excluded.tensors",
            params![number(video.job.0)?, video.index, steps_done, tensors],
        ),
    }
}

fn forgotten(transaction: &Transaction<'_>, artifact: &ArtifactId) -> Result<(), Fault> {
    match artifact {
        ArtifactId::Text(text) => {
            execute(transaction, "DELETE FROM text_artifact WHERE text = ?1", params![text.0.to_string()])
        }
        ArtifactId::Image(video) => execute(
            transaction,
            "DELETE FROM image_artifact WHERE job = ?1 AND video = ?2",
            params![number(video.job.0)?, video.index],
        ),
        ArtifactId::Checkpoint { video, steps_done } => execute(
            transaction,
            "DELETE FROM checkpoint WHERE job = ?1 AND video = ?2 AND steps_done = ?3",
            params![number(video.job.0)?, video.index, steps_done],
        ),
    }
}

fn outcome(end: &AttemptEnd) -> (&'static str, Option<&Failure>) {
    match end {
        AttemptEnd::Done => ("done", None),
        AttemptEnd::Failed(failure) => ("failed", Some(failure)),
        AttemptEnd::Revoked => ("revoked", None),
        AttemptEnd::Lost => ("lost", None),
    }
}

fn execute(transaction: &Transaction<'_>, sql: &str, values: impl Params) -> Result<(), Fault> {
    execute_counting(transaction, sql, values).map(drop)
}

fn execute_counting(transaction: &Transaction<'_>, sql: &str, values: impl Params) -> Result<usize, Fault> {
    Ok(transaction.prepare_cached(sql)?.execute(values)?)
}

/// Refuses to change what is not there.
fn changed(rows: usize, what: impl std::fmt::Display) -> Result<(), Fault> {
    if rows == 0 { Err(Fault::Value(format!("{what} is not in it"))) } else { Ok(()) }
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<String, Fault> {
    Ok(serde_json::to_string(value)?)
}

/// As [`json`], of what holds numbers with fractions: one that is infinite or none is written as nothing, and what
/// cannot be read again would keep the coordinator from ever starting.
fn exact<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Result<String, Fault> {
    let text = json(value)?;
    let read: Result<T, _> = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text));
    match read {
        Ok(read) if read == *value => Ok(text),
        Ok(_) => Err(Fault::Value("it holds a number that is none".to_owned())),
        Err(error) => Err(Fault::Value(format!("{}: {}", error.path(), error.inner()))),
    }
}

/// The name of a unit variant.
fn word(value: &impl Serialize) -> Result<String, Fault> {
    match serde_json::to_value(value)? {
        serde_json::Value::String(word) => Ok(word),
        other => Err(Fault::Value(format!("{other} is no word"))),
    }
}

/// SQLite counts to 2⁶³.
fn number(value: u64) -> Result<i64, Fault> {
    i64::try_from(value).map_err(|_| Fault::Value(format!("{value} is too large a number")))
}

/// Durations come from workers; one that is no number must not make a row unreadable.
fn finite(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds } else { 0.0 }
}
