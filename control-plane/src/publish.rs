//! Where the newest publication stands for everyone who streams or shows it.
//!
//! One watched value and no queue: whoever was busy meanwhile takes the newest, and what
//! was never taken costs nothing.

use std::sync::Arc;

use tokio::sync::watch;

use crate::snapshot::publication::Publication;

/// The one that publishes.
#[derive(Debug)]
pub struct Publisher {
    newest: watch::Sender<Arc<Publication>>,
}

impl Publisher {
    /// A publisher that has published nothing: see [`Publication::is_something`].
    pub fn new() -> Self {
        Self {
            newest: watch::Sender::new(Arc::default()),
        }
    }

    /// Wakes those who wait for it, if it says anything else than the one before.
    pub fn publish(&self, publication: Arc<Publication>) -> bool {
        self.newest.send_if_modified(|newest| {
            let different = differ(newest, &publication);
            if different {
                *newest = publication;
            }
            different
        })
    }

    /// The newest publication, now and whenever it changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Publication>> {
        self.newest.subscribe()
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

/// By content: a publication's number rises even where a change was taken back in between.
fn differ(a: &Publication, b: &Publication) -> bool {
    let (before, after) = (a.snapshot(), b.snapshot());
    a.is_something() != b.is_something()
        || a.lineage() != b.lineage()
        || before.version() != after.version()
        || before.endpoints_revision() != after.endpoints_revision()
        || before.digest() != after.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Epoch, Seq};
    use crate::snapshot::{Snapshot, Version};

    #[test]
    fn the_first_publication_wakes_and_an_equal_one_does_not() {
        let publisher = Publisher::new();
        let mut newest = publisher.subscribe();
        assert!(!newest.borrow_and_update().is_something());
        let first = Publication::default().succeed("l".into(), Snapshot::default(), [].into());
        assert!(publisher.publish(Arc::new(first.clone())));
        assert!(newest.has_changed().unwrap());
        newest.mark_unchanged();

        let same = first.succeed("l".into(), Snapshot::default(), [].into());
        assert!(!publisher.publish(Arc::new(same.clone())));
        assert!(!newest.has_changed().unwrap());

        let mut snapshot = Snapshot::default();
        snapshot.begin_epoch(Version {
            epoch: Epoch(2),
            seq: Seq(1),
        });
        let other = same.succeed("l".into(), snapshot, [].into());
        assert!(publisher.publish(Arc::new(other)));
        assert!(newest.has_changed().unwrap());
    }
}
