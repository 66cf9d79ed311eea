//! Why a request came to nothing, as RFC 9457 has it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::ToSchema;
use wanfarm_manifest::{Fault, Faults};
use wanfarm_server::farm::Refused;

/// The content type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A problem. Its type is `about:blank`: the status says what kind it is, the detail what is wrong and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// What is wrong with a manifest, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<ToldFault>,
    /// Files, and patterns of files, that a manifest names and came without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

/// A fault as the command line prints it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ManifestFault)]
struct ToldFault {
    #[serde(flatten)]
    fault: Fault,
    /// As `what`, under the name that other programs look for.
    message: String,
}

/// An answer, or the problem that there is with it.
pub(crate) type Answer<T> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            faults: Vec::new(),
            files: Vec::new(),
        }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// There is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

/// What the farm refuses. Its codes are gRPC's.
impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let code = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::INSUFFICIENT_STORAGE,
            Code::Unavailable | Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(code, status.message())
    }
}

/// What is wrong with a manifest.
impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let told = faults.iter().map(|fault| ToldFault { fault: fault.clone(), message: fault.what.to_string() });
        let count = faults.count();
        let detail = format!("the manifest has {count} fault{}", if count == 1 { "" } else { "s" });
        let files = faults.files().map(str::to_owned).collect();
        Self { faults: told.collect(), files, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Faulty(faults) => faults.into(),
            Refused::Farm(status) => status.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}
