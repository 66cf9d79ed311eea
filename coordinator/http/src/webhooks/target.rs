//! Where webhooks may lead: to hosts that the operator has named when the coordinator was started, and nowhere else.
//! Otherwise whoever reaches the coordinator could have it call any machine that it reaches.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::Uri;
use axum::http::uri::Authority;

/// Longest address.
const MAX_URL: usize = 2000;

/// A host that may be told of what happens, as `NAME` or `NAME:PORT`. Without a port, that of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: Option<u16>,
}

/// The text names no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTarget;

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a host's name or address alone, hooks.studio.example or 10.0.0.7:9000")
    }
}

impl std::error::Error for BadTarget {}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        // An authority is what an address has between its scheme and its path, and nothing else.
        let uri = format!("http://{text}").parse::<Uri>().map_err(|_| BadTarget)?;
        let authority = uri.authority().filter(|authority| authority.as_str() == text && is_plain(authority));
        let authority = authority.ok_or(BadTarget)?;
        Ok(Self { host: plain(authority.host()), port: authority.port_u16() })
    }
}

/// The hosts that may be told.
#[derive(Debug, Clone, Default)]
pub struct Targets(Arc<[Target]>);

impl FromIterator<Target> for Targets {
    fn from_iter<I: IntoIterator<Item = Target>>(targets: I) -> Self {
        Self(targets.into_iter().collect())
    }
}

impl Targets {
    /// True for an address at one of these hosts.
    pub(super) fn allow(&self, uri: &Uri) -> bool {
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let (host, port) = (plain(uri.host().unwrap_or_default()), uri.port_u16().unwrap_or(usual));
        self.0.iter().any(|target| target.host == host && target.port.unwrap_or(usual) == port)
    }
}

/// One name for one host.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// An address by http or https, without a name and password in it.
pub(super) fn read(url: &str) -> Result<Uri, String> {
    if url.len() > MAX_URL {
        return Err(format!("at most {MAX_URL} letters"));
    }
    // What follows a # would be dropped without a word.
    let is_written = url.bytes().all(|letter| letter.is_ascii_graphic() && letter != b'#');
    let uri = url.parse::<Uri>().ok().filter(|_| is_written);
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let uri = uri.ok_or("write an address by http or https, https://hooks.studio.example/farm")?;
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("without a name and password: messages are signed, so that who gets them can tell who sent them".into())
        }
        Some(authority) if is_plain(authority) => Ok(uri),
        _ => Err("name a host, and a port as a number".into()),
    }
}

/// True for a host, and a port that is none or a number.
fn is_plain(authority: &Authority) -> bool {
    let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    !authority.host().is_empty() && authority.as_str() == format!("{}{port}", authority.host())
}

/// Why nothing is sent to an address.
pub(super) fn refusal(url: &str) -> String {
    let host = url.parse::<Uri>().ok().and_then(|uri| Some(uri.authority()?.as_str().to_owned())).unwrap_or_default();
    format!(
        "the coordinator sends nothing to {host}: whoever reaches it could have it call any machine. If it is to, start it \
         with --webhook-host {host}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(targets: &[&str], url: &str) -> bool {
        let targets: Targets = targets.iter().map(|target| target.parse::<Target>().unwrap()).collect();
        targets.allow(&read(url).unwrap())
    }

    #[test]
    fn only_hosts_that_were_named_are_told_and_only_at_their_port() {
        let targets = ["Hooks.Studio.example", "10.0.0.7:9000", "[::1]:9000"];
        for url in [
            "https://hooks.studio.example/a?b=c",
            "http://hooks.studio.example",
            "https://HOOKS.studio.example.:443/",
            "http://10.0.0.7:9000/x",
            "https://10.0.0.7:9000",
            "http://[::1]:9000",
        ] {
            assert!(allowed(&targets, url), "{url}");
        }
        for url in [
            "https://hooks.studio.example:8443/",
            "https://hooks.studio.example:80/",
            "https://studio.example",
            "https://evil-hooks.studio.example",
            "https://hooks.studio.example.evil.example",
            "http://10.0.0.7",
            "http://10.0.0.7:9001",
            "http://[::1]",
            "http://169.254.169.254/latest",
        ] {
            assert!(!allowed(&targets, url), "{url}");
        }
        assert!(!allowed(&[], "https://hooks.studio.example/"), "nobody unless somebody was named");
    }

    #[test]
    fn an_address_is_one_by_http_and_holds_no_password() {
        for bad in [
            "",
            "hooks.example",
            "/farm",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://a b/",
            "https://ann:secret@hooks.example/",
            "https://hooks.example@evil.example/",
            "https://hooks.example/#x",
            "https://hooks.example/\r\nX: y",
            "https://hooks.example/é",
            "https://hooks.example:/",
            "https://hooks.example:http/",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&format!("https://hooks.example/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn a_target_is_a_host_with_or_without_a_port() {
        for bad in ["", ":80", "a:", "a:b", "a:99999", "https://a", "a/b", "a?b", "ann@a", "a b", "é"] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }
}
