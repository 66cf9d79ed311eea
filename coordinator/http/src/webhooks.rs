//! Webhooks: programs that are told of what happens by a request to them, signed as Standard Webhooks has it.
//!
//! Whoever reaches the coordinator may name one, so it may only lead where the operator has said (`target`). Each is told by
//! a task of its own (`courier`), in order, again and again until it has heard (`letter`, `sign`); how far it is
//! stands in a row, so that a restart loses nothing. What is told twice, after a restart at a bad moment, has the same id.

mod courier;
mod couriers;
mod letter;
mod sign;
mod standing;
mod target;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use wanfarm_server::farm::FarmService;
use wanfarm_server::store::WebhookRow;
use wanfarm_server::times::rfc3339;
use wanfarm_types::{EventKind, WebhookId};

use crate::input::{self, Caller};
use crate::problem::{Answer, Problem};
use couriers::Couriers;
use sign::Secret;
use standing::Standing;
pub use target::{Target, Targets};

/// What is told when nothing else is asked for: what somebody would get up for.
const USUAL: [EventKind; 6] = [
    EventKind::JobEnded,
    EventKind::VideoFailed,
    EventKind::VideoSuspect,
    EventKind::WorkerLost,
    EventKind::DiskFull,
    EventKind::FarmStalled,
];

/// What the routes need.
#[derive(Clone)]
struct Office {
    farm: FarmService,
    targets: Targets,
    couriers: Couriers,
}

/// The routes of webhooks. Those of `farm` are told by tasks that end with it.
pub(crate) fn routes(farm: FarmService, targets: Targets) -> Router<FarmService> {
    let couriers = Couriers::start(farm.clone(), targets.clone());
    Router::new()
        .route("/webhooks", get(list).post(add))
        .route("/webhooks/{webhook}", axum::routing::delete(remove))
        .with_state(Office { farm, targets, couriers })
}

/// A webhook, without what only its owner is to know.
#[derive(Serialize, ToSchema)]
struct Webhook {
    id: WebhookId,
    /// Where it leads, without path and query: these often are passwords.
    place: String,
    /// What it is told.
    types: Vec<EventKind>,
    /// Since when, in UTC as RFC 3339 has it.
    created: Option<String>,
    /// The last event that it was told, or that it need not be told.
    told: u64,
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Serialize, ToSchema)]
struct Webhooks {
    webhooks: Vec<Webhook>,
}

/// Who is told of what happens, and how that goes.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    responses((status = 200, description = "All of them", body = Webhooks)),
)]
async fn list(State(office): State<Office>) -> Answer<Json<Webhooks>> {
    let told = |row: WebhookRow| Webhook {
        standing: office.couriers.standing(row.id),
        place: row.place().to_owned(),
        id: row.id,
        types: row.kinds,
        created: rfc3339(row.created),
        told: row.told,
    };
    Ok(Json(Webhooks { webhooks: office.farm.webhooks().await?.into_iter().map(told).collect() }))
}

/// Whom to tell of what.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Where messages are posted, by http or https. The coordinator has to be started with `--webhook-host` for its host.
    #[schema(max_length = 2000, pattern = "^https?://[!-~]+$")]
    url: String,
    /// What is told; absent: ends of jobs, failed and suspect videos, lost workers, full disks, a farm that stands still.
    #[serde(default)]
    #[schema(schema_with = kinds)]
    types: Option<Vec<String>>,
    /// What messages are signed with: `whsec_` and 24 to 64 bytes in base64. Absent: one that is drawn.
    #[serde(default)]
    #[schema(max_length = 100, pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    secret: Option<String>,
}

/// Which kinds there are, which the type of a word does not say.
fn kinds() -> Array {
    let kind = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(EventKind::ALL.iter().map(|kind| kind.name())))
        .build();
    ArrayBuilder::new().items(kind).min_items(Some(1)).max_items(Some(EventKind::ALL.len())).build()
}

/// A new webhook, told this once with its secret.
#[derive(Serialize, ToSchema)]
struct Added {
    id: WebhookId,
    url: String,
    types: Vec<EventKind>,
    /// Check signatures with it; it is not told again.
    secret: String,
}

/// Tells a program of what happens from now on.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    request_body = Wanted,
    responses(
        (status = 201, description = "It is told", body = Added, headers(("location" = String, description = "Its path"))),
        (status = 403, description = "The coordinator is not to send anything there"),
        (status = 507, description = "There are as many as there may be"),
    ),
)]
async fn add(
    State(office): State<Office>,
    Caller(by): Caller,
    input::Json(wanted): input::Json<Wanted>,
) -> Answer<Response> {
    let uri = target::read(&wanted.url).map_err(|why| Problem::bad_request(format!("url: {why}")))?;
    let kinds = wanted.types.map_or_else(|| Ok(USUAL.to_vec()), |types| types.iter().map(|name| kind(name)).collect());
    let kinds = kinds?;
    if kinds.is_empty() {
        return Err(Problem::bad_request("types: name at least one, or leave it out"));
    }
    let secret = match wanted.secret.as_deref().map(Secret::read) {
        None => Secret::draw(),
        Some(read) => read.map_err(|why| Problem::bad_request(format!("secret: {why}")))?,
    };
    if !office.targets.allow(&uri) {
        return Err(Problem::new(StatusCode::FORBIDDEN, target::refusal(&wanted.url)));
    }
    let id = WebhookId(uuid::Uuid::new_v4());
    let row = WebhookRow::new(id, wanted.url.clone(), secret.text(), kinds.clone());
    office.farm.add_webhook(row, &by).await?;
    office.couriers.look();
    let added = Added { id, url: wanted.url, types: kinds, secret: secret.text() };
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/v1/webhooks/{id}"))], Json(added)).into_response())
}

fn kind(name: &str) -> Answer<EventKind> {
    let known = EventKind::ALL.iter().find(|kind| kind.name() == name);
    let names = || EventKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    known.copied().ok_or_else(|| Problem::bad_request(format!("types: {name:?} is none of {}", names())))
}

/// Tells a program nothing more.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(
        ("webhook" = WebhookId, Path, description = "The webhook"),
    ),
    responses((status = 204, description = "It is told nothing more")),
)]
async fn remove(
    State(office): State<Office>,
    input::Webhook(webhook): input::Webhook,
    Caller(by): Caller,
) -> Answer<StatusCode> {
    office.farm.remove_webhook(webhook, Some(&by)).await?;
    office.couriers.look();
    Ok(StatusCode::NO_CONTENT)
}
