//! Requests for paths that nothing else serves: a page, a gRPC service of another version, or a mistake.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::pages;
use crate::problem::Problem;

/// The code `UNIMPLEMENTED` of gRPC.
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

/// Answers a request whose path no service has.
pub(crate) async fn path(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let grpc = HeaderValue::from_static("application/grpc");
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(grpc.as_bytes())) {
        // gRPC has its own way to say so.
        let status = header::HeaderName::from_static("grpc-status");
        return [(header::CONTENT_TYPE, grpc), (status, UNIMPLEMENTED)].into_response();
    }
    let nothing = || Problem::not_found(format!("nothing is served at {}", uri.path()));
    match method {
        _ if is_api(uri.path()) => nothing().into_response(),
        Method::GET | Method::HEAD => pages::page(uri.path(), &headers).unwrap_or_else(|| nothing().into_response()),
        _ => {
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} can only be read", uri.path()));
            ([(header::ALLOW, "GET, HEAD")], problem).into_response()
        }
    }
}

/// Answers a request whose path takes other methods.
pub(crate) async fn method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

/// Below these paths there is no page.
fn is_api(path: &str) -> bool {
    ["/api", "/v1"]
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
