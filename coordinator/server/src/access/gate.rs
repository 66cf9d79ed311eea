//! Lets requests in or refuses them, of every protocol and before anything else looks at them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use tokio::time::timeout;
use tonic::Status;
use wanfarm_identity::{PublicKey, Secret};
use wanfarm_proto::crowd::{Crowd, Place};
use wanfarm_proto::listen::Connection;
use wanfarm_types::{Access, Rights};

use super::list::{GrantRow, SharedAccess};
use super::rules;
use crate::limits::{REQUESTS, STRANGERS_PATIENCE, STRANGERS_REQUESTS};
use crate::times::wall_clock;

/// The cookie that a browser shows its token in.
const COOKIE: &str = "wanfarm";

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose key or token it is, and where they are.
    name: String,
    /// What they may do.
    rights: Option<Rights>,
    /// The key they have shown.
    key: Option<PublicKey>,
    /// By which they may, for as long as that lasts.
    grant: Option<GrantRow>,
}

impl Caller {
    /// As the history and the log call them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that their connection is encrypted with.
    pub fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// What they may do; `None` of those whom nobody knows.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_ref()
    }
}

/// The requests of the moment. As many addresses have some as there may be connections.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    of_known: Crowd,
    of_unknown: Crowd,
}

impl Default for Requests {
    fn default() -> Self {
        Self { of_known: Crowd::of(usize::MAX, REQUESTS), of_unknown: Crowd::of(usize::MAX, STRANGERS_REQUESTS) }
    }
}

/// What decides.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// Nobody is asked: whoever reaches this coordinator may do everything.
    Open,
    /// Those on the list may do what stands there.
    Kept(SharedAccess),
}

impl Gate {
    /// Who asks, by their connection and the head of their request.
    fn caller(&self, connection: &Connection, headers: &HeaderMap) -> Caller {
        let address =
            connection.remote.map(|remote| SocketAddr::new(remote.ip().to_canonical(), remote.port()).to_string());
        let address = address.unwrap_or_else(|| "an unknown address".to_owned());
        let list = match self {
            Self::Open => return Caller { name: address, rights: Some(Rights::all()), key: None, grant: None },
            Self::Kept(list) => list,
        };
        let (now, key) = (wall_clock(), connection.peer.key.clone());
        // Whoever shows a token means to be known by that.
        let grant = match token(headers) {
            Some(token) => list.bearer(&token, now),
            None => connection.peer.id().and_then(|key| list.member(key, now)),
        };
        match grant {
            Some(grant) => {
                let (name, rights) = (format!("{} ({address})", grant.name), Some(grant.rights.clone()));
                Caller { name, rights, key, grant: Some(grant) }
            }
            None => Caller { name: address, rights: None, key, grant: None },
        }
    }
}

/// The token of a request: of a program, or of a browser.
fn token(headers: &HeaderMap) -> Option<Secret> {
    if let Some(shown) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = shown.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().parse().ok())?;
    }
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).and_then(|(_, value)| value.parse().ok())
}

/// Passes a request on, with who asks, or says why not. It has its place among all requests until its answer has been sent.
pub(crate) async fn guard(
    State((gate, requests)): State<(Gate, Requests)>,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<Connection>().cloned().unwrap_or_default();
    let caller = gate.caller(&connection, request.headers());
    let is_known = caller.rights.is_some();
    let crowd = if is_known { &requests.of_known } else { &requests.of_unknown };
    let Ok(place) = connection.remote.map(|remote| crowd.admit(remote.ip())).transpose() else {
        return busy(request.headers());
    };
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if let Some(needed) = rules::needed(reads, request.uri().path())
        && !caller.rights().is_some_and(|rights| rights.allow(needed))
    {
        let (path, who) = (request.uri().path(), caller.name());
        tracing::debug!(path, who, %needed, "a request is refused");
        let refused = refusal(&caller, needed, request.headers());
        return refused.map(|body| Body::new(Answer { body, ended: None, _place: place }));
    }
    let grant = caller.grant.clone();
    request.extensions_mut().insert(caller);
    let answer = next.run(request);
    let answer = match is_known {
        true => answer.await,
        false => match timeout(STRANGERS_PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        },
    };
    let ended: Option<Ended> = match (gate, grant) {
        (Gate::Kept(list), Some(grant)) => Some(Box::pin(list.ended(grant))),
        _ => None,
    };
    answer.map(|body| Body::new(Answer { body, ended, _place: place }))
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An answer that keeps its place until all of it is sent, and breaks off when whoever asked may hear nothing more: some last for days.
struct Answer {
    body: Body,
    ended: Option<Ended>,
    _place: Option<Place>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // First, so that whoever has much to hear does not hear all of it.
        if let Some(ended) = &mut self.ended
            && ended.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(axum::Error::new("whoever asked may hear nothing more"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Without a body, which somebody would have to read.
fn busy(headers: &HeaderMap) -> Response {
    if is_grpc(headers) {
        return Status::resource_exhausted("this address asks too much at a time").into_http();
    }
    StatusCode::TOO_MANY_REQUESTS.into_response()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn refusal(caller: &Caller, needed: Access, headers: &HeaderMap) -> Response {
    let (status, why) = match (caller.rights(), caller.key()) {
        (Some(rights), _) => {
            (StatusCode::FORBIDDEN, format!("this needs the right `{needed}`; {} has `{rights}`", caller.name()))
        }
        (None, Some(key)) => (
            StatusCode::UNAUTHORIZED,
            format!(
                "this farm does not know the key {} of this machine: it has not joined, was revoked, or is of another farm; ask an \
                 operator for `coordinator access grant`, and join with the line that it prints",
                key.id().short()
            ),
        ),
        (None, None) => (
            StatusCode::UNAUTHORIZED,
            "this farm is for those it knows: join it with `coordinator join`, or show a token as \
             `Authorization: Bearer …`; operators make both with `coordinator access grant`"
                .to_owned(),
        ),
    };
    let says = |name: header::HeaderName, what: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(what))
    };
    if is_grpc(headers) {
        let status = match status {
            StatusCode::FORBIDDEN => Status::permission_denied(why),
            _ => Status::unauthenticated(why),
        };
        return status.into_http();
    }
    if status == StatusCode::UNAUTHORIZED && says(header::ACCEPT, "text/html") {
        // A person, who has a token or is told how to get one.
        let place = if token(headers).is_some() { "/enter?refused" } else { "/enter" };
        return (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    }
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": why,
    });
    let mut response = (status, problem.to_string()).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"wanfarm\""));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &[(header::HeaderName, &str)]) -> Option<String> {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        token(&fields.collect()).map(|token| token.reveal().to_owned())
    }

    #[test]
    fn a_token_is_shown_by_programs_and_by_browsers() {
        use header::{AUTHORIZATION, COOKIE};
        let is = |token: &str| Some(token.to_owned());
        assert_eq!(shown(&[(AUTHORIZATION, "Bearer wf_1")]), is("wf_1"));
        assert_eq!(shown(&[(AUTHORIZATION, "bearer  wf_1 ")]), is("wf_1"));
        assert_eq!(shown(&[(COOKIE, "a=b; wanfarm=wf_2; c=d")]), is("wf_2"));
        assert_eq!(shown(&[(COOKIE, "a=b"), (COOKIE, "wanfarm=wf_2")]), is("wf_2"));
        assert_eq!(
            shown(&[(AUTHORIZATION, "Basic wf_1"), (COOKIE, "wanfarm=wf_2")]),
            None,
            "what is wrong is not passed over"
        );
        for bad in ["Bearer", "Bearer ", "Bearer a b", "wf_1", ""] {
            assert_eq!(shown(&[(AUTHORIZATION, bad)]), None, "{bad}");
        }
    }
}
