//! The coordinator over HTTP, on the port of its gRPC services: pages for people, and JSON for programs.
//!
//! What is answered is what the gRPC services answer, in the types that the command line prints with `--json`; nothing is
//! decided here.

mod document;
mod events;
mod files;
mod guard;
mod health;
mod input;
mod jobs;
mod metrics;
mod page_of;
mod pages;
mod problem;
mod range;
mod submit;
mod unknown;
mod workers;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use wanfarm_server::farm::FarmService;

/// Most bytes of a body that is read whole.
const MAX_BODY: usize = 64 << 10;

/// Every route of the coordinator over HTTP. Paths that nobody serves end here as well.
pub fn router(farm: FarmService) -> Router {
    let api = Router::new().merge(health::api()).merge(jobs::routes()).merge(files::routes()).merge(workers::routes());
    let api = api.merge(submit::routes()).merge(events::routes(farm.clone()));
    let api = api.layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .nest("/api/v1", api)
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(document::routes())
        .method_not_allowed_fallback(unknown::method)
        .fallback(unknown::path)
        .layer(middleware::from_fn(guard::guard))
        .with_state(farm)
}
