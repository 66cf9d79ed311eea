//! Whether the coordinator runs and answers, which version it is, and how the farm stands as a whole.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;
use wanfarm_server::farm::FarmService;
use wanfarm_server::times::rfc3339_in;

use crate::problem::{Answer, Problem};

/// The routes that probes ask.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

/// The same below the API's prefix.
pub(crate) fn api() -> Router<FarmService> {
    Router::new().route("/version", get(version)).route("/farm", get(of_farm))
}

/// The process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "probes",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
async fn alive() -> &'static str {
    "ok\n"
}

/// Ready is who answers: the driver takes requests, and nothing keeps it from recording what follows.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "probes",
    responses((status = 200, description = "Ready", body = String, content_type = "text/plain")),
)]
async fn ready(State(farm): State<FarmService>) -> Answer<&'static str> {
    match farm.unready().await {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

#[derive(Serialize, ToSchema)]
struct Version {
    version: &'static str,
}

/// The coordinator's version.
#[utoipa::path(
    get,
    path = "/api/v1/version",
    tag = "farm",
    responses((status = 200, description = "The version", body = Version)),
)]
async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION") })
}

/// The farm as a whole.
#[derive(Serialize, Default, ToSchema)]
struct Farm {
    version: &'static str,
    /// How many jobs there are in each state.
    jobs: BTreeMap<&'static str, u64>,
    /// How many videos there are of jobs that have not ended, by where they stand.
    videos: Videos,
    /// How many workers there are in each state.
    workers: BTreeMap<String, u64>,
    /// What jobs cannot go on without, each with the first job that says so.
    waiting_for: Vec<Waiting>,
    /// Until the last file of what is active, by the workers of now; `null` when that cannot be told.
    seconds_left: Option<f64>,
    /// When that will be, in UTC as RFC 3339 has it.
    eta: Option<String>,
}

#[derive(Serialize, Default, ToSchema)]
#[schema(as = VideoCounts)]
struct Videos {
    waiting: u64,
    running: u64,
    done: u64,
    failed: u64,
    cancelled: u64,
}

#[derive(Serialize, ToSchema)]
struct Waiting {
    job: wanfarm_types::JobId,
    waiting_for: String,
}

/// How the farm stands as a whole.
#[utoipa::path(
    get,
    path = "/api/v1/farm",
    tag = "farm",
    responses((status = 200, description = "The farm", body = Farm)),
)]
async fn of_farm(State(service): State<FarmService>) -> Answer<Json<Farm>> {
    let mut farm = Farm { version: env!("CARGO_PKG_VERSION"), ..Farm::default() };
    let jobs = service.jobs().await?;
    for job in &jobs {
        *farm.jobs.entry(job.state.name()).or_default() += 1;
        if job.state.is_end() {
            continue;
        }
        let [all, running, done, failed, cancelled] =
            [job.videos, job.running, job.done, job.failed, job.cancelled].map(u64::from);
        farm.videos.waiting += all.saturating_sub(running + done + failed + cancelled);
        farm.videos.running += running;
        farm.videos.done += done;
        farm.videos.failed += failed;
        farm.videos.cancelled += cancelled;
        let said = |why: &String| farm.waiting_for.iter().any(|told| told.waiting_for == *why);
        if let Some(why) = job.waiting_for.clone().filter(|why| !said(why)) {
            farm.waiting_for.push(Waiting { job: job.job, waiting_for: why });
        }
    }
    for worker in service.workers().await? {
        *farm.workers.entry(worker.state).or_default() += 1;
    }
    farm.seconds_left = service.farm_seconds_left(&jobs).await?;
    farm.eta = farm.seconds_left.and_then(rfc3339_in);
    Ok(Json(farm))
}
