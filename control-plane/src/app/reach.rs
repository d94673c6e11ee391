//! Whether the leader that is named is there.

use std::sync::Arc;

use crate::follow::Followed;
use crate::follow::dial::Peer;

/// Whether the leader that the Lease names is there: until the Lease ends it may name a dead one,
/// and proxies are not sent to one that this replica has just lost.
#[derive(Default)]
pub(super) struct Reach {
    current: Option<Arc<str>>,
    lost: Option<Arc<str>>,
}

impl Reach {
    /// This replica has all of that one's log; or it is no longer followed.
    pub(super) fn note(&mut self, followed: Followed) {
        match followed {
            Some(peer) => {
                self.current = Some(peer.address);
                self.lost = None;
            }
            None => self.lost = self.current.take().or_else(|| self.lost.take()),
        }
    }

    /// Where proxies are sent.
    pub(super) fn announced(&self, leader: Option<&Peer>) -> Option<Arc<str>> {
        let address = &leader?.address;
        (self.lost.as_ref() != Some(address)).then(|| address.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer {
            address: name.into(),
            name: None,
        }
    }

    #[test]
    fn proxies_are_not_sent_to_a_leader_that_was_just_lost() {
        let (a, b) = (peer("a"), peer("b"));
        let mut reach = Reach::default();
        assert_eq!(reach.announced(Some(&a)).as_deref(), Some("a"));
        reach.note(Some(a.clone()));
        reach.note(None);
        assert_eq!(reach.announced(Some(&a)), None);
        // Nor while it is tried again in vain.
        reach.note(None);
        assert_eq!(reach.announced(Some(&a)), None);
        assert_eq!(reach.announced(Some(&b)).as_deref(), Some("b"));
        reach.note(Some(a.clone()));
        assert_eq!(reach.announced(Some(&a)).as_deref(), Some("a"));
    }
}
