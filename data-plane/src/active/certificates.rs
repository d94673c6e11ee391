//! Which certificates may be shown to a client that asks for a host.
//!
//! Apart from TLS, which knows what the client can take: here is only whose turn it is. Versions
//! share what did not change.

use std::sync::Arc;

use imbl::OrdMap;
use roadstead_matcher::host::HostPattern;
use rustls::sign::CertifiedKey;

use crate::bundle::Bundle;
use crate::snapshot::{Certificate, KeyType};

/// A certificate with what it is shown by.
#[derive(Debug)]
pub struct Shown {
    /// `secret/NAMESPACE/NAME`.
    pub name: Arc<str>,
    pub certificate: Arc<Certificate>,
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

/// All certificates of one version. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    exact: Hosts,
    /// By what follows the one label that a wildcard stands for.
    wildcard: Hosts,
    len: usize,
}

/// Certificates for one host, the first choice first.
type Candidates = Arc<[Arc<Shown>]>;

type Hosts = OrdMap<Arc<str>, Candidates>;

impl Certificates {
    /// What may be shown for a host in canonical form, the first choice first: those that name it,
    /// then those that have a wildcard for it; of these by the type of key, then by name.
    pub fn candidates(&self, host: &str) -> impl Iterator<Item = &Arc<Shown>> {
        let exact = self.exact.get(host);
        let above = host.split_once('.').map(|(_, above)| above);
        let wildcard = above.and_then(|above| self.wildcard.get(above));
        exact.into_iter().chain(wildcard).flat_map(|all| &**all)
    }

    /// Certificates that are shown.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Follows a change of one certificate. Costs what its hosts cost, however many others there
    /// are.
    pub fn change(&mut self, change: &ShownChange) {
        if let Some(before) = &change.before {
            self.len -= 1;
            for host in &before.certificate.hostnames {
                self.remove(host, before);
            }
        }
        if let Some(after) = &change.after {
            self.len += 1;
            for host in &after.certificate.hostnames {
                self.insert(host, after);
            }
        }
    }

    fn insert(&mut self, host: &HostPattern, shown: &Arc<Shown>) {
        let Some((hosts, key)) = self.place(host) else {
            return;
        };
        let known = hosts.get(&key).map_or(&[][..], |known| known);
        let mut candidates: Vec<_> = known.iter().chain([shown]).cloned().collect();
        candidates.sort_by(|one, other| one.rank().cmp(&other.rank()));
        hosts.insert(key, candidates.into());
    }

    fn remove(&mut self, host: &HostPattern, shown: &Arc<Shown>) {
        let Some((hosts, key)) = self.place(host) else {
            return;
        };
        let known = hosts.get(&key).map_or(&[][..], |known| known);
        let others = known.iter().filter(|known| known.name != shown.name);
        let others: Candidates = others.cloned().collect();
        match others.is_empty() {
            true => hosts.remove(&key),
            false => hosts.insert(key, others),
        };
    }

    fn place(&mut self, host: &HostPattern) -> Option<(&mut Hosts, Arc<str>)> {
        match host {
            HostPattern::Exact(name) => Some((&mut self.exact, (**name).into())),
            HostPattern::OneLabel(suffix) => Some((&mut self.wildcard, (**suffix).into())),
            // No certificate is for it.
            HostPattern::Any => None,
        }
    }
}

#[cfg(test)]
mod tests;
