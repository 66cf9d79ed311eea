//! By which address a worker's tensors are read, by whom, and whether anybody answers there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use wanfarm_proto::{BadLocation, Location};

/// The two ends of a worker's connection, as the coordinator sees them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends {
    /// Where the worker is.
    pub remote: Option<SocketAddr>,
    /// Which address of this machine it dialled.
    pub local: Option<SocketAddr>,
}

impl Ends {
    /// The worker's machine.
    fn machine(&self) -> Option<IpAddr> {
        self.remote.map(|remote| remote.ip().to_canonical())
    }
}

/// The address a worker gives for its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Not given.
    Unknown,
    /// At this address, for everybody.
    Given(Location),
    /// On every interface of the machine with this address.
    Everywhere(IpAddr, u16),
    /// On the loopback interface of the machine with this address: for nobody else.
    OwnMachine(IpAddr, Location),
}

impl Address {
    /// Reads what a worker said on a connection. One that listens on every interface cannot know by which address others
    /// reach it; we do.
    ///
    /// # Errors
    /// When that is no address of a tensor service.
    pub fn read(url: &str, ends: Ends) -> Result<Self, BadLocation> {
        if url.is_empty() {
            return Ok(Self::Unknown);
        }
        let location: Location = url.parse()?;
        Ok(match (location.ip(), ends.machine()) {
            (Some(ip), Some(machine)) if ip.is_unspecified() => Self::Everywhere(machine, location.port()),
            (Some(ip), Some(machine)) if ip.to_canonical().is_loopback() => Self::OwnMachine(machine, location),
            _ => Self::Given(location),
        })
    }

    /// The address the coordinator reads from.
    pub fn here(&self) -> Option<Location> {
        match self {
            Self::Unknown => None,
            Self::Given(location) => Some(location.clone()),
            Self::Everywhere(machine, port) => Some(Location::new(*machine, *port)),
            Self::OwnMachine(machine, location) => machine.is_loopback().then(|| location.clone()),
        }
    }

    /// Where the worker at the end of another connection reads them. A machine that is this one has for others the
    /// address by which they have come here.
    pub fn seen_by(&self, reader: Ends) -> Option<Location> {
        let is_here = reader.machine().is_none_or(|machine| machine.is_loopback());
        match self {
            Self::Everywhere(machine, port) if machine.is_loopback() && !is_here => {
                reader.local.map(|local| Location::new(local.ip(), *port))
            }
            Self::OwnMachine(machine, location) => {
                (reader.machine().is_none_or(|reader| reader == *machine)).then(|| location.clone())
            }
            _ => self.here(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::Given(location) | Self::OwnMachine(_, location) => location.fmt(f),
            Self::Everywhere(machine, port) => Location::new(*machine, *port).fmt(f),
        }
    }
}

/// Whether a worker's address answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Not tried yet.
    Untried,
    /// The coordinator has reached it.
    Reached,
    /// It has not, for this reason.
    Unreached(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(remote: &str, local: &str) -> Ends {
        let address = |text: &str| text.parse().ok();
        Ends { remote: address(remote), local: address(local) }
    }

    fn seen(url: &str, of: Ends, by: Ends) -> [Option<String>; 2] {
        let address = Address::read(url, of).unwrap();
        [address.here(), address.seen_by(by)].map(|location| location.map(|location| location.to_string()))
    }

    fn both(location: &str) -> [Option<String>; 2] {
        [Some(location.to_owned()), Some(location.to_owned())]
    }

    #[test]
    fn a_worker_on_every_interface_is_reached_where_it_came_from() {
        let reader = ends("10.0.0.9:1", "10.0.0.1:7700");
        let of = |remote| ends(remote, "10.0.0.1:7700");
        assert_eq!(seen("0.0.0.0:7001", of("10.0.0.7:51234"), reader), both("10.0.0.7:7001"));
        assert_eq!(seen("[::]:7001", of("[::ffff:10.0.0.7]:5"), reader), both("10.0.0.7:7001"));
        assert_eq!(seen("[::]:1", of("[fd07::2]:5"), reader), both("[fd07::2]:1"));
        assert_eq!(seen("mac-3.local:1", of("10.0.0.7:5"), reader), both("mac-3.local:1"));
    }

    #[test]
    fn a_worker_beside_the_coordinator_has_for_others_the_address_they_dialled() {
        let beside = ends("127.0.0.1:5", "127.0.0.1:7700");
        let (elsewhere, also_beside) = (ends("10.0.0.9:1", "10.0.0.1:7700"), ends("127.0.0.1:6", "127.0.0.1:7700"));
        let here = Some("127.0.0.1:7001".to_owned());
        let there = Some("10.0.0.1:7001".to_owned());
        assert_eq!(seen("[::]:7001", beside, elsewhere), [here.clone(), there]);
        assert_eq!(seen("[::]:7001", beside, also_beside), [here.clone(), here]);
        let v6 = ends("[fd07::9]:1", "[fd07::1]:7700");
        assert_eq!(seen("[::]:1", beside, v6)[1].as_deref(), Some("[fd07::1]:1"));
    }

    #[test]
    fn a_worker_that_listens_for_its_own_machine_is_nobody_elses() {
        let url = "127.0.0.1:7001";
        let far = ends("10.0.0.7:5", "10.0.0.1:7700");
        let own = Some(url.to_owned());
        assert_eq!(seen(url, far, ends("10.0.0.9:1", "10.0.0.1:7700")), [None, None]);
        assert_eq!(seen(url, far, ends("10.0.0.7:9", "10.0.0.1:7700")), [None, own.clone()]);
        let beside = ends("127.0.0.1:5", "127.0.0.1:7700");
        assert_eq!(seen(url, beside, ends("10.0.0.9:1", "10.0.0.1:7700")), [own, None]);
    }

    #[test]
    fn what_is_no_address_of_a_tensor_service_is_not_taken_in() {
        for bad in ["unix:/run/secret", "https://farm:1", "file:///etc/passwd", "http://10.0.0.1:9", "farm:1/x"] {
            assert!(Address::read(bad, Ends::default()).is_err(), "{bad}");
        }
        assert_eq!(Address::read("", Ends::default()), Ok(Address::Unknown));
    }
}
