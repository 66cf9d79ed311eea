//! Workers: told, steered, forgotten.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wanfarm_client::WorkerVerb;
use wanfarm_server::farm::FarmService;
use wanfarm_types::about::check_note;
use wanfarm_types::{Role, WorkerId, WorkerStatus};

use crate::input::{self, Caller};
use crate::problem::{Answer, Problem};

/// The routes of workers.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/workers", get(list)).route("/workers/{worker}", get(one).patch(change).delete(forget))
}

#[derive(Serialize, ToSchema)]
struct Workers {
    workers: Vec<WorkerStatus>,
}

/// The workers, those included that have gone and are not forgotten.
#[utoipa::path(
    get,
    path = "/api/v1/workers",
    tag = "workers",
    responses((status = 200, description = "All workers", body = Workers)),
)]
async fn list(State(farm): State<FarmService>) -> Answer<Json<Workers>> {
    Ok(Json(Workers { workers: farm.workers().await? }))
}

/// One worker.
#[utoipa::path(
    get,
    path = "/api/v1/workers/{worker}",
    tag = "workers",
    params(
        ("worker" = WorkerId, Path, description = "The worker"),
    ),
    responses((status = 200, description = "The worker", body = WorkerStatus)),
)]
async fn one(State(farm): State<FarmService>, input::Worker(worker): input::Worker) -> Answer<Json<WorkerStatus>> {
    Ok(Json(line_of(&farm, worker).await?))
}

async fn line_of(farm: &FarmService, worker: WorkerId) -> Answer<WorkerStatus> {
    let line = farm.workers().await?.into_iter().find(|line| line.id == worker);
    line.ok_or_else(|| Problem::not_found(format!("there is no worker {worker}")))
}

/// What a worker is to do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerChange)]
struct Change {
    state: Option<Wanted>,
    /// The roles of which it is given work, of all that it serves; `null`: all of them. Absent: as before.
    #[serde(default, deserialize_with = "input::present")]
    #[schema(value_type = Option<Vec<Role>>, min_items = 1)]
    assigned: Option<Option<BTreeSet<Role>>>,
    /// What there is to say of it, at most 4000 characters; `null`: nothing any more. Absent: as before.
    #[serde(default, deserialize_with = "input::present")]
    #[schema(value_type = Option<String>, max_length = 4000, pattern = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$")]
    note: Option<Option<String>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WantedWorkerState)]
enum Wanted {
    /// It finishes the steps it has, then its process ends.
    Drained,
    /// It gets work again.
    Enabled,
}

/// Drains a worker, gives it work again, chooses the roles of which it gets some, or says something of it. What is absent stays as it is.
#[utoipa::path(
    patch,
    path = "/api/v1/workers/{worker}",
    tag = "workers",
    params(
        ("worker" = WorkerId, Path, description = "The worker"),
    ),
    request_body = Change,
    responses((status = 200, description = "The worker as it is now", body = WorkerStatus)),
)]
async fn change(
    State(farm): State<FarmService>,
    input::Worker(worker): input::Worker,
    Caller(by): Caller,
    input::Json(change): input::Json<Change>,
) -> Answer<Json<WorkerStatus>> {
    if change.assigned.iter().flatten().any(BTreeSet::is_empty) {
        return Err(Problem::bad_request("assigned: name at least one role, or null for all that it serves"));
    }
    if let Some(Some(note)) = &change.note {
        check_note(note).map_err(|bad| Problem::bad_request(bad.to_string()))?;
    }
    let assigned = change.assigned.map(|roles| roles.map_or(WorkerVerb::Auto, WorkerVerb::Assign));
    let state = change.state.map(|state| match state {
        Wanted::Drained => WorkerVerb::Drain,
        Wanted::Enabled => WorkerVerb::Enable,
    });
    // Nothing is done by half: roles can be refused, what comes after them no more.
    for verb in assigned.into_iter().chain(change.note.map(WorkerVerb::Note)).chain(state) {
        farm.steer_worker(worker, verb, &by).await?;
    }
    Ok(Json(line_of(&farm, worker).await?))
}

/// Forgets a worker that has gone.
#[utoipa::path(
    delete,
    path = "/api/v1/workers/{worker}",
    tag = "workers",
    params(
        ("worker" = WorkerId, Path, description = "The worker"),
    ),
    responses((status = 204, description = "It is forgotten")),
)]
async fn forget(
    State(farm): State<FarmService>,
    input::Worker(worker): input::Worker,
    Caller(by): Caller,
) -> Answer<StatusCode> {
    farm.steer_worker(worker, WorkerVerb::Forget, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
