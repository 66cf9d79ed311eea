//! Parses the address of a coordinator, and decides how it is dialled. Nothing goes unencrypted to another machine unless that was
//! asked for.

use std::fmt;
use std::net::IpAddr;

use tonic::codegen::http::Uri;

/// The coordinator's port where none is given.
pub(super) const PORT: u16 = 7700;

/// A coordinator as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `http`: false, `https`: true; `None`: neither was typed.
    encrypted: Option<bool>,
    /// As in a URL: an IPv6 address stands in brackets.
    host: String,
    port: u16,
}

/// Reads a coordinator's address: `https://HOST:PORT`, where scheme and port may be left out.
///
/// # Errors
/// The fault, with an example of a valid address.
pub(super) fn coordinator(text: &str) -> Result<Address, String> {
    let example = "write HOST:PORT, for example studio-1:7700";
    let (encrypted, rest) = match text.split_once("://") {
        None => (None, text),
        Some(("http", rest)) => (Some(false), rest),
        Some(("https", rest)) => (Some(true), rest),
        Some(("wanfarm", _)) => return Err("that is a line to join a farm with: coordinator join LINE".to_owned()),
        Some((other, _)) => return Err(format!("{other}:// is not spoken here; {example}")),
    };
    let uri: Uri = format!("http://{rest}").parse().map_err(|error| format!("{error}; {example}"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| format!("it names no host; {example}"))?;
    if uri.path() != "/" || uri.query().is_some() || rest.contains('@') {
        return Err(format!("only a host and a port are wanted; {example}"));
    }
    let port = match uri.authority().map(|authority| &authority.as_str()[host.len()..]) {
        None | Some("") => PORT,
        Some(port) => port.trim_start_matches(':').parse().map_err(|_| format!("{port:?} is no port; {example}"))?,
    };
    Ok(Address { encrypted, host: host.to_owned(), port })
}

/// How a coordinator is dialled: host and port, and whether encrypted. `joined` is the address of the farm that this machine belongs
/// to, `insecure` that somebody has asked for plain text.
///
/// # Errors
/// Why neither can be meant, and what to do.
pub(super) fn way(typed: Option<&Address>, joined: Option<&str>, insecure: bool) -> Result<(String, bool), String> {
    let Some(typed) = typed else {
        return Ok(joined.map_or_else(|| (format!("127.0.0.1:{PORT}"), false), |joined| (joined.to_owned(), !insecure)));
    };
    let address = typed.to_string();
    let join = "join its farm with the line that `coordinator access grant` prints there: coordinator join LINE";
    match (typed.encrypted, joined) {
        (Some(true), _) if insecure => Err(format!("https://{address} and --insecure contradict each other")),
        (Some(true), Some(_)) => Ok((address, true)),
        (Some(true), None) => Err(format!("this machine has no key that {address} knows; {join}")),
        (None, Some(joined)) if !insecure && (joined == address || !typed.is_this_machine()) => Ok((address, true)),
        _ if insecure || typed.is_this_machine() => Ok((address, false)),
        (Some(false), _) => Err(format!(
            "http://{address} would send everything over the network for all to read and change; {join}; where that farm was \
             started with --insecure, say so here as well"
        )),
        (None, _) => Err(format!(
            "this machine has joined no farm; {join}; where {address} was started with --insecure, say so here as well"
        )),
    }
}

impl Address {
    /// What is said to it does not leave this machine.
    fn is_this_machine(&self) -> bool {
        let ip = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_is_found_without_scheme_and_port() {
        for (text, encrypted, want) in [
            ("studio-1", None, "studio-1:7700"),
            ("studio-1:7800", None, "studio-1:7800"),
            ("http://studio-1", Some(false), "studio-1:7700"),
            ("https://studio-1:80/", Some(true), "studio-1:80"),
            ("127.0.0.1:7700", None, "127.0.0.1:7700"),
            ("[::1]:7700", None, "[::1]:7700"),
        ] {
            let address = coordinator(text).unwrap();
            assert_eq!((address.encrypted, address.to_string().as_str()), (encrypted, want), "{text}");
        }
    }

    #[test]
    fn what_is_not_spoken_is_refused() {
        for (bad, says) in [
            ("wanfarm://studio-1:7700/wf_1#ab", "coordinator join"),
            ("ftp://studio-1", "ftp://"),
            ("unix:///tmp/socket", "unix://"),
            ("http://", "write HOST:PORT"),
            ("", "write HOST:PORT"),
            ("http://studio-1:7700/farm", "only a host and a port"),
            ("http://me@studio-1", "only a host and a port"),
            ("studio 1", "write HOST:PORT"),
            ("studio-1:99999", "write HOST:PORT"),
        ] {
            let why = coordinator(bad).unwrap_err();
            assert!(why.contains(says), "{bad}: {why}");
        }
    }

    #[test]
    fn nothing_goes_to_another_machine_in_plain_text_unasked() {
        let table = |joined: Option<&str>, insecure: bool| {
            ["", "studio-1", "http://studio-1", "https://studio-1", "127.0.0.1:7700", "localhost", "https://127.0.0.1"]
                .map(|text| {
                    let typed = (!text.is_empty()).then(|| coordinator(text).unwrap());
                    way(typed.as_ref(), joined, insecure).map(|(_, encrypted)| encrypted).ok()
                })
        };
        let (yes, no, refused) = (Some(true), Some(false), None);
        assert_eq!(table(None, false), [no, refused, refused, refused, no, no, refused]);
        assert_eq!(table(None, true), [no, no, no, refused, no, no, refused]);
        assert_eq!(table(Some("studio-1:7700"), false), [yes, yes, refused, yes, no, no, yes]);
        assert_eq!(table(Some("studio-1:7700"), true), [no, no, no, refused, no, no, refused]);
        assert_eq!(table(Some("127.0.0.1:7700"), false), [yes, yes, refused, yes, yes, no, yes]);
        let addresses = [None, Some("studio-1:7700")].map(|joined| way(None, joined, false).unwrap().0);
        assert_eq!(addresses, ["127.0.0.1:7700", "studio-1:7700"]);
        let other = way(Some(&coordinator("studio-2").unwrap()), Some("studio-1:7700"), false).unwrap();
        assert_eq!(
            other,
            ("studio-2:7700".to_owned(), true),
            "the same farm under another name, or TLS says that it is not"
        );
    }
}
