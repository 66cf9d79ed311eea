//! A coordinator without workers on a port of its own, and what is asked of it.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use wanfarm_http::Outside;
use wanfarm_server::farm::FarmService;
use wanfarm_server::server::{self, Coordinator, ServerConfig};

/// Starts one whose data and files lie below `folder`, which has to do with this `outside`; `look` sees its routes.
pub(crate) async fn start(folder: &Path, outside: Outside, look: impl FnOnce(&Router)) -> Coordinator {
    let config = ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.join("data"),
        output: folder.join("output"),
        wanted: None,
        security: None,
        retention: None,
        scheduler: wanfarm_scheduler::Config::default(),
    };
    let routes = |farm: FarmService| {
        let router = wanfarm_http::router(farm, outside);
        look(&router);
        router.into()
    };
    server::start(config, routes).await.unwrap()
}

pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// Status, content type and text of an answer. A stream has no end to wait for.
pub(crate) async fn send(request: Request<Vec<u8>>) -> (u16, String, String) {
    let asked = tokio::task::spawn_blocking(move || {
        let mut response = agent().run(request).unwrap();
        let kind = response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let is_stream = kind == "text/event-stream";
        let text = if is_stream { String::new() } else { response.body_mut().read_to_string().unwrap() };
        (response.status().as_u16(), kind, text)
    });
    asked.await.unwrap()
}
