//! What was tried, and what happened: in pages, for those who look back.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wanfarm_server::farm::FarmService;
use wanfarm_server::store::{self, AskedAttempts, Start};
use wanfarm_types::{AttemptLine, EventKind, FarmEvent, JobId, WorkerId};

use crate::input::Asked;
use crate::page_of::{Next, Turn};
use crate::problem::{Answer, Problem};

/// The routes of what has been.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/attempts", get(attempts)).route("/history", get(history))
}

/// Which attempts are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Tried {
    /// Not over by then, as RFC 3339 has it: those that are out are never over.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Begun by then.
    #[param(format = DateTime)]
    until: Option<String>,
    /// On this worker, by its id.
    #[param(value_type = Option<String>, format = Uuid)]
    worker: Option<WorkerId>,
    /// Of this job.
    #[param(maximum = 9_007_199_254_740_991u64)]
    job: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct Attempts {
    attempts: Vec<AttemptLine>,
    #[serde(flatten)]
    next: Next,
}

/// What was tried on which worker, in the order in which it was given out: those that have begun, and those that are out. They
/// are kept as long as their job.
#[utoipa::path(
    get,
    path = "/api/v1/attempts",
    tag = "workers",
    params(Tried, Turn),
    responses((status = 200, description = "A page of attempts", body = Attempts)),
)]
async fn attempts(
    State(farm): State<FarmService>,
    Asked(tried): Asked<Tried>,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<Attempts>> {
    let (after, limit) = turn.of_numbers()?;
    let asked = AskedAttempts {
        after,
        since: tried.since.as_deref().map(|since| moment("since", since)).transpose()?,
        until: tried.until.as_deref().map(|until| moment("until", until)).transpose()?,
        job: tried.job.map(job).transpose()?,
        video: None,
        worker: tried.worker,
        // One more tells whether there is another page.
        limit: limit + 1,
    };
    let (attempts, next) = turn.page(farm.attempts(asked).await?, |attempt| attempt.id.0)?;
    Ok(Json(Attempts { attempts, next }))
}

/// Every program reads whole numbers up to here exactly.
const MAX_JOB: u64 = (1 << 53) - 1;

fn job(number: u64) -> Answer<JobId> {
    let why = || Problem::bad_request(format!("job: {number} is larger than the number of any job"));
    if number > MAX_JOB { Err(why()) } else { Ok(JobId(number)) }
}

fn moment(name: &str, text: &str) -> Answer<f64> {
    let why = || Problem::bad_request(format!("{name}: {text:?} is no time as RFC 3339 has it"));
    wanfarm_server::times::parsed(text).ok_or_else(why)
}

/// Which events are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Happened {
    /// Of this job.
    #[param(maximum = 9_007_199_254_740_991u64)]
    job: Option<u64>,
    /// Of this worker, by its id.
    #[param(value_type = Option<String>, format = Uuid)]
    worker: Option<WorkerId>,
    /// Types, with commas between them.
    #[serde(rename = "type")]
    #[param(value_type = Option<Vec<EventKind>>, style = Form, explode = false)]
    types: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Events {
    events: Vec<FarmEvent>,
    #[serde(flatten)]
    next: Next,
}

/// What has happened on the farm, the newest first: of the last 100,000 events those that are asked for.
#[utoipa::path(
    get,
    path = "/api/v1/history",
    tag = "events",
    params(Happened, Turn),
    responses((status = 200, description = "A page of events", body = Events)),
)]
async fn history(
    State(farm): State<FarmService>,
    Asked(happened): Asked<Happened>,
    Asked(turn): Asked<Turn>,
) -> Answer<Json<Events>> {
    let (cursor, limit) = turn.of_numbers()?;
    let kinds = happened.types.iter().flat_map(|types| types.split(',')).filter(|name| !name.is_empty());
    let kinds = kinds.map(kind).collect::<Answer<_>>()?;
    let asked = store::Asked {
        from: Start::Before(LAST.saturating_sub(cursor)),
        job: happened.job.map(job).transpose()?,
        worker: happened.worker,
        kinds,
        limit: limit + 1,
    };
    let (events, next) = turn.page(farm.events(asked).await?, |event| LAST.saturating_sub(event.id))?;
    Ok(Json(Events { events, next }))
}

/// Greater than the number of every event; cursors count down from it.
const LAST: u64 = i64::MAX.unsigned_abs();

fn kind(name: &str) -> Answer<EventKind> {
    let known = EventKind::ALL.iter().chain([&EventKind::Unknown]).find(|kind| kind.name() == name);
    known.copied().ok_or_else(|| Problem::bad_request(format!("type: {name:?} is none; the document names them")))
}
