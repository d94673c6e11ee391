//! Which certificates are shown, each with its bundle, and what tickets are made by.
//!
//! Apart from what is held: a certificate that is told is shown only once its bundle has come.
//! Until then the one before of the same name is, and the fault says so.

use std::{collections::BTreeMap, sync::Arc};

use roadstead_proto::v1::ResourceType;
use tracing::warn;

use super::{fetching::Given, ticket_secrets::Tickets};
use crate::active::{Shown, ShownChange, ShownChanges, TicketSecrets};
use crate::keys::Keys;
use crate::snapshot::{
    BundleName, Certificate, Decoded, Fault, Form, Key, Reason, Touched, Transfer,
};

/// Certificates by the names of their resources.
#[derive(Debug, Default)]
pub(super) struct Showing {
    keys: Keys,
    shown: BTreeMap<Arc<str>, Arc<Shown>>,
    /// Told, and not shown.
    missing: BTreeMap<Arc<str>, Certificate>,
    tickets: Tickets,
    /// What those need, each once.
    wanted: Vec<BundleName>,
}

impl Showing {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// The bundles that a transfer needs and that are not held, each once. Nobody waits for what
    /// tickets are made by.
    pub(super) fn needed_by(&self, transfer: &Transfer) -> Vec<BundleName> {
        let kind = i32::from(ResourceType::Certificate);
        let told = transfer.changed.iter().filter(|told| told.key.kind == kind);
        let needed = told.filter_map(|told| match Decoded::from_told(told) {
            Decoded::Usable(Form::Certificate(certificate)) => Some(certificate.bundle),
            Decoded::Usable(
                Form::Listener(_)
                | Form::Route(_)
                | Form::Upstream(_)
                | Form::Endpoints(_)
                | Form::ServerName(_)
                | Form::Challenge(_)
                | Form::TicketSecrets(_),
            )
            | Decoded::Faulty { .. } => None,
        });
        let mut needed: Vec<_> = needed.filter(|name| !self.keys.holds(*name)).collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Follows a change of what is held, with what was given for it.
    pub(super) fn follow(&mut self, touched: &[Touched], given: &Given) -> ShownChanges {
        let mut changes = ShownChanges::default();
        if !touched
            .iter()
            .any(|change| NEEDY.contains(&change.key.kind))
        {
            return changes;
        }
        for change in touched {
            let name = &change.key.name;
            match (&change.before, &change.after) {
                (_, Some(Form::Certificate(told))) => {
                    changes.certificates.extend(self.tell(name, *told, given));
                    if self.missing.contains_key(name) {
                        let fault = fault();
                        warn!(
                            certificate = %name,
                            bundle = %told.bundle,
                            reason = fault.reason.as_str(),
                            "certificate not shown: {}", fault.message
                        );
                    }
                }
                (Some(Form::Certificate(_)), None) => {
                    self.missing.remove(name);
                    changes.certificates.extend(self.remove(name));
                }
                (_, Some(Form::TicketSecrets(told))) => {
                    let secrets = self.tickets.follow(told, &mut self.keys, given);
                    changes.ticket_secrets = Some(secrets);
                }
                (Some(Form::TicketSecrets(_)), None) => {
                    self.tickets.follow(&[].into(), &mut self.keys, given);
                    changes.ticket_secrets = Some(TicketSecrets::default());
                }
                _ => {}
            }
        }
        self.settle();
        changes
    }

    /// Shows what was missing for want of what is given now.
    pub(super) fn complete(&mut self, given: &Given) -> ShownChanges {
        let has = |told: &Certificate| given.contains_key(&told.bundle);
        let come: Vec<_> = self
            .missing
            .iter()
            .filter(|(_, told)| has(told))
            .map(|(name, told)| (Arc::clone(name), *told))
            .collect();
        let mut changes = ShownChanges::default();
        for (name, told) in come {
            changes.certificates.extend(self.tell(&name, told, given));
        }
        if self.tickets.missing().any(|name| given.contains_key(&name)) {
            changes.ticket_secrets = Some(self.tickets.complete(&mut self.keys, given));
        }
        self.settle();
        changes
    }

    /// The bundles that are missing, each once.
    pub(super) fn missing(&self) -> &[BundleName] {
        &self.wanted
    }

    /// What is wrong with those that are not shown as they were told.
    pub(super) fn faults(&self) -> impl Iterator<Item = (Key, Fault)> {
        let kind = i32::from(ResourceType::Certificate);
        self.missing.keys().map(move |name| {
            let name = Arc::clone(name);
            (Key { kind, name }, fault())
        })
    }

    fn tell(&mut self, name: &Arc<str>, told: Certificate, given: &Given) -> Option<ShownChange> {
        let Some(bundle) = self.keys.acquire(told.bundle, given) else {
            self.missing.insert(Arc::clone(name), told);
            return None;
        };
        self.missing.remove(name);
        let shown = Arc::new(Shown {
            name: Arc::clone(name),
            certificate: told,
            bundle,
        });
        // The one before is released only now: it may have the same bundle.
        let before = self.shown.insert(Arc::clone(name), Arc::clone(&shown));
        if let Some(before) = &before {
            self.keys.release(before.certificate.bundle);
        }
        Some(ShownChange {
            before,
            after: Some(shown),
        })
    }

    fn remove(&mut self, name: &Arc<str>) -> Option<ShownChange> {
        let before = self.shown.remove(name)?;
        self.keys.release(before.certificate.bundle);
        Some(ShownChange {
            before: Some(before),
            after: None,
        })
    }

    fn settle(&mut self) {
        self.keys.settle();
        let wanted = self.missing.values().map(|told| told.bundle);
        self.wanted = wanted.chain(self.tickets.missing()).collect();
        self.wanted.sort_unstable();
        self.wanted.dedup();
    }
}

/// The types of resources that name secrets.
const NEEDY: [i32; 2] = [
    ResourceType::Certificate as i32,
    ResourceType::TicketSecrets as i32,
];

/// Short, since a whole installation may be missed at once and all of it is said in one message.
fn fault() -> Fault {
    Fault::new(
        Reason::SecretNotFetched,
        "the control plane has not given its key; asked again until it does. See that the Secret \
         still exists",
    )
}

#[cfg(test)]
mod tests;
