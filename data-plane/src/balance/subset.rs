//! The endpoints of a large upstream that one thread uses for now.
//!
//! Apart from the turns, which are taken among them. With a thousand endpoints, each thread of
//! each proxy would else keep a connection or more to every one of them, each used too seldom to
//! be open still when it is needed, and each endpoint would have one for every thread of the
//! cluster.

/// A window of the ring of endpoints, which moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subset {
    endpoints: usize,
    first: usize,
}

/// Endpoints that a thread uses at a time. With that many, one that fails or is slow takes little
/// of a thread's traffic, and a thread that sends a thousand requests a second uses each often
/// enough to keep its connections. No upstream that is smaller is touched.
const MOST: usize = 64;

/// Endpoints that change each time that the window moves: an eighth, so that most connections
/// stay.
const STEP: usize = MOST / 8;

impl Subset {
    /// The window that begins with this place of the ring, which may be any number.
    pub fn new(endpoints: usize, first: usize) -> Self {
        let first = match endpoints > MOST {
            true => first % endpoints,
            false => 0,
        };
        Self { endpoints, first }
    }

    /// Where a thread begins. The windows of a process' threads are laid end to end, so that
    /// together they use each endpoint alike; `seed` tells processes apart.
    pub fn of_thread(endpoints: usize, seed: u64, thread: usize) -> Self {
        let ring = endpoints.max(1) as u64;
        let first = seed % ring + (thread as u64 % ring) * (MOST as u64);
        Self::new(endpoints, usize::try_from(first % ring).unwrap_or(0))
    }

    /// Whether it has all endpoints, and always will.
    pub fn is_whole(self) -> bool {
        self.endpoints <= MOST
    }

    /// The next window.
    #[must_use]
    pub fn moved(self) -> Self {
        Self::new(self.endpoints, self.first + STEP)
    }

    /// The places of its endpoints in the list of all, in turn.
    pub fn places(self) -> impl Iterator<Item = usize> {
        let wrap = move |place| match place < self.endpoints {
            true => place,
            false => place - self.endpoints,
        };
        (self.first..self.first + self.endpoints.min(MOST)).map(wrap)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// How often each endpoint is in one of these.
    fn uses(endpoints: usize, subsets: impl IntoIterator<Item = Subset>) -> Vec<usize> {
        let mut uses = vec![0; endpoints];
        for place in subsets.into_iter().flat_map(Subset::places) {
            uses[place] += 1;
        }
        uses
    }

    fn set(subset: Subset) -> BTreeSet<usize> {
        subset.places().collect()
    }

    proptest! {
        #[test]
        fn a_small_upstream_is_used_whole_and_in_its_order(
            endpoints in 0..=MOST, seed in any::<u64>(), thread in 0..64_usize,
        ) {
            let subset = Subset::of_thread(endpoints, seed, thread);
            prop_assert!(subset.is_whole());
            prop_assert!(subset.places().eq(0..endpoints));
            prop_assert_eq!(subset.moved(), subset);
        }

        #[test]
        fn at_any_time_threads_use_each_endpoint_alike(
            endpoints in MOST + 1..1500, seed in any::<u64>(), threads in 1..64_usize,
            moves in 0..100,
        ) {
            let moved = |thread| (0..moves).fold(
                Subset::of_thread(endpoints, seed, thread),
                |subset, _| subset.moved(),
            );
            let uses = uses(endpoints, (0..threads).map(moved));
            let fair = threads * MOST / endpoints;
            prop_assert!(uses.iter().all(|uses| (fair..=fair + 1).contains(uses)), "{:?}", uses);
            prop_assert_ne!(set(moved(0)), set(moved(1)));
        }

        #[test]
        fn in_time_a_thread_uses_each_endpoint_equally_often(
            endpoints in MOST + 1..400, seed in any::<u64>(), thread in 0..64_usize,
        ) {
            let first = Subset::of_thread(endpoints, seed, thread);
            let following = std::iter::successors(Some(first.moved()), |subset| Some(subset.moved()));
            let round: Vec<_> = following.take_while(|subset| *subset != first).chain([first]).collect();
            let uses = uses(endpoints, round.iter().copied());
            prop_assert!(uses.iter().all(|each| *each == uses[0]), "{:?}", uses);
            for pair in round.windows(2) {
                let stay = set(pair[0]).intersection(&set(pair[1])).count();
                prop_assert!(stay >= MOST - STEP);
                prop_assert_eq!(set(pair[0]).len(), MOST);
            }
        }
    }
}
