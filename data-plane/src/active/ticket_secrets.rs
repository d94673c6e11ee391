//! What session tickets are made by.
//!
//! Apart from TLS, which makes them: here is only which secrets have come.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::snapshot::BundleName;

/// Secrets that other proxies have, too, the newest first; without any each process has its own.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TicketSecrets(Option<Arc<[Arc<Bundle>]>>);

impl TicketSecrets {
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Bundle>> {
        self.0.iter().flat_map(|bundles| bundles.iter())
    }

    /// Whether these are the same, in the same order.
    pub fn are(&self, others: &Self) -> bool {
        match (&self.0, &others.0) {
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) => true,
            _ => self.names().eq(others.names()),
        }
    }

    fn names(&self) -> impl Iterator<Item = BundleName> {
        self.iter().map(|bundle| bundle.name())
    }
}

impl FromIterator<Arc<Bundle>> for TicketSecrets {
    fn from_iter<I: IntoIterator<Item = Arc<Bundle>>>(bundles: I) -> Self {
        Self(Some(bundles.into_iter().collect()))
    }
}
