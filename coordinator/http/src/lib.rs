//! The coordinator over HTTP, on the port of its gRPC services: pages for people, and JSON for programs.
//!
//! What is answered is what the gRPC services answer, in the types that the command line prints with `--json`; nothing is
//! decided here.

mod pages;
mod problem;
mod unknown;

use axum::Router;

/// Every route of the coordinator over HTTP. Paths that nobody serves end here as well.
pub fn router() -> Router {
    Router::new().fallback(unknown::path)
}
