//! Tables into rows, parents first. A value that [`super::write`] does not write is refused: it is better not to
//! start than to go on from half of a farm. What is refused can be listed, for people to set it aside.

use std::str::FromStr;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Row as Line};
use serde::de::DeserializeOwned;
use uuid::Uuid;
use wanfarm_manifest::Submission;
use wanfarm_manifest::first_frame::Image;
use wanfarm_scheduler::{ArtifactId, AttemptEnd, Change, JobPlan, TextKey, VideoPhase, VideoPlan};
use wanfarm_types::{
    AttemptId, ClipLength, GrantId, Incarnation, JobId, StepRange, StepTiming, VideoId, VideoSpec, WebhookId, WorkItem,
    WorkerId,
};

use super::Fault;
use crate::access::GrantRow;
use crate::store::{EventRow, JobEnd, JobRow, Row, WebhookRow};
use crate::times::Moment;

/// A line of a table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) table: &'static str,
    pub(super) line: i64,
    /// The job that it is of.
    pub(super) job: Option<i64>,
    /// The table, the column and the fault.
    pub(super) why: String,
}

/// The tables of a database.
struct Tables<'d> {
    database: &'d Connection,
    /// Where lines that cannot be read are listed; without a list the first is an error.
    unreadable: Option<Vec<Unreadable>>,
}

/// All rows but events.
pub(super) fn rows(database: &Connection) -> Result<Vec<Row>, Fault> {
    Tables { database, unreadable: None }.rows()
}

/// The lines that cannot be read, those of events among them.
pub(super) fn unreadable(database: &Connection) -> Result<Vec<Unreadable>, Fault> {
    let mut tables = Tables { database, unreadable: Some(Vec::new()) };
    tables.rows()?;
    tables.each("event", "id", |line| event(line).map(drop))?;
    Ok(tables.unreadable.unwrap_or_default())
}

impl Tables<'_> {
    fn rows(&mut self) -> Result<Vec<Row>, Fault> {
        let database = self.database;
        let mut rows = self.each("model", "name", |line| Ok(Row::Model(json(line, "info")?)))?;
        rows.extend(self.each("weights", "model, role, weights", |line| {
            Ok(Row::Weights {
                model: get(line, "model")?,
                role: word(line, "role")?,
                weights: text(line, "weights")?,
                files: json(line, "files")?,
            })
        })?);
        rows.extend(self.each("image", "digest", |line| {
            let (digest, bytes) = (text(line, "digest")?, count(line, "bytes")?);
            let clip = get::<Option<u32>>(line, "pictures")?;
            let is_timed = get::<Option<i64>>(line, "microseconds")?.is_some();
            let microseconds = is_timed.then(|| count(line, "microseconds")).transpose()?;
            let clip = clip.map(|pictures| ClipLength { pictures, microseconds });
            Ok(Row::Image(Image { digest, bytes, width: get(line, "width")?, height: get(line, "height")?, clip }))
        })?);
        rows.extend(self.each("worker", "id", |line| {
            let worker = WorkerId(text(line, "id")?);
            let (name, device, seen) = (get(line, "name")?, get(line, "device")?, get(line, "seen_elapsed")?);
            Ok(Row::Worker { worker, name, device, seen })
        })?);
        rows.extend(self.each("worker_state", "worker", |line| {
            Ok(Row::Scheduler(Change::WorkerState {
                worker: WorkerId(text(line, "worker")?),
                name: get(line, "name")?,
                draining: get(line, "draining")?,
                assigned: optional(line, "assigned")?,
                set_aside: get(line, "set_aside")?,
            }))
        })?);
        rows.extend(self.each("worker_note", "worker", |line| {
            Ok(Row::WorkerNote { worker: WorkerId(text(line, "worker")?), note: Some(get(line, "note")?) })
        })?);
        rows.extend(self.each("output_mount", "folder", |line| {
            let [folder, mount] = ["folder", "mount"].map(|column| get::<String>(line, column));
            Ok(Row::Mount { folder: folder?.into(), mount: mount?.into() })
        })?);
        rows.extend(self.each("webhook", "id", |line| {
            Ok(Row::Webhook(WebhookRow {
                id: WebhookId(text(line, "id")?),
                url: get(line, "url")?,
                secret: get(line, "secret")?,
                kinds: json(line, "kinds")?,
                created: get(line, "created")?,
                told: count(line, "told")?,
            }))
        })?);
        rows.extend(self.each("access_grant", "id", |line| {
            Ok(Row::Grant(GrantRow {
                id: GrantId(count(line, "id")?),
                name: get(line, "name")?,
                rights: json(line, "rights")?,
                proof: json(line, "proof")?,
                created: get(line, "created")?,
                expires: get(line, "expires")?,
            }))
        })?);
        self.each("job", "id", |line| job(database, line, &mut rows))?;
        rows.extend(self.each("pin", "job, role", |line| {
            let (job, weights) = (JobId(count(line, "job")?), Some(text(line, "weights")?));
            Ok(Row::Scheduler(Change::WeightsPinned { job, role: word(line, "role")?, weights }))
        })?);
        let durable = |artifact, line: &Line<'_>| {
            Ok(Row::Scheduler(Change::ArtifactDurable { artifact, tensors: json(line, "tensors")? }))
        };
        rows.extend(self.each("text_artifact", "text", |line| {
            let key = TextKey(text(line, "text")?);
            if get::<Option<String>>(line, "weights")?.is_none() {
                return durable(ArtifactId::Text(key), line);
            }
            let (tensors, weights, job) = (json(line, "tensors")?, text(line, "weights")?, JobId(count(line, "job")?));
            Ok(Row::Scheduler(Change::TextKept { text: key, tensors, weights, job }))
        })?);
        rows.extend(self.each("image_artifact", "job, video", |line| durable(ArtifactId::Image(video(line)?), line))?);
        rows.extend(self.each("checkpoint", "job, video, steps_done", |line| {
            durable(ArtifactId::Checkpoint { video: video(line)?, steps_done: get(line, "steps_done")? }, line)
        })?);
        self.each("attempt", "id", |line| attempt(line, &mut rows))?;
        Ok(rows)
    }

    /// What `read` makes of every line of a table, in order. What is wrong with one is told with the table's name.
    fn each<T>(
        &mut self,
        table: &'static str,
        order: &str,
        mut read: impl FnMut(&Line<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.database.prepare(&format!("SELECT rowid AS line, * FROM {table} ORDER BY {order}"))?;
        let job = ["id", "job"].into_iter().find(|column| match table {
            "job" => *column == "id",
            _ => *column == "job" && statement.column_names().any(|name| name == *column),
        });
        let (mut lines, mut found) = (statement.query([])?, Vec::new());
        while let Some(line) = lines.next()? {
            let fault = match read(line) {
                Ok(made) => {
                    found.push(made);
                    continue;
                }
                Err(fault) => in_table(table, fault),
            };
            match (&mut self.unreadable, fault) {
                (Some(list), Fault::Value(why)) => {
                    let job = job.map(|column| get::<Option<i64>>(line, column)).transpose()?.flatten();
                    list.push(Unreadable { table, line: get(line, "line")?, job, why });
                }
                (_, fault) => return Err(fault),
            }
        }
        Ok(found)
    }
}

/// A job with its videos.
fn job(database: &Connection, line: &Line<'_>, rows: &mut Vec<Row>) -> Result<(), Fault> {
    let id = JobId(number(line)?);
    let mut requests = Vec::new();
    let (mut resolved, mut plans, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let mut statement = database.prepare_cached("SELECT * FROM video WHERE job = ?1 ORDER BY place")?;
    let mut videos = statement.query([get::<i64>(line, "id")?])?;
    let mut take = |video: &Line<'_>| {
        requests.push(json(video, "request")?);
        let spec: Option<VideoSpec> = optional(video, "spec")?;
        if let Some(settings) = spec.map(Ok).or(get::<Option<String>>(video, "refused")?.map(Err)) {
            resolved.push(settings);
        }
        plans.extend(optional::<VideoPlan>(video, "plan")?);
        states.extend(state(id, video)?.map(Row::Scheduler));
        if let Some(written) = optional(video, "written")? {
            let place = VideoId { job: id, index: get(video, "place")? };
            let (verdict, seconds) = (get(video, "verdict")?, get(video, "seconds")?);
            // Not told before format 13.
            let frames = optional(video, "frames")?.unwrap_or_default();
            states.push(Row::Outputs { video: place, written, verdict, seconds, frames });
        }
        let [started, ended] = [get::<Option<f64>>(video, "started")?, get(video, "ended")?];
        if started.is_some() || ended.is_some() {
            let place = VideoId { job: id, index: get(video, "place")? };
            states.push(Row::VideoTimes { video: place, started, ended });
        }
        Ok(())
    };
    while let Some(video) = videos.next()? {
        take(video).map_err(|fault| in_table("video", fault))?;
    }
    rows.push(Row::Job(JobRow {
        id,
        submission: Submission {
            client_key: get::<Option<String>>(line, "client_key")?.unwrap_or_default(),
            name: get(line, "name")?,
            model: get(line, "model")?,
            priority: get(line, "priority")?,
            early_look: get(line, "early_look")?,
            taken: word(line, "taken")?,
            videos: requests,
        },
        asked: word(line, "asked")?,
        submitted: Moment { at: get(line, "submitted")?, elapsed: get(line, "submitted_elapsed")? },
        output: get::<String>(line, "output")?.into(),
        report: get(line, "report")?,
    }));
    if get(line, "resolved")? {
        rows.push(Row::Resolved { job: id, videos: resolved });
    }
    if let Some(plan) = optional::<JobPlan>(line, "plan")? {
        rows.push(Row::Scheduler(Change::JobAdded(JobPlan { videos: plans, ..plan })));
    }
    rows.extend(states);
    if get::<Option<String>>(line, "state")?.is_some() {
        rows.push(Row::Scheduler(Change::JobPhase { job: id, state: word(line, "state")? }));
    }
    if let Some(priority) = get(line, "priority_now")? {
        rows.push(Row::Scheduler(Change::JobPriority { job: id, priority }));
    }
    if let Some(about) = optional(line, "about")? {
        rows.push(Row::About { job: id, about });
    }
    if let Some(at) = get(line, "forecast_at")? {
        rows.push(Row::Forecast { job: id, at, seconds: get(line, "forecast_seconds")? });
    }
    if let Some(reason) = get(line, "held")? {
        rows.push(Row::Suspended { job: id, reason: Some(reason) });
    }
    if let Some(at) = get(line, "ended")? {
        let at = Moment { at, elapsed: get(line, "ended_elapsed")? };
        let end = JobEnd { at, totals: json(line, "totals")? };
        rows.push(Row::Ended { job: id, end: Some(Box::new(end)) });
    }
    if let Some(at) = get(line, "reported")? {
        rows.push(Row::Reported { job: id, at: Some(at) });
    }
    Ok(())
}

fn state(job: JobId, line: &Line<'_>) -> Result<Option<Change>, Fault> {
    let Some(word) = get::<Option<String>>(line, "state")? else { return Ok(None) };
    let state = match word.as_str() {
        "open" => VideoPhase::Open,
        "done" => VideoPhase::Done,
        "failed" => VideoPhase::Failed(json(line, "failure")?),
        "cancelled" => VideoPhase::Cancelled,
        other => return Err(Fault::Value(format!("column state: {other:?} is no state of a video"))),
    };
    Ok(Some(Change::VideoPhase { video: VideoId { job, index: get(line, "number")? }, state }))
}

fn attempt(line: &Line<'_>, rows: &mut Vec<Row>) -> Result<(), Fault> {
    let attempt = AttemptId(number(line)?);
    let steps = StepRange { first: get(line, "first_step")?, end: get(line, "end_step")? };
    let reads_text = get::<Option<String>>(line, "text")?.is_some();
    rows.push(Row::Scheduler(Change::AttemptIssued {
        attempt,
        item: WorkItem { video: video(line)?, stage: word(line, "stage")?, steps },
        text: if reads_text { Some(TextKey(text(line, "text")?)) } else { None },
        worker: WorkerId(text::<Uuid>(line, "worker")?),
        incarnation: Incarnation(text::<Uuid>(line, "incarnation")?),
    }));
    if let Some(at) = get(line, "begun")? {
        let at = Moment { at, elapsed: get(line, "begun_elapsed")? };
        rows.push(Row::Begun { attempt, at, waited: get(line, "waited")? });
    }
    let Some(outcome) = get::<Option<String>>(line, "outcome")? else { return Ok(()) };
    let end = match outcome.as_str() {
        "done" => AttemptEnd::Done,
        "failed" => AttemptEnd::Failed(json(line, "failure")?),
        "revoked" => AttemptEnd::Revoked,
        "lost" => AttemptEnd::Lost,
        other => return Err(Fault::Value(format!("column outcome: {other:?} is no end of an attempt"))),
    };
    let steps = StepRange { first: get(line, "ran_first")?, end: get(line, "ran_end")? };
    let timing = StepTiming {
        seconds: get(line, "seconds")?,
        step_seconds: json(line, "step_seconds")?,
        // Not told in format 1.
        forward_passes: optional(line, "forward_passes")?.unwrap_or_default(),
        text_tokens: get::<Option<u32>>(line, "text_tokens")?.unwrap_or_default(),
        input_wait_seconds: get(line, "input_wait_seconds")?,
        load_seconds: get::<Option<f64>>(line, "load_seconds")?.unwrap_or_default(),
    };
    rows.push(Row::Scheduler(Change::AttemptEnded { attempt, end, steps, timing }));
    Ok(())
}

/// An event.
pub(super) fn event(line: &Line<'_>) -> Result<EventRow, Fault> {
    let some = |column| get::<Option<i64>>(line, column)?.map(|_| count(line, column)).transpose();
    let worker = get::<Option<String>>(line, "worker")?.map(|_| text(line, "worker")).transpose()?;
    Ok(EventRow {
        id: number(line)?,
        at: get(line, "at")?,
        kind: word(line, "kind")?,
        job: some("job")?.map(JobId),
        video: get(line, "video")?,
        worker: worker.map(WorkerId),
        name: get(line, "name")?,
        by: get(line, "asker")?,
        before: get(line, "old")?,
        after: get(line, "new")?,
        detail: get(line, "detail")?,
    })
}

fn video(line: &Line<'_>) -> Result<VideoId, Fault> {
    Ok(VideoId { job: JobId(count(line, "job")?), index: get(line, "video")? })
}

/// The table of a value.
fn in_table(table: &str, fault: Fault) -> Fault {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match fault {
        Fault::Value(why) if why.starts_with("table ") => Fault::Value(why),
        Fault::Value(why) => Fault::Value(format!("table {table}: {why}")),
        // A value of another type, or none where one has to be: the engine names the column.
        Fault::Engine(
            engine @ (InvalidColumnType(..) | IntegralValueOutOfRange(..) | FromSqlConversionFailure(..)),
        ) => Fault::Value(format!("table {table}: {engine}")),
        engine => engine,
    }
}

pub(super) fn get<T: FromSql>(line: &Line<'_>, column: &str) -> Result<T, Fault> {
    Ok(line.get(column)?)
}

pub(super) fn count(line: &Line<'_>, column: &str) -> Result<u64, Fault> {
    let value: i64 = get(line, column)?;
    u64::try_from(value).map_err(|_| Fault::Value(format!("column {column}: {value} is below zero")))
}

/// The number of a line in a table that counts its lines. Another one has to follow it.
fn number(line: &Line<'_>) -> Result<u64, Fault> {
    let number = count(line, "id")?;
    let follows = number < i64::MAX.cast_unsigned();
    follows.then_some(number).ok_or_else(|| Fault::Value(format!("column id: no number follows {number}")))
}

fn json<T: DeserializeOwned>(line: &Line<'_>, column: &str) -> Result<T, Fault> {
    let text: String = get(line, column)?;
    serde_json::from_str(&text).map_err(|error| Fault::Value(format!("column {column}: {error}")))
}

pub(super) fn optional<T: DeserializeOwned>(line: &Line<'_>, column: &str) -> Result<Option<T>, Fault> {
    get::<Option<String>>(line, column)?.map(|_| json(line, column)).transpose()
}

pub(super) fn text<T: FromStr<Err: std::fmt::Display>>(line: &Line<'_>, column: &str) -> Result<T, Fault> {
    let value: String = get(line, column)?;
    value.parse().map_err(|error| Fault::Value(format!("column {column}: {value:?}: {error}")))
}

/// A unit variant by its name.
pub(super) fn word<T: DeserializeOwned>(line: &Line<'_>, column: &str) -> Result<T, Fault> {
    let word = serde_json::Value::String(get(line, column)?);
    serde_json::from_value(word).map_err(|error| Fault::Value(format!("column {column}: {error}")))
}
