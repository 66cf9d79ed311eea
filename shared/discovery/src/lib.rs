//! Farms of this network, told and found by multicast DNS (RFC 6762, RFC 6763).
//!
//! What is found is an address and no more: anybody may tell anything. Whom it leads to is for TLS to say, by the farm's authority.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use wanfarm_types::KeyId;

/// What coordinators are found as.
const SERVICE: &str = "_wanfarm._tcp.local.";
/// Under which the authority's name stands.
const AUTHORITY: &str = "authority";
/// Answers that are looked at.
const MOST: usize = 64;

/// A coordinator tells others where it is, until this is dropped.
pub struct Announcement {
    daemon: ServiceDaemon,
}

/// Nothing can be told or heard by multicast here.
#[derive(Debug, thiserror::Error)]
#[error("this machine does not speak multicast DNS: {0}")]
pub struct NoMulticast(#[from] mdns_sd::Error);

impl Announcement {
    /// That the coordinator of this farm listens on a port of this machine, which calls itself `host`.
    ///
    /// # Errors
    /// When nothing can be told here.
    pub fn new(host: &str, port: u16, authority: KeyId) -> Result<Self, NoMulticast> {
        let daemon = ServiceDaemon::new()?;
        let short = host.split('.').next().unwrap_or_default();
        let authority = authority.to_string();
        // Two on one machine are two.
        let name = format!("{short} {port}");
        let known_as = [(AUTHORITY, authority.as_str())];
        let service = ServiceInfo::new(SERVICE, &name, &format!("{short}.local."), (), port, &known_as[..])?;
        daemon.register(service.enable_addr_auto())?;
        Ok(Self { daemon })
    }
}

impl std::fmt::Debug for Announcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Announcement")
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // It says goodbye, or has gone already.
        let _ = self.daemon.shutdown();
    }
}

/// Where the coordinator of a farm is, as `host:port`; `None` when nobody has said so in time. Blocks for as long.
///
/// # Errors
/// When nothing can be heard here.
pub fn find(authority: &KeyId, patience: Duration) -> Result<Option<String>, NoMulticast> {
    let daemon = ServiceDaemon::new()?;
    let heard = daemon.browse(SERVICE)?;
    let end = Instant::now() + patience;
    let mut found = None;
    for _ in 0..MOST {
        let Some(left) = end.checked_duration_since(Instant::now()) else { break };
        match heard.recv_timeout(left) {
            Ok(ServiceEvent::ServiceResolved(service)) if is_of(&service, authority) => {
                found = best(service.addresses.iter().map(|address| address.to_ip_addr()), service.port);
                if found.is_some() {
                    break;
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let _ = daemon.shutdown();
    Ok(found)
}

fn is_of(service: &ResolvedService, authority: &KeyId) -> bool {
    let told = service.txt_properties.get_property_val_str(AUTHORITY);
    told.and_then(|told| told.parse().ok()) == Some(*authority)
}

/// The address to dial: of this machine's networks, by IPv4 where that is there. One that needs a zone is none.
fn best(addresses: impl IntoIterator<Item = IpAddr>, port: u16) -> Option<String> {
    let is_local = |ip: &Ipv6Addr| ip.is_unicast_link_local();
    let rank = |address: &IpAddr| match address {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() => Some(0),
        IpAddr::V6(ip) if !ip.is_loopback() && !is_local(ip) => Some(1),
        IpAddr::V4(ip) if ip.is_link_local() => Some(2),
        IpAddr::V4(_) => Some(3),
        IpAddr::V6(_) => None,
    };
    let ranked = addresses.into_iter().filter_map(|address| Some((rank(&address)?, address)));
    ranked.min().map(|(_, address)| match address {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(addresses: &[&str]) -> Option<String> {
        best(addresses.iter().map(|address| address.parse().unwrap()), 7700)
    }

    #[test]
    fn of_several_addresses_one_is_dialled_that_needs_no_zone() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(chosen(&["fe80::1", "fd07::1", "10.0.0.5", "169.254.1.1"]), some("10.0.0.5:7700"));
        assert_eq!(chosen(&["fe80::1", "fd07::1", "127.0.0.1"]), some("[fd07::1]:7700"));
        assert_eq!(chosen(&["169.254.1.1", "fe80::1"]), some("169.254.1.1:7700"));
        assert_eq!(chosen(&["127.0.0.1"]), some("127.0.0.1:7700"));
        assert_eq!(chosen(&["fe80::1"]), None);
        assert_eq!(chosen(&[]), None);
    }
}
