//! What is served, as OpenAPI has it: for those who write clients, and for tools that do.
//!
//! A request's own answers stand beside what answers it; what any request may meet is added here, by what it has: a path that
//! may name nothing, a query or a body that may make no sense, something to change.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use wanfarm_manifest::Taken;
use wanfarm_server::farm::FarmService;

use crate::problem::{PROBLEM_JSON, Problem};
use crate::{
    archive, blobs, events, files, health, jobs, metrics, models, openai, past, poster, preview, rerender, submit,
    webhooks, worker_log, workers,
};

/// The document. It does not change while the program runs.
static TEXT: LazyLock<Bytes> = LazyLock::new(|| Api::openapi().to_json().unwrap_or_default().into());

/// The route of the document.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/api/openapi.json", get(document))
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    tag = "farm",
    responses((status = 200, description = "The document", content_type = "application/json")),
)]
async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wanfarm",
        description = "A coordinator of a render farm: its jobs, their videos, its workers. What is not known is `null`; fields are \
                       only ever added.",
        license(name = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "The coordinator that tells this")),
    tags(
        (name = "jobs", description = "What is to be rendered"),
        (name = "videos", description = "The videos of jobs"),
        (name = "files", description = "The files of finished videos"),
        (name = "blobs", description = "The files that manifests name"),
        (name = "workers", description = "Who renders"),
        (name = "events", description = "What changes, as it changes"),
        (name = "webhooks", description = "Who is told of what happens"),
        (name = "openai", description = "Videos in the shape that other servers have given them"),
        (name = "farm", description = "The farm as a whole"),
        (name = "probes", description = "For what watches over services"),
    ),
    paths(
        document,
        archive::archive,
        blobs::holds,
        blobs::put,
        events::listen,
        files::by_path,
        files::contact,
        files::gif,
        files::list,
        files::mp4,
        files::sidecar,
        health::alive,
        health::of_farm,
        health::ready,
        health::version,
        jobs::change,
        jobs::change_video,
        jobs::events,
        jobs::forget,
        jobs::list,
        jobs::one,
        jobs::report,
        jobs::report_page,
        jobs::retry,
        jobs::retry_video,
        jobs::video,
        jobs::videos,
        metrics::metrics,
        models::list,
        openai::content,
        openai::create,
        openai::delete,
        openai::list,
        openai::one,
        past::attempts,
        past::history,
        poster::poster,
        preview::preview,
        rerender::one,
        rerender::some,
        submit::submit,
        webhooks::add,
        webhooks::list,
        webhooks::remove,
        worker_log::log,
        workers::change,
        workers::forget,
        workers::list,
        workers::one,
    ),
    components(schemas(Problem, Taken)),
    modifiers(&Problems),
)]
struct Api;

/// Adds the problems that requests may meet.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            let reading = [&mut item.get, &mut item.head].into_iter().flatten().map(|operation| (operation, false));
            let changing = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            let changing = changing.into_iter().flatten().map(|operation| (operation, true));
            for (operation, changes) in reading.chain(changing) {
                add_problems(operation, changes);
            }
        }
    }
}

fn add_problems(operation: &mut Operation, changes: bool) {
    let parameters = || operation.parameters.iter().flatten();
    let is_in = |place: ParameterIn| parameters().any(|parameter| parameter.parameter_in == place);
    let (names, asks, says) = (is_in(ParameterIn::Path), is_in(ParameterIn::Query), operation.request_body.is_some());
    let met = [
        (names, "404", "There is no such thing"),
        (asks || says, "400", "It makes no sense; the detail names the field"),
        (says, "413", "The body is too large"),
        (says, "415", "The body is of another type"),
        (changes, "403", "It comes from a page of another site"),
        (changes, "409", "What is to be changed does not allow it now"),
        (true, "421", "It is for a name that is not this coordinator's"),
        (true, "500", "Something is broken here"),
        (true, "503", "It cannot be answered now, but may be later"),
    ];
    let responses = &mut operation.responses.responses;
    for (_, status, why) in met.into_iter().filter(|(is_met, ..)| *is_met) {
        let response = || ResponseBuilder::new().description(why).build().into();
        responses.entry(status.to_owned()).or_insert_with(response);
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            let schema = Ref::from_schema_name(Problem::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            response.content.insert(PROBLEM_JSON.to_owned(), content);
        }
    }
}
