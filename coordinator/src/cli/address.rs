//! Parses the address of a coordinator.

use tonic::codegen::http::Uri;

/// The coordinator's port where none is given.
pub(super) const PORT: u16 = 7700;

/// Reads a coordinator's address: `http://HOST:PORT`, where scheme and port may be left out.
///
/// # Errors
/// The fault, with an example of a valid address.
pub(super) fn coordinator(text: &str) -> Result<String, String> {
    let example = "write http://HOST:PORT, for example http://studio-1:7700";
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    match scheme {
        "http" => {}
        "https" => {
            return Err(format!("this version encrypts nothing, so https would be a false promise; {example}"));
        }
        other => return Err(format!("{other}:// is not spoken here; {example}")),
    }
    let uri: Uri = format!("http://{rest}").parse().map_err(|error| format!("{error}; {example}"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| format!("it names no host; {example}"))?;
    if uri.path() != "/" || uri.query().is_some() || rest.contains('@') {
        return Err(format!("only a host and a port are wanted; {example}"));
    }
    let port = match uri.authority().map(|authority| &authority.as_str()[host.len()..]) {
        None | Some("") => PORT,
        Some(port) => port.trim_start_matches(':').parse().map_err(|_| format!("{port:?} is no port; {example}"))?,
    };
    Ok(format!("http://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinator_is_found_without_scheme_and_port() {
        for (text, want) in [
            ("studio-1", "http://studio-1:7700"),
            ("studio-1:7800", "http://studio-1:7800"),
            ("http://studio-1", "http://studio-1:7700"),
            ("http://studio-1:80/", "http://studio-1:80"),
            ("127.0.0.1:7700", "http://127.0.0.1:7700"),
            ("[::1]:7700", "http://[::1]:7700"),
        ] {
            assert_eq!(coordinator(text), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_spoken_is_refused() {
        for (bad, says) in [
            ("https://studio-1:7700", "encrypts nothing"),
            ("ftp://studio-1", "ftp://"),
            ("unix:///tmp/socket", "unix://"),
            ("http://", "write http://HOST:PORT"),
            ("", "write http://HOST:PORT"),
            ("http://studio-1:7700/farm", "only a host and a port"),
            ("http://me@studio-1", "only a host and a port"),
            ("studio 1", "write http://HOST:PORT"),
            ("studio-1:99999", "write http://HOST:PORT"),
        ] {
            let why = coordinator(bad).unwrap_err();
            assert!(why.contains(says), "{bad}: {why}");
        }
    }
}
