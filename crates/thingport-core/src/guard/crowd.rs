//! How many are inside at once, in total and from one address; a place is given back by itself.

use core::net::IpAddr;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Network, group};

/// A bounded number of places. A bound of 0 is none.
#[derive(Debug)]
pub struct Crowd {
    max: u32,
    per_address_max: u32,
    exempt: Vec<Network>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: u32,
    /// As many entries as there are places taken, at most.
    addresses: HashMap<u128, u32>,
}

/// Which bound bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That on all together.
    All,
    /// That on one address, or one /64 of IPv6.
    Address,
}

/// A place inside; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    ip: IpAddr,
}

impl Crowd {
    /// Nobody is inside yet. The addresses of `exempt` count in total alone.
    #[must_use]
    pub fn new(max: u32, per_address_max: u32, exempt: Vec<Network>) -> Arc<Self> {
        Arc::new(Self { max, per_address_max, exempt, inside: Mutex::default() })
    }

    /// A place for somebody from `ip`.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Full> {
        let mut inside = self.inside.lock();
        if self.max > 0 && inside.all >= self.max {
            return Err(Full::All);
        }
        if self.counts(ip) {
            let from_there = inside.addresses.entry(group(ip)).or_default();
            if *from_there >= self.per_address_max {
                return Err(Full::Address);
            }
            *from_there += 1;
        }
        inside.all += 1;
        Ok(Place { crowd: Arc::clone(self), ip })
    }

    fn counts(&self, ip: IpAddr) -> bool {
        self.per_address_max > 0 && !self.exempt.iter().any(|network| network.contains(ip))
    }

    fn leave(&self, ip: IpAddr) {
        let mut inside = self.inside.lock();
        inside.all = inside.all.saturating_sub(1);
        let key = group(ip);
        if let Some(from_there) = inside.addresses.get_mut(&key) {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                inside.addresses.remove(&key);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.leave(self.ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_share_and_a_place_left_is_free_again() {
        let crowd = Crowd::new(0, 2, vec![Network::LOOPBACK_V4]);
        let enter = |from| crowd.enter(ip(from));
        let taken = [enter("192.0.2.1"), enter("192.0.2.1"), enter("2001:db8::1")];
        assert!(taken.iter().all(Result::is_ok));
        assert_eq!(enter("192.0.2.1").err(), Some(Full::Address));
        assert_eq!(enter("::ffff:192.0.2.1").err(), Some(Full::Address), "the same address");
        let second = enter("2001:db8::2").expect("one more of that /64");
        assert_eq!(enter("2001:db8::3").err(), Some(Full::Address), "a /64 is one address");
        let exempt: Vec<_> = (0..10).map(|_| enter("127.0.0.1")).collect();
        assert!(exempt.iter().all(Result::is_ok));
        drop(second);
        assert!(enter("2001:db8::3").is_ok());
        drop((taken, exempt));
        assert!(crowd.inside.lock().addresses.is_empty(), "nothing is remembered");
        assert_eq!(crowd.inside.lock().all, 0);
    }

    #[test]
    fn all_together_are_bounded_exempt_or_not() {
        let crowd = Crowd::new(2, 0, vec![Network::LOOPBACK_V4]);
        let taken = [crowd.enter(ip("192.0.2.1")), crowd.enter(ip("127.0.0.1"))];
        assert!(taken.iter().all(Result::is_ok));
        assert_eq!(crowd.enter(ip("127.0.0.1")).err(), Some(Full::All));
        drop(taken);
        assert!(crowd.enter(ip("192.0.2.3")).is_ok());
    }
}
