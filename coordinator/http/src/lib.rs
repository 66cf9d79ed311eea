//! The coordinator over HTTP, on the port of its gRPC services: pages for people, and JSON for programs.
//!
//! What is answered is what the gRPC services answer, in the types that the command line prints with `--json`; nothing is
//! decided here.

mod archive;
mod arrival;
mod blobs;
mod content;
mod document;
mod enter;
mod events;
mod files;
mod guard;
mod health;
mod input;
mod jobs;
mod metrics;
mod models;
mod openai;
mod page_of;
mod pages;
mod past;
mod poster;
mod preview;
mod problem;
mod range;
mod reader;
mod rerender;
mod sse;
mod submit;
mod traces;
mod unknown;
mod webhooks;
mod wire;
mod worker_log;
mod workers;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use wanfarm_server::farm::FarmService;

pub use guard::Hosts;
pub use traces::Collector;
pub use webhooks::{Target, Targets};

/// Most bytes of a body that is read whole.
const MAX_BODY: usize = 64 << 10;

/// What the coordinator has to do with the world outside, as its operator says.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Names that it is asked for by beside those of its own network.
    pub hosts: Hosts,
    /// Where webhooks may lead.
    pub targets: Targets,
    /// Where traces are sent.
    pub collector: Option<Collector>,
}

/// Every route of the coordinator over HTTP. Paths that nobody serves end here as well. What is told to the world outside is told
/// by tasks that end with the coordinator.
pub fn router(farm: FarmService, outside: Outside) -> Router {
    let Outside { hosts, targets, collector } = outside;
    if let Some(collector) = collector {
        tokio::spawn(traces::send(farm.clone(), collector));
    }
    let api = Router::new()
        .merge(health::api())
        .merge(jobs::routes())
        .merge(files::routes())
        .merge(workers::routes())
        .merge(worker_log::routes());
    let api = api
        .merge(archive::routes())
        .merge(submit::routes())
        .merge(rerender::routes())
        .merge(past::routes())
        .merge(poster::routes())
        .merge(preview::routes())
        .merge(events::routes(farm.clone()))
        .merge(webhooks::routes(farm.clone(), targets))
        .merge(blobs::routes())
        .merge(models::routes());
    let api = api.layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .nest("/api/v1", api)
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(openai::routes())
        .merge(document::routes())
        .merge(enter::routes())
        .method_not_allowed_fallback(unknown::method)
        .fallback(unknown::path)
        .layer(middleware::from_fn_with_state(hosts, guard::guard))
        .with_state(farm)
}
