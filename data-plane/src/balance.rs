//! Which backend and which endpoint a request goes to.
//!
//! Pure, and apart from the pools: the draw and the turn are arguments, so that a test can say
//! what must come of them.

mod subset;

use crate::router::WeightedBackend;

pub use subset::Subset;

/// The backend that `draw`, any number, falls on; `None` if no backend has weight.
pub fn backend(backends: &[WeightedBackend], draw: u64) -> Option<&WeightedBackend> {
    if let [only] = backends {
        return (only.weight > 0).then_some(only);
    }
    let total: u64 = backends
        .iter()
        .map(|backend| u64::from(backend.weight))
        .sum();
    let mut place = draw.checked_rem(total)?;
    backends.iter().find(|backend| {
        let weight = u64::from(backend.weight);
        let here = place < weight;
        place = place.wrapping_sub(weight);
        here
    })
}

/// The endpoints to try for one request, in turn: at most `tries`, each once.
#[derive(Clone, Debug)]
pub struct Rotation {
    endpoints: usize,
    next: usize,
    left: usize,
}

impl Rotation {
    /// `turn` counts requests; the endpoints are taken round.
    pub fn new(endpoints: usize, turn: usize, tries: usize) -> Self {
        Self {
            endpoints,
            next: turn.checked_rem(endpoints).unwrap_or(0),
            left: tries.min(endpoints),
        }
    }
}

impl Iterator for Rotation {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.next;
        self.next = if place + 1 == self.endpoints {
            0
        } else {
            place + 1
        };
        Some(place)
    }
}

/// Draws numbers for the choice among backends: good enough to share out, nothing to keep secret.
#[derive(Debug)]
pub struct Draws(std::cell::Cell<u64>);

impl Draws {
    /// Draws of its own for each seed.
    pub fn new(seed: u64) -> Self {
        // An odd multiple: different for each seed, far apart, and 0, where the draws would
        // stand still, for one seed that nobody has.
        let state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self(std::cell::Cell::new(state))
    }

    /// The next number (xorshift64*).
    pub fn draw(&self) -> u64 {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends(weights: &[u32]) -> Vec<WeightedBackend> {
        let backend = |&weight| WeightedBackend {
            upstream: None,
            weight,
        };
        weights.iter().map(backend).collect()
    }

    #[test]
    fn every_draw_falls_where_the_weights_say() {
        for (weights, places) in [
            (&[1][..], &[Some(0), Some(0)][..]),
            (&[0], &[None, None]),
            (&[], &[None]),
            (&[0, 0], &[None]),
            (&[2, 0, 1], &[Some(0), Some(0), Some(2), Some(0)]),
            (&[u32::MAX, u32::MAX], &[Some(0)]),
        ] {
            let backends = backends(weights);
            for (draw, place) in places.iter().enumerate() {
                let found = backend(&backends, draw as u64);
                let expected = place.map(|place: usize| &backends[place]);
                assert!(
                    found.map(std::ptr::from_ref) == expected.map(std::ptr::from_ref),
                    "{weights:?} {draw}"
                );
            }
        }
    }

    #[test]
    fn endpoints_are_taken_in_turn_and_each_once() {
        let tried =
            |endpoints, turn, tries| Rotation::new(endpoints, turn, tries).collect::<Vec<_>>();
        assert_eq!(tried(3, 0, 3), [0, 1, 2]);
        assert_eq!(tried(3, 5, 2), [2, 0]);
        assert_eq!(tried(2, 1, 3), [1, 0]);
        assert!(tried(0, 7, 3).is_empty());
        assert_eq!(tried(5, usize::MAX, 3).len(), 3);
    }

    #[test]
    fn draws_share_out_evenly_and_no_two_threads_alike() {
        let backends = backends(&[1, 3]);
        let mut seen = Vec::new();
        for thread in 0..8 {
            let draws = Draws::new(thread);
            let begun: Vec<_> = (0..64).map(|_| draws.draw() % 2).collect();
            assert!(!seen.contains(&begun), "{thread}");
            seen.push(begun);
            let first = (0..10_000)
                .filter(|_| std::ptr::eq(backend(&backends, draws.draw()).unwrap(), &backends[0]))
                .count();
            assert!((2_300..2_700).contains(&first), "{thread}: {first}");
        }
    }
}
