//! Videos once more with other seeds, as a job of their own. What was rendered stays.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use wanfarm_client::Submitted;
use wanfarm_server::farm::{FarmService, Seeds};
use wanfarm_types::JobId;

use crate::input::{self, Caller};
use crate::problem::{Answer, Problem};
use crate::submit::Queued;

pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/jobs/{job}/rerender", post(some)).route("/jobs/{job}/videos/{video}/rerender", post(one))
}

/// Which videos.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// By their places in the manifest.
    #[schema(schema_with = places)]
    videos: BTreeSet<u32>,
}

/// Renders videos of a job again with new seeds, as a job of its own. Files get names that are free.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{job}/rerender",
    tag = "jobs",
    params(
        ("job" = JobId, Path, description = "The job"),
    ),
    request_body = Chosen,
    responses(
        (status = 201, description = "The job that renders them", body = Queued, headers(("location" = String, description = "Its path"))),
        (status = 507, description = "A disk has no room"),
    ),
)]
async fn some(
    State(farm): State<FarmService>,
    input::Job(job): input::Job,
    Caller(by): Caller,
    input::Json(Chosen { videos }): input::Json<Chosen>,
) -> Answer<Response> {
    if videos.is_empty() {
        return Err(Problem::bad_request("videos: name at least one"));
    }
    queue(&farm, job, videos.into_iter().collect(), Seeds::Drawn, &by).await
}

/// At least one place in a manifest, which its type would not say.
fn places() -> Array {
    let place = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .minimum(Some(0))
        .maximum(Some(u32::MAX))
        .build();
    ArrayBuilder::new().items(place).min_items(Some(1)).build()
}

/// The greatest whole number that every program can hold.
const MAX_SEED: u64 = (1 << 53) - 1;

/// With which seed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Seed {
    /// Absent: one that is drawn.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    seed: Option<u64>,
}

/// Renders a video again with another seed, as a job of its own. Files get names that are free.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{job}/videos/{video}/rerender",
    tag = "videos",
    params(
        ("job" = JobId, Path, description = "The job"),
        ("video" = u32, Path, description = "The video, by its place in the manifest"),
    ),
    request_body = Seed,
    responses(
        (status = 201, description = "The job that renders it", body = Queued, headers(("location" = String, description = "Its path"))),
        (status = 507, description = "A disk has no room"),
    ),
)]
async fn one(
    State(farm): State<FarmService>,
    input::Video(job, video): input::Video,
    Caller(by): Caller,
    input::Json(Seed { seed }): input::Json<Seed>,
) -> Answer<Response> {
    if seed.is_some_and(|seed| seed > MAX_SEED) {
        return Err(Problem::bad_request(format!("seed: at most {MAX_SEED}, which every program can hold")));
    }
    queue(&farm, job, vec![video], seed.map_or(Seeds::Drawn, Seeds::Given), &by).await
}

async fn queue(farm: &FarmService, job: JobId, videos: Vec<u32>, seeds: Seeds, by: &str) -> Answer<Response> {
    let (Submitted { job, renamed, left_out, .. }, shortages) = farm.render_again(job, videos, seeds, by).await?;
    let id = job.ok_or_else(|| Problem::bad_request("nothing is left to render"))?;
    let queued = Queued { id, line: farm.line(id).await?, renamed, left_out, shortages };
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/api/v1/jobs/{id}"))], Json(queued)).into_response())
}
