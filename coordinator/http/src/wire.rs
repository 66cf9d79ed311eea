//! Sends requests to programs that are told of something: by http or https, never elsewhere than to where they are addressed.
//! Deliberately without redirects and proxies, which would lead to hosts that nobody has named.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use tokio::time::timeout;

/// How long a target may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause that a target may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target has heard.
    Heard,
    /// It wants to hear nothing more.
    Gone,
    /// It did not take this one, and may not take it the next time either.
    Refused(String),
    /// It could not be told now; it may have said for how long.
    Failed(String, Option<Duration>),
}

/// What connects, or why nothing can.
type Connections = Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String>;

/// Sends requests. Clones share their connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<OnceLock<Connections>>);

impl Wire {
    /// Sends a request and waits for what comes of it, a bounded time.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Outcome {
        // What the machine trusts is read when the first message is sent.
        let client = match self.0.get_or_init(client) {
            Ok(client) => client,
            Err(why) => return Outcome::Failed(why.clone(), None),
        };
        match timeout(ANSWER_TIMEOUT, client.request(request)).await {
            Ok(Ok(response)) => judge(&response),
            Ok(Err(error)) => Outcome::Failed(with_causes(&error), None),
            Err(_) => Outcome::Failed(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()), None),
        }
    }
}

fn client() -> Connections {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for why in found.errors {
        tracing::warn!(%why, "a certificate that this machine trusts cannot be read");
    }
    let (_taken, unread) = roots.add_parsable_certificates(found.certs);
    if unread > 0 {
        tracing::warn!(unread, "certificates that this machine trusts are of no known form");
    }
    let provider = Arc::new(ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|why| why.to_string())?.with_root_certificates(roots).with_no_client_auth();
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.enforce_http(false);
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    Ok(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector.wrap_connector(http)))
}

fn judge<B>(response: &Response<B>) -> Outcome {
    let status = response.status();
    let said = format!("it answers {status}");
    match status.as_u16() {
        200..=299 => Outcome::Heard,
        410 => Outcome::Gone,
        300..=399 => Outcome::Refused(format!("{said}, which leads elsewhere: name the address that it leads to")),
        408 | 425 | 429 | 500.. => {
            let wait = response.headers().get(header::RETRY_AFTER);
            let wait = wait.and_then(|wait| wait.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
            Outcome::Failed(said, wait.map(|wait| wait.min(MAX_PAUSE)))
        }
        _ => Outcome::Refused(said),
    }
}

/// An error with what caused it, which alone says what happened.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, wait: Option<&str>) -> Outcome {
        let mut response = Response::builder().status(status);
        if let Some(wait) = wait {
            response = response.header(header::RETRY_AFTER, wait);
        }
        judge(&response.body(()).unwrap())
    }

    #[test]
    fn an_answer_says_whether_to_tell_it_again() {
        assert_eq!(
            [200, 204, 299].map(|status| answer(status, None)),
            [Outcome::Heard, Outcome::Heard, Outcome::Heard]
        );
        assert_eq!(answer(410, None), Outcome::Gone);
        for status in [400, 401, 404, 301, 307] {
            assert!(matches!(answer(status, Some("9")), Outcome::Refused(_)), "{status}");
        }
        for status in [408, 429, 500, 503] {
            assert!(matches!(answer(status, None), Outcome::Failed(_, None)), "{status}");
        }
        let waits = |wait| match answer(503, Some(wait)) {
            Outcome::Failed(_, wait) => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits("7"), Some(Duration::from_secs(7)));
        assert_eq!(waits("99999999"), Some(MAX_PAUSE));
        assert_eq!(waits("soon"), None);
    }
}
