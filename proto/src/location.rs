//! Where a tensor service is reached: `host:port`, and nothing else. Not whether it is reachable, nor how it is dialled.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use tonic::codegen::http::uri::Authority;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// As in a URL: an IPv6 address stands in brackets.
    host: String,
    port: u16,
}

/// The text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of a tensor service: {why}; write it as host:port")]
pub struct BadLocation {
    text: String,
    why: String,
}

impl Location {
    /// A port of a machine.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        let host = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port }
    }

    /// The host's address, if it is not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }

    /// Port number.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Location {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let bad = |why: &str| BadLocation { text: text.to_owned(), why: why.to_owned() };
        let authority: Authority = text.parse().map_err(|error| bad(&format!("{error}")))?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(bad("no host"));
        }
        let port = authority.port_u16().filter(|port| *port > 0).ok_or_else(|| bad("no port"))?;
        Ok(Self { host: authority.host().to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["10.0.0.7:7001", "[fd07::2]:7001", "mac-3.local:1", "[::]:9"] {
            assert_eq!(good.parse::<Location>().unwrap().to_string(), good);
        }
        let bad =
            ["", "10.0.0.7", "unix:/tmp/s", "http://farm:1", "https://farm:1", "farm:70000", ":1", "farm", "farm:"];
        for bad in bad.into_iter().chain(["farm:0", "farm:1/x", "farm:1/?x", "a@farm:1", "a b:1"]) {
            let error = bad.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains("host:port"), "{bad}: {error}");
        }
    }

    #[test]
    fn addresses_of_machines_are_written_as_people_know_them() {
        let location = |address: &str| Location::from(address.parse::<SocketAddr>().unwrap());
        assert_eq!(location("[::ffff:10.0.0.7]:1").to_string(), "10.0.0.7:1");
        assert_eq!(location("[fe80::1%3]:1").to_string(), "[fe80::1]:1");
        assert_eq!(location("[::1]:1").ip(), Some("::1".parse().unwrap()));
        assert_eq!("farm:1".parse::<Location>().unwrap().ip(), None);
    }
}
