//! Keeps pages of other sites from using the farm with the browser of somebody who can reach it.
//!
//! A browser says which site a request is for and from which one it comes. A request is answered when it is for a name that
//! only this network can give (a foreign name that was made to lead here is another site's), and changes something only
//! when it comes from a page of the coordinator, or from no page.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

use crate::problem::Problem;

/// Endings of names that no public name server answers for.
const LOCAL: [&str; 6] = ["localhost", "local", "lan", "internal", "home.arpa", "test"];

/// The names that the coordinator is asked for by beside those of its own network, in small letters.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Arc<[String]>);

impl FromIterator<String> for Hosts {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect())
    }
}

/// Lets a request pass, or says why not.
pub(crate) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match check(&hosts, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(hosts: &Hosts, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has it in the request's own address.
    let authority =
        uri.authority().map(|authority| authority.as_str()).or_else(|| text(header::HOST)).unwrap_or_default();
    if !is_ours(hosts, host_of(authority)) {
        let why = format!(
            "{authority:?} is a name that anybody could have made to lead here; use the coordinator's address, its name \
             without a domain, a name that ends in .local, .lan, .internal or .home.arpa, or start the coordinator with \
             --host and this name"
        );
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, why));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let foreign = |from: &str| {
        let why = format!("a page of {from} asks for this; only pages of this coordinator may change something");
        Err(Problem::new(StatusCode::FORBIDDEN, why))
    };
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => {}
        Some(_) => return foreign(text(header::ORIGIN).unwrap_or("another site")),
    }
    match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
        None => Ok(()),
        Some(origin) => match origin.split_once("://") {
            Some(("http" | "https", from)) if from.eq_ignore_ascii_case(authority) => Ok(()),
            _ => foreign(origin),
        },
    }
}

/// The name in an authority, without its port.
fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// True for addresses, for names that only this machine or this network can give, and for those that were named.
fn is_ours(hosts: &Hosts, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_name =
        !host.is_empty() && host.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let ends = |ending: &str| host.strip_suffix(ending).is_some_and(|name| name.is_empty() || name.ends_with('.'));
    hosts.0.contains(&host)
        || host.parse::<IpAddr>().is_ok()
        || is_name && (!host.contains('.') || LOCAL.into_iter().any(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, fields: &[(&'static str, &str)]) -> Option<u16> {
        let fields = fields.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        let hosts = Hosts::from_iter(["Farm.Studio.Example.".to_owned()]);
        let problem = check(&hosts, method, &Uri::from_static("/api/v1/jobs"), &fields.collect()).err()?;
        Some(problem.into_response().status().as_u16())
    }

    #[test]
    fn a_name_that_anybody_can_give_is_not_answered() {
        for host in [
            "127.0.0.1:7700",
            "[::1]:7700",
            "[fe80::1]",
            "studio-1:7700",
            "localhost",
            "studio-1.local:7700",
            "Studio-1.LAN",
            "farm.home.arpa.",
            "10.0.0.7",
            "farm.studio.example:7700",
            "FARM.studio.example.",
        ] {
            assert_eq!(asked(&Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example:7700",
            "studio-1.local.evil.example",
            "notlocal.evil",
            "",
            ":7700",
            "evil.farm.studio.example",
            "studio.example",
            "evil.example#.local",
            "a/.local",
        ] {
            assert_eq!(asked(&Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(asked(&Method::GET, &[]), Some(421));
    }

    #[test]
    fn only_its_own_pages_and_programs_change_something() {
        let host = ("host", "studio-1:7700");
        for own in [
            &[host][..],
            &[host, ("origin", "http://studio-1:7700")],
            &[host, ("origin", "http://STUDIO-1:7700"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert_eq!(asked(&Method::POST, own), None, "{own:?}");
        }
        for foreign in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "http://studio-1:8080")],
            &[host, ("origin", "null")],
            &[host, ("origin", "")],
            &[host, ("origin", "file://studio-1:7700")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            for method in [Method::POST, Method::PATCH, Method::PUT, Method::DELETE] {
                assert_eq!(asked(&method, foreign), Some(403), "{method} {foreign:?}");
            }
            assert_eq!(asked(&Method::GET, foreign), None, "it could not read the answer: {foreign:?}");
        }
    }
}
