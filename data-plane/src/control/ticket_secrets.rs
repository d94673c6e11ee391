//! Which secrets of session tickets there are, of those that were told.
//!
//! Apart from certificates, which are shown one by one: these count in their order, and one that has
//! not come yet is missed by nobody.

use std::{collections::BTreeMap, sync::Arc};

use super::fetching::Given;
use crate::active::TicketSecrets;
use crate::bundle::Bundle;
use crate::keys::Keys;
use crate::snapshot::BundleName;

/// What was told, and what has come of it.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    told: Arc<[BundleName]>,
    come: BTreeMap<BundleName, Arc<Bundle>>,
}

impl Tickets {
    /// Others are told.
    pub(super) fn follow(
        &mut self,
        told: &Arc<[BundleName]>,
        keys: &mut Keys,
        given: &Given,
    ) -> TicketSecrets {
        let before = std::mem::take(&mut self.come);
        self.told = Arc::clone(told);
        // Those before are released only now: they may be told again.
        let now = self.complete(keys, given);
        for name in before.into_keys() {
            keys.release(name);
        }
        now
    }

    /// Some may have come.
    pub(super) fn complete(&mut self, keys: &mut Keys, given: &Given) -> TicketSecrets {
        for name in self.told.iter() {
            if !self.come.contains_key(name)
                && let Some(bundle) = keys.acquire(*name, given)
            {
                self.come.insert(*name, bundle);
            }
        }
        let come = self.told.iter().filter_map(|name| self.come.get(name));
        come.cloned().collect()
    }

    /// Those that have not come.
    pub(super) fn missing(&self) -> impl Iterator<Item = BundleName> {
        let told = self.told.iter().copied();
        told.filter(|name| !self.come.contains_key(name))
    }
}
