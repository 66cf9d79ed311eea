//! How many there are, and whose: of connections a part of what the process may have open, and of that no address more than half.
//! When all places are taken, one of the address that has most goes to whoever has fewer. So whoever connects without end takes
//! neither the files that a coordinator writes nor the way in from others. Of requests the same.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

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
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    /// In all.
    given: u64,
    /// Of each address, the oldest first.
    by_address: BTreeMap<IpAddr, BTreeMap<u64, Arc<Loss>>>,
}

/// Whether a place was taken away.
#[derive(Debug, Default)]
struct Loss {
    is_lost: AtomicBool,
    waiting: AtomicWaker,
}

/// The place of one of them, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    number: u64,
    loss: Arc<Loss>,
    places: Arc<Mutex<Places>>,
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
        Self { most, each, places: Arc::default() }
    }

    /// A place for one from this address.
    ///
    /// # Errors
    /// There is none.
    pub fn admit(&self, address: IpAddr) -> Result<Place, Full> {
        let address = whose(address);
        let mut places = lock(&self.places);
        let own = places.of(address);
        if own >= self.each {
            return Err(Full::Address);
        }
        if places.taken >= self.most && !places.take_from_another(own) {
            return Err(Full::All);
        }
        let (number, loss) = (places.given, Arc::<Loss>::default());
        places.given += 1;
        places.taken += 1;
        places.by_address.entry(address).or_default().insert(number, loss.clone());
        drop(places);
        Ok(Place { address, number, loss, places: self.places.clone() })
    }
}

impl Places {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).map_or(0, BTreeMap::len)
    }

    /// Takes the oldest place of the address that has most, if that has more than the one that comes would have.
    fn take_from_another(&mut self, own: usize) -> bool {
        let richest = self.by_address.iter().max_by_key(|(_, places)| places.len());
        let Some((&address, _)) = richest.filter(|(_, places)| places.len() > own + 1) else { return false };
        let oldest = self.by_address.get(&address).and_then(|places| places.keys().next().copied());
        let Some(loss) = oldest.and_then(|oldest| self.leave(address, oldest)) else { return false };
        loss.is_lost.store(true, Ordering::Release);
        loss.waiting.wake();
        true
    }

    fn leave(&mut self, address: IpAddr, number: u64) -> Option<Arc<Loss>> {
        let own = self.by_address.get_mut(&address)?;
        let left = own.remove(&number)?;
        if own.is_empty() {
            self.by_address.remove(&address);
        }
        self.taken -= 1;
        Some(left)
    }
}

impl Place {
    /// Ready when somebody else was given the place.
    pub fn poll_lost(&self, cx: &Context<'_>) -> Poll<()> {
        self.loss.waiting.register(cx.waker());
        if self.loss.is_lost.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places).leave(self.address, self.number);
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One address in whatever form it comes, and one network of IPv6, all of which one machine may have.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
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

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_lost(place: &Place) -> bool {
        place.poll_lost(&Context::from_waker(futures::task::noop_waker_ref())).is_ready()
    }

    #[test]
    fn no_address_takes_more_than_half_and_who_has_fewer_gets_of_who_has_most() {
        let crowd = Crowd::of(LEAST, LEAST / 2);
        let [a, b, c] = ["10.0.0.1", "10.0.0.2", "::1"].map(ip);
        let of_a: Vec<Place> = (0..LEAST / 2).map(|_| crowd.admit(a).unwrap()).collect();
        assert_eq!(crowd.admit(a).unwrap_err(), Full::Address);
        assert_eq!(crowd.admit(ip("::ffff:10.0.0.1")).unwrap_err(), Full::Address, "the same in IPv6");
        let mut of_b: Vec<Place> = (0..LEAST / 2 - 1).map(|_| crowd.admit(b).unwrap()).collect();
        of_b.push(crowd.admit(b).unwrap());
        // All are taken. Of the two that have most, one loses its oldest.
        let of_c = crowd.admit(c).unwrap();
        assert_eq!(of_a.iter().chain(&of_b).filter(|place| is_lost(place)).count(), 1);
        assert!(is_lost(&of_a[0]) != is_lost(&of_b[0]) && !is_lost(&of_c));
        assert_eq!(lock(&crowd.places).taken, LEAST, "however long the one that lost it stays");
        // Who has as many as anybody takes nothing from others.
        let loser = if is_lost(&of_a[0]) { a } else { b };
        assert_eq!(crowd.admit(loser).unwrap_err(), Full::All);
        drop((of_a, of_b, of_c));
        assert!(lock(&crowd.places).by_address.is_empty() && lock(&crowd.places).taken == 0);
        assert!(crowd.admit(a).is_ok());
    }

    #[test]
    fn a_machine_with_many_addresses_of_ipv6_is_one() {
        let crowd = Crowd::of(100, 2);
        let _places = ["2001:db8::1", "2001:db8::2:3"].map(|own| crowd.admit(ip(own)).unwrap());
        assert_eq!(crowd.admit(ip("2001:db8::ffff")).unwrap_err(), Full::Address);
        assert!(crowd.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn where_everybody_has_one_nobody_loses_it() {
        let crowd = Crowd::of(LEAST, LEAST / 2);
        let _places: Vec<Place> = (0..LEAST).map(|n| crowd.admit(ip(&format!("10.0.1.{n}"))).unwrap()).collect();
        assert_eq!(crowd.admit(ip("10.0.2.1")).unwrap_err(), Full::All);
    }

    #[test]
    fn a_process_may_open_some_files() {
        assert!(descriptors() >= 64);
    }
}
