//! Which certificates may be shown to a client that asks for a host.
//!
//! Apart from TLS, which knows what the client can take: here is only whose turn it is. Names and
//! certificates come and go apart from each other, and are put together when a client asks;
//! versions share what did not change.

use std::sync::Arc;

use imbl::OrdMap;
use roadstead_matcher::host::HostPattern;
use rustls::sign::CertifiedKey;
use smallvec::SmallVec;

use super::TicketSecrets;
use crate::bundle::Bundle;
use crate::snapshot::{Certificate, KeyType, ServerName};

/// A certificate with what it is shown by.
#[derive(Debug)]
pub struct Shown {
    /// `secret/NAMESPACE/NAME`.
    pub name: Arc<str>,
    pub certificate: Certificate,
    pub bundle: Arc<Bundle>,
}

impl Shown {
    /// What handshakes use; none if nothing can be done with it.
    pub fn key(&self) -> Option<&Arc<CertifiedKey>> {
        self.bundle.key(&self.name)
    }

    fn rank(&self) -> (KeyType, &str) {
        (self.certificate.key_type, &self.name)
    }
}

/// A certificate that is shown now, and the one before of the same name.
#[derive(Clone, Debug)]
pub struct ShownChange {
    pub before: Option<Arc<Shown>>,
    pub after: Option<Arc<Shown>>,
}

/// What of a change of what is held waits for its secrets.
#[derive(Clone, Debug, Default)]
pub struct ShownChanges {
    pub certificates: Vec<ShownChange>,
    /// What tickets are made by from now on, if that is something else.
    pub ticket_secrets: Option<TicketSecrets>,
}

impl ShownChanges {
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.ticket_secrets.is_none()
    }
}

/// All server names and certificates of one version. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    exact: Hosts,
    /// By what follows the one label that a wildcard stands for.
    wildcard: Hosts,
    shown: OrdMap<Arc<str>, Arc<Shown>>,
}

/// What is shown, by host.
type Hosts = OrdMap<Arc<str>, Arc<ServerName>>;

impl Certificates {
    /// What may be shown for a host in canonical form, the first choice first: what is named for the
    /// host itself, or else for its wildcard; of these by the type of key, then by name.
    pub fn candidates(&self, host: &str) -> impl Iterator<Item = &Arc<Shown>> {
        let named = self.named(host).into_iter();
        let names = named.flat_map(|named| named.certificates.iter());
        self.in_order(names).into_iter()
    }

    fn in_order<'a, 'n>(
        &'a self,
        names: impl Iterator<Item = &'n Arc<str>>,
    ) -> SmallVec<[&'a Arc<Shown>; 4]> {
        let shown = names.filter_map(|name| self.shown.get(name));
        let mut shown: SmallVec<[&Arc<Shown>; 4]> = shown.collect();
        shown.sort_by(|one, other| one.rank().cmp(&other.rank()));
        shown
    }

    /// Of the certificates of these names those that there are, in the same order.
    pub fn of_names<'a>(
        &'a self,
        names: &[Arc<str>],
    ) -> impl Iterator<Item = &'a Arc<Shown>> + use<'a> {
        self.in_order(names.iter()).into_iter()
    }

    /// Whether there is one to show for a host in canonical form, and it can be used.
    pub fn has(&self, host: &str) -> bool {
        self.candidates(host).any(|shown| shown.key().is_some())
    }

    /// Whether there is none to show for a host in canonical form, and one is to come: from who
    /// issues it, or from who has its key.
    pub fn awaits(&self, host: &str) -> bool {
        let comes = |named: &ServerName| named.expected || !named.certificates.is_empty();
        self.named(host).is_some_and(comes) && self.candidates(host).next().is_none()
    }

    /// Whether these are the same, as far as that is known without a look at each.
    pub fn are(&self, others: &Self) -> bool {
        self.exact.ptr_eq(&others.exact)
            && self.wildcard.ptr_eq(&others.wildcard)
            && self.shown.ptr_eq(&others.shown)
    }

    /// Certificates that are there to be shown.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// Follows a change of one certificate.
    pub fn change(&mut self, change: &ShownChange) {
        if let Some(before) = &change.before {
            self.shown.remove(&before.name);
        }
        if let Some(after) = &change.after {
            self.shown.insert(after.name.clone(), after.clone());
        }
    }

    /// Whoever asks for its host is shown one of its certificates.
    pub fn name(&mut self, name: &Arc<ServerName>) {
        if let Some((hosts, host)) = self.place(&name.host) {
            hosts.insert(host.into(), Arc::clone(name));
        }
    }

    /// Whoever asks for this host is shown nothing for it.
    pub fn forget(&mut self, host: &HostPattern) {
        if let Some((hosts, host)) = self.place(host) {
            hosts.remove(host);
        }
    }

    fn named(&self, host: &str) -> Option<&ServerName> {
        let of_wildcard = || {
            let (_, above) = host.split_once('.')?;
            self.wildcard.get(above)
        };
        let named = self.exact.get(host).or_else(of_wildcard);
        named.map(Arc::as_ref)
    }

    fn place<'a>(&mut self, host: &'a HostPattern) -> Option<(&mut Hosts, &'a str)> {
        match host {
            HostPattern::Exact(name) => Some((&mut self.exact, name)),
            HostPattern::OneLabel(suffix) => Some((&mut self.wildcard, suffix)),
            // No server name is so.
            HostPattern::Any => None,
        }
    }
}

#[cfg(test)]
mod tests;
