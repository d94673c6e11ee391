//! Whether the leader that is named is there.

use std::sync::Arc;

use crate::follow::Standing;
use crate::follow::dial::Peer;

/// Whether the leader that the Lease names is there: until the Lease ends it may name a dead one,
/// and proxies are not sent to one that this replica has just lost.
#[derive(Default)]
pub(super) struct Reach {
    met: Option<Arc<str>>,
    lost: Option<Arc<str>>,
}

impl Reach {
    /// How this replica's log stands to another's. One whose log cannot be read is there, too.
    pub(super) fn note(&mut self, standing: &Standing) {
        match standing.met() {
            Some(peer) => {
                self.met = Some(peer.address.clone());
                self.lost = None;
            }
            None => self.lost = self.met.take().or_else(|| self.lost.take()),
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
        reach.note(&Standing::Current(a.clone()));
        reach.note(&Standing::Behind);
        assert_eq!(reach.announced(Some(&a)), None);
        // Nor while it is tried again in vain.
        reach.note(&Standing::Behind);
        assert_eq!(reach.announced(Some(&a)), None);
        assert_eq!(reach.announced(Some(&b)).as_deref(), Some("b"));
        // Nor does it come back as one that this replica can follow.
        reach.note(&Standing::Apart(a.clone()));
        assert_eq!(reach.announced(Some(&a)).as_deref(), Some("a"));
    }
}
