//! Reads what was tried, beside the one who writes.

use rusqlite::types::Value;
use rusqlite::{Row as Line, params_from_iter};
use wanfarm_types::{AttemptId, AttemptLine, Failure, JobId, WorkerId};

use super::history::cut;
use super::read::{count, get, optional, text, word};
use super::{Fault, History};
use crate::store::StoreError;
use crate::times::rfc3339;

/// Which attempts are asked for. Those that ended before they began are never told.
#[derive(Debug, Clone, Default)]
pub struct AskedAttempts {
    /// Only those with greater ids.
    pub after: u64,
    /// Only those that were not over by then, in seconds since 1970.
    pub since: Option<f64>,
    /// Only those that had begun by then, likewise.
    pub until: Option<f64>,
    /// Only those of this job.
    pub job: Option<JobId>,
    /// Of that job only those of this video, by its place in the manifest.
    pub video: Option<u32>,
    /// Only those on this worker.
    pub worker: Option<WorkerId>,
    /// At most so many, the oldest.
    pub limit: u32,
}

const SELECT: &str = "SELECT attempt.*, video.place AS place, worker.name AS worker_name FROM attempt
    JOIN video ON video.job = attempt.job AND video.number = attempt.video
    LEFT JOIN worker ON worker.id = attempt.worker
    WHERE attempt.id > ?1 AND (begun IS NOT NULL OR outcome IS NULL)";

impl History {
    /// The attempts that are asked for, oldest first. Blocks.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn attempts(&self, asked: &AskedAttempts) -> Result<Vec<AttemptLine>, StoreError> {
        let mut sql = SELECT.to_owned();
        let mut values = vec![Value::from(cut(asked.after))];
        let mut only = |condition: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.push(value);
                sql += &format!(" AND {}", condition.replace('?', &format!("?{}", values.len())));
            }
        };
        only("(outcome IS NULL OR begun + coalesce(attempt.seconds, 0) >= ?)", asked.since.map(Value::from));
        only("begun <= ?", asked.until.map(Value::from));
        only("attempt.job = ?", asked.job.map(|job| Value::from(cut(job.0))));
        only("video.place = ?", asked.video.map(|video| Value::from(i64::from(video))));
        only("attempt.worker = ?", asked.worker.map(|worker| Value::from(worker.to_string())));
        values.push(Value::from(i64::from(asked.limit)));
        sql += &format!(" ORDER BY attempt.id LIMIT ?{}", values.len());
        self.with(|database| {
            let mut statement = database.prepare_cached(&sql)?;
            let (mut lines, mut attempts) = (statement.query(params_from_iter(values))?, Vec::new());
            while let Some(line) = lines.next()? {
                attempts.push(attempt(line)?);
            }
            Ok(attempts)
        })
    }
}

fn attempt(line: &Line<'_>) -> Result<AttemptLine, Fault> {
    let result = get::<Option<String>>(line, "outcome")?.map(|_| word(line, "outcome")).transpose()?;
    let (first, end): (Option<u32>, Option<u32>) = (get(line, "ran_first")?, get(line, "ran_end")?);
    let steps = first.zip(end).filter(|(first, end)| first < end);
    Ok(AttemptLine {
        id: AttemptId(count(line, "id")?),
        job: JobId(count(line, "job")?),
        video: get(line, "place")?,
        stage: word(line, "stage")?,
        worker: WorkerId(text(line, "worker")?),
        name: get(line, "worker_name")?,
        first_step: steps.map(|(first, _)| first),
        last_step: steps.map(|(_, end)| end - 1),
        begun: get::<Option<f64>>(line, "begun")?.and_then(rfc3339),
        seconds: get(line, "seconds")?,
        queue_seconds: get(line, "waited")?,
        input_wait_seconds: get(line, "input_wait_seconds")?,
        load_seconds: get(line, "load_seconds")?,
        result,
        error: optional::<Failure>(line, "failure")?.map(|failure| failure.message),
    })
}
