use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use access::network;

use super::activity::{Activity, reached};
use platform::Rarely;

/// The places for connections: their number is limited, in all and for each address. The network of an IPv6 address
/// counts as one address, because a client usually has all its addresses.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) in_all: usize,
    by_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    by_address: HashMap<IpAddr, Vec<Arc<Activity>>>,
}

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    pub(crate) activity: Arc<Activity>,
}

impl Places {
    /// This number of places, of which one address can take so many. Both are at least 1.
    pub(crate) fn new(in_all: usize, by_address: usize) -> Arc<Self> {
        Arc::new(Self { in_all, by_address, taken: Mutex::default() })
    }

    /// Takes a place for a new connection from this address. If there is none, an idle connection of the same address
    /// is closed, or one of the address that has most connections. Returns `None` if these have calls in flight.
    pub(crate) fn take(self: &Arc<Self>, remote: IpAddr) -> Option<Place> {
        let address = network(remote);
        let mut taken = self.lock();
        if taken.of(&address) >= self.by_address {
            is_full("max_address_connections", address);
            taken.close_idle(&address)?;
        } else if taken.count >= self.in_all {
            is_full("max_client_connections", address);
            let most = *taken.by_address.iter().max_by_key(|(_, connections)| connections.len())?.0;
            taken.close_idle(&most)?;
        }
        let activity = Activity::new();
        taken.by_address.entry(address).or_default().push(activity.clone());
        taken.count += 1;
        Some(Place { places: self.clone(), address, activity })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The number of connections of an address.
    fn of(&self, address: &IpAddr) -> usize {
        self.by_address.get(address).map_or(0, Vec::len)
    }

    /// Closes a connection of this address that has no call in flight: if possible one that never had a call, and the
    /// one that has had none for longest.
    fn close_idle(&mut self, address: &IpAddr) -> Option<()> {
        let idle = self.by_address.get(address)?.iter().filter_map(|activity| {
            let begin = activity.idle.begin_time()?;
            Some(((activity.silent.begin_time().is_none(), begin), activity.clone()))
        });
        let (_, activity) = idle.min_by_key(|(order, _)| *order)?;
        activity.closing.cancel();
        self.remove(address, &activity);
        Some(())
    }

    /// Removes a connection, unless it was removed before.
    fn remove(&mut self, address: &IpAddr, activity: &Arc<Activity>) {
        let Some(connections) = self.by_address.get_mut(address) else { return };
        let Some(place) = connections.iter().position(|other| Arc::ptr_eq(other, activity)) else { return };
        connections.swap_remove(place);
        if connections.is_empty() {
            self.by_address.remove(address);
        }
        self.count -= 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(&self.address, &self.activity);
    }
}

/// Counts that there is no place for a connection from this address, and logs it.
fn is_full(limit: &'static str, address: IpAddr) {
    static FULL: Rarely = Rarely::new();
    reached(limit);
    if let Some(times) = FULL.times() {
        tracing::warn!(limit, %address, times, "too many client connections: closed one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "127.0.0.1";

    fn take(places: &Arc<Places>, address: &str) -> Option<Place> {
        places.take(address.parse().unwrap())
    }

    #[test]
    fn an_address_keeps_its_connections_with_calls_and_loses_idle_ones() {
        let places = Places::new(10, 2);
        let (first, second) = (take(&places, A).unwrap(), take(&places, A).unwrap());
        let call = first.activity.call();
        let third = take(&places, A).unwrap();
        assert!(second.activity.closing.is_cancelled() && !first.activity.closing.is_cancelled());
        let other = third.activity.call();
        assert!(take(&places, A).is_none());
        assert!(take(&places, "127.0.0.2").is_some());
        drop((second, call));
        // It has had a call, and is idle now.
        assert!(take(&places, A).is_some());
        assert!(first.activity.closing.is_cancelled() && !third.activity.closing.is_cancelled());
        drop(other);
    }

    #[test]
    fn the_address_with_most_connections_makes_room() {
        let places = Places::new(4, 3);
        let crowd: Vec<_> = (0..3).map(|_| take(&places, A).unwrap()).collect();
        let other = take(&places, "127.0.0.2").unwrap();
        let newcomer = take(&places, "127.0.0.3").unwrap();
        assert!(!other.activity.closing.is_cancelled());
        assert_eq!(crowd.iter().filter(|place| place.activity.closing.is_cancelled()).count(), 1);
        drop((crowd, other, newcomer));
        assert_eq!(places.lock().count, 0);
        assert!(places.lock().by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = Places::new(10, 1);
        let first = take(&places, "2001:db8::1").unwrap();
        let _call = first.activity.call();
        assert!(take(&places, "2001:db8::ffff:2").is_none());
        assert!(take(&places, "2001:db8:0:1::1").is_some());
        let mapped = take(&places, "::ffff:192.0.2.1").unwrap();
        let _call = mapped.activity.call();
        assert!(take(&places, "192.0.2.1").is_none());
    }
}
