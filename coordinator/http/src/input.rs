//! What a request says: ids in its path, its query, its JSON, and who sent it. What cannot be read is a problem that
//! names the field.

use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use wanfarm_types::JobId;

use crate::problem::Problem;

/// Up to here every whole number is an f64 of its own.
const EXACT: f64 = (1u64 << 53) as f64;

/// The address a request came from, for the log and for events.
pub(crate) struct Caller(pub(crate) String);

/// The job in a path.
pub(crate) struct Job(pub(crate) JobId);

/// The job and the video, by its place in the manifest, in a path.
pub(crate) struct Video(pub(crate) JobId, pub(crate) u32);

/// A worker's id in a path.
pub(crate) struct Worker(pub(crate) wanfarm_types::WorkerId);

/// A webhook's id in a path.
pub(crate) struct Webhook(pub(crate) wanfarm_types::WebhookId);

/// The digest of a file in a path.
pub(crate) struct Blob(pub(crate) wanfarm_types::Digest);

/// A request's query.
pub(crate) struct Asked<T>(pub(crate) T);

/// A request's body, as JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<wanfarm_server::access::Caller>();
        Ok(Self(caller.map_or_else(String::new, |caller| caller.name().to_owned())))
    }
}

/// A body of at most so many bytes. Of a longer one the rest is taken in as well, as far as it is no longer than that again: who is
/// still sending hears no answer.
pub(crate) async fn whole(body: Body, most: usize) -> Result<Vec<u8>, Problem> {
    let (mut chunks, mut bytes, mut beyond) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|why| Problem::bad_request(format!("the body breaks off: {why}")))?;
        if beyond == 0 && bytes.len() + chunk.len() <= most {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        (bytes, beyond) = (Vec::new(), beyond + chunk.len());
        if beyond > most {
            break;
        }
    }
    if beyond > 0 {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {most} bytes here")));
    }
    Ok(bytes)
}

/// Reads `1` and `true`, `0` and `false`. A name without a value says neither: `cancel=` comes of a script whose variable is
/// empty.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match String::deserialize(from)?.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(serde::de::Error::custom(format!("{other:?} is neither true nor false"))),
    }
}

/// Tells a field that is `null` from one that is absent.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A parameter of a path. One that is no such value names nothing that is there.
pub(crate) async fn parameter<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
    what: &str,
) -> Result<T, Problem> {
    let nothing = |value: &str| Problem::not_found(format!("{value:?} is no {what}"));
    let path = RawPathParams::from_request_parts(parts, state).await.map_err(|_| nothing(""))?;
    let value = path.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
    value.parse().map_err(|_| nothing(value))
}

impl<S: Send + Sync> FromRequestParts<S> for Job {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(JobId(parameter(parts, state, "job", "number of a job").await?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Video {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Job(job) = Job::from_request_parts(parts, state).await?;
        Ok(Self(job, parameter(parts, state, "video", "number of a video").await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Worker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(wanfarm_types::WorkerId(parameter(parts, state, "worker", "id of a worker").await?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Webhook {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(wanfarm_types::WebhookId(parameter(parts, state, "webhook", "id of a webhook").await?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Blob {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(parameter(parts, state, "blake3", "BLAKE3 digest").await?))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(why) => Err(Problem::bad_request(why.body_text())),
        }
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// Reads a request whole.
    pub(crate) async fn read(request: Request) -> Result<T, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            let why = format!("the body has to be application/json, not {kind:?}");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let body = Bytes::from_request(request, &()).await;
        json(&body.map_err(|why| Problem::new(why.status(), why.body_text()))?)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::read(request).await.map(Self)
    }
}

/// JSON that is an object, and an error that names the field which is none.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // An object, which serde alone would also read from a list of its values in their order.
    let object: Map<String, Value> =
        serde_json::from_slice(body).map_err(|why| Problem::bad_request(why.to_string()))?;
    self::object(object)
}

/// The same, of an object that has been read.
pub(crate) fn object<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    let read = serde_path_to_error::deserialize(with_whole_numbers(Value::Object(object)));
    read.map_err(|why| match why.path().to_string().as_str() {
        "." => Problem::bad_request(why.inner().to_string()),
        field => Problem::bad_request(format!("{field}: {}", why.inner())),
    })
}

/// As JSON Schema has it: 38.0 is a whole number, which serde would refuse for one.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0 && value.abs() <= EXACT);
            whole.map_or(Value::Number(number), |value| Value::from(value as i64))
        }
        Value::Array(values) => values.into_iter().map(with_whole_numbers).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, with_whole_numbers(value))).collect())
        }
        value => value,
    }
}
