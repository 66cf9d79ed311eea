//! Parses the address to listen on, and finds the address others reach it by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use crate::cli::address::PORT;

/// Every address of this machine, of both families.
const EVERYWHERE: &str = "::";

/// Reads an address to listen on: `HOST:PORT`, `:PORT`, `PORT` or `HOST`.
///
/// # Errors
/// The fault, with examples of valid values.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let examples = "write HOST:PORT, for example 127.0.0.1:7700 for this machine alone or [::]:7700 for the network";
    let (host, port) = match text.rsplit_once(':') {
        _ if text.is_empty() => return Err(examples.to_owned()),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => (EVERYWHERE, text),
        None => (text, ""),
        Some(("", port)) => (EVERYWHERE, port),
        // An IPv6 address without a port has colons of its own.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, ""),
        Some((host, port)) => (host, port),
    };
    let port = match port {
        "" => PORT,
        port => port.parse().map_err(|_| format!("{port:?} is no port; {examples}"))?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("no address is called {host:?} ({error}); {examples}"))?;
    let found: Vec<SocketAddr> = found.collect();
    // A name may have addresses of both families; clients try 127.0.0.1 first.
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("{host:?} has no address; {examples}"))
}

/// Where others reach what listens there: of every interface the one that leads out of this machine, if any does.
pub(super) fn reached(listening: SocketAddr) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    // Connecting a datagram socket sends nothing; it asks the routes which of this machine's addresses would be used.
    let towards = |from: IpAddr, to: IpAddr| -> Option<IpAddr> {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, PORT)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
    };
    // Reserved for documentation: outside every network.
    let v4 = || towards(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = || towards(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    let found = v4().or_else(|| listening.is_ipv6().then(v6).flatten());
    SocketAddr::new(found.unwrap_or(Ipv4Addr::LOCALHOST.into()), listening.port())
}

/// What this machine is called by those who reach what listens there.
pub(super) fn names(listening: SocketAddr) -> Vec<String> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let short = host.split('.').next().unwrap_or_default().to_owned();
    let local = format!("{short}.local");
    let mut names = vec![reached(listening).ip().to_string(), host, short, local];
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_one_of_this_machine() {
        for exact in ["127.0.0.1:7700", "10.0.0.7:1", "[fd07::2]:7700"] {
            let exact = exact.parse().unwrap();
            assert_eq!(reached(exact), exact);
        }
        for everywhere in ["0.0.0.0:7711", "[::]:7711"] {
            let told = reached(everywhere.parse().unwrap());
            assert!(!told.ip().is_unspecified() && told.port() == 7711, "{told}");
            UdpSocket::bind((told.ip(), 0)).unwrap();
        }
    }

    #[test]
    fn addresses_to_listen_on_are_read_as_people_type_them() {
        for (text, want) in [
            ("127.0.0.1:7701", "127.0.0.1:7701"),
            ("localhost:7700", "127.0.0.1:7700"),
            ("localhost", "127.0.0.1:7700"),
            (":7702", "[::]:7702"),
            ("7703", "[::]:7703"),
            ("0.0.0.0", "0.0.0.0:7700"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:7704", "[::1]:7704"),
            ("::1", "[::1]:7700"),
            ("[::]", "[::]:7700"),
        ] {
            assert_eq!(address(text).map(|address| address.to_string()), Ok(want.to_owned()), "{text}");
        }
        for bad in ["", "127.0.0.1:port", "7700000", "127.0.0.1:-1", "http://127.0.0.1:7700"] {
            let why = address(bad).unwrap_err();
            assert!(why.contains("for example 127.0.0.1:7700"), "{bad}: {why}");
        }
    }
}
