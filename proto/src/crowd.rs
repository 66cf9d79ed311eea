//! How many there are, and whose: of connections a part of what the process may have open, and of that no address more than half.
//! So whoever connects without end takes neither the files that a coordinator writes nor the way in from others. Of requests the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Files that a process which listens wants to be able to open: as in the service files.
const WANTED: u64 = 8192;
/// Fewer connections than this are none.
const LEAST: usize = 16;

/// The connections, or the requests, of one listener.
#[derive(Debug, Clone)]
pub struct Crowd {
    most: usize,
    /// Of one address.
    each: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// The place of one of them, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All of them are taken.
    All,
    /// This address has taken as many as it may.
    Address,
}

impl Crowd {
    /// Three quarters of what this process may have open, which is raised as far as the system lets it.
    pub(crate) fn new() -> Self {
        let most = usize::try_from(descriptors() / 4 * 3).unwrap_or(usize::MAX).max(LEAST);
        Self::of(most, most / 2)
    }

    /// So many at most, and so many of one address.
    pub fn of(most: usize, each: usize) -> Self {
        Self { most, each, counts: Arc::default() }
    }

    /// A place for one from this address.
    ///
    /// # Errors
    /// There is none.
    pub fn admit(&self, address: IpAddr) -> Result<Place, Full> {
        // One address, in whatever form it comes.
        let address = address.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.most {
            return Err(Full::All);
        }
        let own = counts.by_address.entry(address).or_default();
        if *own >= self.each {
            return Err(Full::Address);
        }
        *own += 1;
        counts.all += 1;
        Ok(Place { address, counts: self.counts.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(own) = counts.by_address.get_mut(&self.address) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// How many files this process may have open.
#[cfg(unix)]
fn descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED, |most| most.min(WANTED));
    match current {
        Some(current) if current < wanted => {
            match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
                Ok(()) => wanted,
                Err(_) => current,
            }
        }
        Some(current) => current,
        None => WANTED,
    }
}

#[cfg(not(unix))]
fn descriptors() -> u64 {
    WANTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_more_than_half_and_all_together_no_more_than_there_are() {
        let crowd = Crowd::of(LEAST, LEAST / 2);
        let (a, b, c): (IpAddr, IpAddr, IpAddr) =
            ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "::1".parse().unwrap());
        let mut of_a: Vec<Place> = (0..LEAST / 2).map(|_| crowd.admit(a).unwrap()).collect();
        assert_eq!(crowd.admit(a).unwrap_err(), Full::Address);
        assert_eq!(crowd.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap_err(), Full::Address, "the same in IPv6");
        let of_b: Vec<Place> = (0..LEAST / 2).map(|_| crowd.admit(b).unwrap()).collect();
        assert_eq!(crowd.admit(c).unwrap_err(), Full::All);
        of_a.pop();
        let of_c = crowd.admit(c).unwrap();
        assert_eq!(crowd.admit(a).unwrap_err(), Full::All);
        drop((of_a, of_b, of_c));
        assert!(crowd.counts.lock().unwrap().by_address.is_empty());
        assert!(crowd.admit(a).is_ok());
    }

    #[test]
    fn a_process_may_open_some_files() {
        assert!(descriptors() >= 64);
    }
}
