//! One stream for each name: the newest.
//!
//! Apart from `Presence`, which learns of streams by reports and a moment later: here a
//! stream that was replaced is told so at once.

use std::ops::Bound;
use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;
use tokio::sync::Notify;

use crate::presence::StreamId;

/// Who streams under which name. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Seats {
    taken: Arc<ArcSwap<OrdMap<Arc<str>, Arc<Occupant>>>>,
}

#[derive(Debug)]
struct Occupant {
    stream: StreamId,
    by: By,
    replaced: Notify,
}

/// By what someone streams. A token is the same for all who have it, and says nothing of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Certificate,
    Token,
}

/// The right to stream under a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    name: Arc<str>,
    occupant: Arc<Occupant>,
}

/// A name cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// By a stream that was opened later.
    ByNewer,
    /// By one with a certificate, whose name it is.
    ByCertificate,
    /// There are too many streams.
    Full,
}

impl Seats {
    /// Takes the name from whoever has it.
    pub(super) fn take(&self, name: &Arc<str>, stream: StreamId, by: By) -> Result<Seat, Taken> {
        let taken = self.taken.load();
        let crowded = taken.len() >= MOST || of_node(&taken, name, by) >= MOST_OF_NODE;
        if crowded && !taken.contains_key(name) {
            return Err(Taken::Full);
        }
        drop(taken);
        let occupant = Arc::new(Occupant {
            stream,
            by,
            replaced: Notify::new(),
        });
        let withheld = |taken: &OrdMap<_, Arc<Occupant>>| {
            let other: &Arc<Occupant> = taken.get(name)?;
            if other.by == By::Certificate && by == By::Token {
                return Some(Taken::ByCertificate);
            }
            (other.stream > stream).then_some(Taken::ByNewer)
        };
        let before = self.taken.rcu(|taken| {
            if withheld(taken).is_some() {
                return OrdMap::clone(taken);
            }
            taken.update(Arc::clone(name), Arc::clone(&occupant))
        });
        if let Some(withheld) = withheld(&before) {
            return Err(withheld);
        }
        if let Some(other) = before.get(name) {
            other.replaced.notify_one();
        }
        Ok(Seat {
            seats: self.clone(),
            name: Arc::clone(name),
            occupant,
        })
    }
}

impl Seat {
    /// Ends when another stream has taken the name.
    pub(super) async fn replaced(&self) {
        self.occupant.replaced.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.rcu(|taken| {
            let mine = taken.get(&self.name);
            if mine.is_some_and(|occupant| Arc::ptr_eq(occupant, &self.occupant)) {
                return taken.without(&self.name);
            }
            OrdMap::clone(taken)
        });
    }
}

/// How many streams there are of the node that this name is of: `NODE` and `NODE/…`. Those by
/// tokens apart: they take no place of those who have the node's certificate.
fn of_node(taken: &OrdMap<Arc<str>, Arc<Occupant>>, name: &str, by: By) -> usize {
    let node = name.split('/').next().unwrap_or(name);
    // The character after '/'.
    let (first, end) = (format!("{node}/"), format!("{node}0"));
    let others = taken.range::<_, str>((Bound::Included(&*first), Bound::Excluded(&*end)));
    let others = others.map(|(_, occupant)| occupant);
    let all = others.chain(taken.get(node));
    all.filter(|occupant| occupant.by == by).count()
}

/// A proxy, its successor and some that are being found dead: one node's certificate takes no
/// other's place.
const MOST_OF_NODE: usize = 8;
/// Ten times the largest cluster that is aimed at.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn one_node_takes_no_others_place() {
        let seats = Seats::default();
        let take =
            |name: String, stream| seats.take(&Arc::from(name), StreamId(stream), By::Certificate);
        let _first = take("a".into(), 1).unwrap();
        let mut held: Vec<Seat> = (1..8)
            .map(|number| take(format!("a/{number}"), number + 1).unwrap())
            .collect();
        assert_eq!(take("a/8".into(), 10).unwrap_err(), Taken::Full);
        // What it has it may take again, and others are others.
        let _again = take("a/7".into(), 11).unwrap();
        let _others = [
            take("a-b".into(), 12).unwrap(),
            take("a0".into(), 13).unwrap(),
        ];
        drop(held.swap_remove(0));
        take("a/8".into(), 14).unwrap();
    }

    #[test]
    fn the_newest_stream_has_the_name_and_the_one_before_is_told() {
        let seats = Seats::default();
        let name = Arc::from("a");
        let take = |stream| seats.take(&name, StreamId(stream), By::Token);
        let first = take(1).unwrap();
        assert!(first.replaced().now_or_never().is_none());
        let second = take(2).unwrap();
        assert!(first.replaced().now_or_never().is_some());
        assert_eq!(take(1).unwrap_err(), Taken::ByNewer);
        // The first one's end leaves the second where it is.
        drop(first);
        assert_eq!(seats.taken.load().len(), 1);
        assert!(second.replaced().now_or_never().is_none());
        drop(second);
        assert!(seats.taken.load().is_empty());
    }

    #[test]
    fn a_token_takes_no_name_and_no_place_of_a_certificate() {
        let seats = Seats::default();
        let take = |name: String, stream, by| seats.take(&Arc::from(name), StreamId(stream), by);
        let _by_tokens: Vec<Seat> = (0..8)
            .map(|number| take(format!("a/{number}"), number + 1, By::Token).unwrap())
            .collect();
        let ours = take("a".into(), 10, By::Certificate).unwrap();
        let error = take("a".into(), 11, By::Token).unwrap_err();
        assert_eq!(error, Taken::ByCertificate);
        assert!(ours.replaced().now_or_never().is_none());
        // The name is whose certificate says so, whoever was there before.
        take("a/7".into(), 12, By::Certificate).unwrap();
    }
}
