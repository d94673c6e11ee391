//! The rule by which certificates are shown for a host.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use roadstead_matcher::host::HostPattern;

use crate::model::key::{Kind, ObjectKey};
use crate::state::State;

impl State {
    /// The certificates to show for a host, unless what is shown for its wildcard will do: those that
    /// Ingresses name for it, the oldest Ingress first, if they are for that host. If there is none,
    /// any that is for it in the namespace that the host belongs to: the one that is valid longest.
    /// Of each type of key there is one.
    pub(super) fn choose(&self, host: &HostPattern) -> Option<Vec<ObjectKey>> {
        let wants = self.certificates.wants(host);
        let (home, owned) = self.home(host)?;
        let spoken_of = owned.as_ref() == Some(host)
            || wants.clone().next().is_some()
            || self.named(home, host.clone()).next().is_some();
        if !spoken_of {
            return None;
        }
        let admitted = |ingress: &ObjectKey| {
            let is_admitted = |host| self.claims.admits(host, &ingress.namespace);
            ingress.namespace == home.namespace || owned.as_ref().is_some_and(is_admitted)
        };
        let named = wants.filter(|(ingress, _)| admitted(ingress));
        let named = named.flat_map(|(_, secrets)| secrets);
        // Thousands of Ingresses may name the same.
        let mut met = BTreeSet::new();
        let named = named.filter(|secret| met.insert(*secret));
        let named = self.one_of_each(named.filter(|secret| {
            let certificate = self.certificate(secret);
            certificate.is_some_and(|certificate| certificate.covers(host))
        }));
        if !named.is_empty() {
            return Some(named);
        }
        let mut others: Vec<&ObjectKey> = [Some(host.clone()), host.wildcard()]
            .into_iter()
            .flatten()
            .flat_map(|name| self.named(home, name))
            .collect();
        others.sort_by_key(|secret| {
            let until = self.certificate(secret).map(|found| found.not_after);
            (Reverse(until), *secret)
        });
        let others = self.one_of_each(others.into_iter());
        // That of its wildcard is of this namespace, or must not be shown for it.
        let wildcard = host.wildcard();
        let of_others = wildcard.is_some_and(|of| !self.certificates.shown_for(&of).is_empty());
        (!others.is_empty() || of_others).then_some(others)
    }

    /// An Ingress of the namespace that a host belongs to, and what it owns there: the host, or its
    /// wildcard. A host that nobody routes is that of the oldest Ingress that wants a certificate.
    fn home(&self, host: &HostPattern) -> Option<(&ObjectKey, Option<HostPattern>)> {
        let mut of = [Some(host.clone()), host.wildcard()].into_iter().flatten();
        let owned = of.find_map(|host| Some((self.claims.oldest(&host)?, Some(host))));
        owned.or_else(|| {
            let (ingress, _) = self.certificates.wants(host).next()?;
            Some((ingress, None))
        })
    }

    /// The Secrets of an object's namespace whose certificates have this name.
    fn named(&self, home: &ObjectKey, name: HostPattern) -> impl Iterator<Item = &ObjectKey> {
        let first = ObjectKey::before_all(home.origin, Kind::Secret);
        let of = (home.origin, home.namespace.clone(), name);
        let from = (of.0, of.1.clone(), of.2.clone(), first);
        let names = self.certificates.names.range(from..);
        names
            .take_while(move |(origin, namespace, name, _)| {
                (*origin, namespace, name) == (of.0, &of.1, &of.2)
            })
            .map(|(_, _, _, secret)| secret)
    }

    /// The first of each type of key.
    fn one_of_each<'a>(&self, secrets: impl Iterator<Item = &'a ObjectKey>) -> Vec<ObjectKey> {
        let mut types = BTreeSet::new();
        secrets
            .filter(|secret| {
                let certificate = self.certificate(secret);
                certificate.is_some_and(|certificate| types.insert(certificate.key_type))
            })
            .cloned()
            .collect()
    }
}
