//! The models that workers have announced.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;
use wanfarm_server::farm::FarmService;
use wanfarm_types::ModelInfo;

use crate::problem::Answer;

pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/models", get(list))
}

#[derive(Serialize, ToSchema)]
struct Models {
    /// Each as workers announce it: its geometry, its defaults, its experts.
    #[schema(value_type = Vec<Object>)]
    models: Vec<ModelInfo>,
}

/// The models that can be named in a manifest: those that a worker has announced and that are not forgotten.
#[utoipa::path(
    get,
    path = "/api/v1/models",
    tag = "farm",
    responses((status = 200, description = "All models", body = Models)),
)]
async fn list(State(farm): State<FarmService>) -> Answer<Json<Models>> {
    Ok(Json(Models { models: farm.models().await? }))
}
