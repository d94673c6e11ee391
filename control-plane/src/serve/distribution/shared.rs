//! Transfers that are being sent, for other proxies that need the same.
//!
//! Held weakly: a transfer lives as long as somebody sends it, so that a thousand proxies
//! that come back at once share the encoding and an idle control plane keeps nothing.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use tokio::task::spawn_blocking;

use crate::serve::distribution::transfer::Transfer;
use crate::snapshot::publication::Publication;
use crate::snapshot::transfer::Extent;

/// The transfers of now.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    recent: ArcSwap<Vec<Shared>>,
}

#[derive(Clone, Debug)]
struct Shared {
    publication: u64,
    extent: Extent,
    transfer: Weak<Transfer>,
}

impl Transfers {
    /// The transfer of this part of a publication.
    pub(super) async fn get(
        &self,
        publication: &Arc<Publication>,
        extent: &Extent,
    ) -> Arc<Transfer> {
        if let Some(transfer) = self.find(publication, extent) {
            return transfer;
        }
        let transfer = Arc::new(make(publication, extent).await);
        self.recent.rcu(|recent| {
            let alive = |shared: &&Shared| shared.transfer.strong_count() > 0;
            let first = Shared {
                publication: publication.number(),
                extent: extent.clone(),
                transfer: Arc::downgrade(&transfer),
            };
            let others = recent.iter().filter(alive).take(REMEMBERED - 1).cloned();
            std::iter::once(first).chain(others).collect::<Vec<_>>()
        });
        transfer
    }

    fn find(&self, publication: &Publication, extent: &Extent) -> Option<Arc<Transfer>> {
        let recent = self.recent.load();
        let same = |shared: &&Shared| {
            shared.publication == publication.number() && shared.extent == *extent
        };
        recent.iter().find(same)?.transfer.upgrade()
    }
}

/// Beside the runtime where it takes milliseconds: other streams must not wait for it.
async fn make(publication: &Arc<Publication>, extent: &Extent) -> Transfer {
    if extent.is_costly(publication) {
        let (publication, extent) = (Arc::clone(publication), extent.clone());
        let made = spawn_blocking(move || Transfer::new(&publication, &extent));
        if let Ok(transfer) = made.await {
            return transfer;
        }
    }
    Transfer::new(publication, extent)
}

const REMEMBERED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::transfer::Buckets;

    #[tokio::test]
    async fn equal_transfers_are_one_as_long_as_someone_sends_it() {
        let transfers = Transfers::default();
        let publication = Arc::new(Publication::default());
        let whole = Extent::Buckets(Buckets::all());
        let first = transfers.get(&publication, &whole).await;
        let again = transfers.get(&publication, &whole).await;
        assert!(Arc::ptr_eq(&first, &again));
        let other = transfers.get(&publication, &Extent::Since(0)).await;
        assert!(!Arc::ptr_eq(&first, &other));
        drop((first, again));
        assert!(transfers.find(&publication, &whole).is_none());
    }
}
