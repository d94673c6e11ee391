//! Places of which each address may have a few: what takes one costs us something before we know
//! who it is, and nobody is to take all.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

/// Who has how many places. A clone is another handle.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    most: usize,
    taken: Arc<ArcSwap<OrdMap<IpAddr, usize>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    address: IpAddr,
}

impl Shares {
    /// So many for each address.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// None if the address has all that it may.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        // The same host, whichever way its address is written.
        let address = address.to_canonical();
        let free = |taken: &OrdMap<IpAddr, usize>| {
            let taken = taken.get(&address).copied().unwrap_or_default();
            (taken < self.most).then_some(taken + 1)
        };
        let before = self.taken.rcu(|taken| match free(taken) {
            Some(now) => taken.update(address, now),
            None => OrdMap::clone(taken),
        });
        free(&before).map(|_| Share {
            shares: self.clone(),
            address,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let address = &self.address;
        self.shares.taken.rcu(|taken| match taken.get(address) {
            Some(2..) => taken.alter(|taken| taken.map(|taken| taken - 1), *address),
            Some(_) | None => taken.without(address),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_no_others_place() {
        let shares = Shares::new(2);
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = shares.take(one).unwrap();
        let _second = shares.take("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(shares.take(one).is_none());
        let others = [shares.take(other).unwrap(), shares.take(other).unwrap()];
        drop(first);
        let _again = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        drop(others);
        assert_eq!(shares.taken.load().len(), 1);
    }
}
