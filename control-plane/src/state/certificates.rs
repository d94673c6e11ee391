//! Which certificates are shown for which host, and which Ingresses refer to which Secret.
//!
//! An index of its own, both ways, so that a change of one Secret or one Ingress costs what it
//! touches. The rule is in `State::choose`.

mod choice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use roadstead_matcher::host::HostPattern;

use crate::event::Seq;
use crate::model::certificate::Certificate;
use crate::model::ingress::Ingress;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Spec};
use crate::state::{State, Touched};

/// Certificates by host, and hosts by certificate.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// The Secrets that an Ingress names for a host, in order of its text; none where it only
    /// wants HTTPS. The oldest Ingress first.
    wants: BTreeMap<(HostPattern, Age, ObjectKey), Box<[ObjectKey]>>,
    /// Secrets, each with the Ingresses that refer to it.
    users: BTreeSet<(ObjectKey, ObjectKey)>,
    /// The Secrets of `users`, each since which record.
    in_use: OrdMap<ObjectKey, Seq>,
    /// The names of all certificates that can be used, by namespace.
    names: BTreeSet<(Origin, Arc<str>, HostPattern, ObjectKey)>,
    /// The Secrets whose certificates are shown for a host: at most one for each type of key. None
    /// where another namespace's would be, for a wildcard that has the host.
    shown: BTreeMap<HostPattern, Vec<ObjectKey>>,
}

impl Certificates {
    /// The Secrets that Ingresses of ours refer to, whether they exist or not, and since which
    /// record: what was known of one before that was forgotten, and its source has to tell of it.
    pub fn in_use(&self) -> &OrdMap<ObjectKey, Seq> {
        &self.in_use
    }

    /// The Ingresses that refer to a Secret.
    pub fn users(&self, secret: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        let first = ObjectKey::before_all(secret.origin, Kind::Ingress);
        let users = self.users.range((secret.clone(), first)..);
        users
            .take_while(move |(of, _)| of == secret)
            .map(|(_, user)| user)
    }

    /// The Secrets whose certificates are shown for a host.
    pub fn shown_for(&self, host: &HostPattern) -> &[ObjectKey] {
        self.shown.get(host).map_or(&[], Vec::as_slice)
    }

    /// Whether what is shown for a host is decided for itself, and not for a wildcard.
    pub fn is_server_name(&self, host: &HostPattern) -> bool {
        self.shown.contains_key(host)
    }

    /// All hosts for which it is decided what is shown.
    pub fn server_names(&self) -> impl Iterator<Item = &HostPattern> {
        self.shown.keys()
    }

    /// The hosts that are wanted or that certificates name, some several times.
    fn known_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        let wanted = self.wants.keys().map(|(host, _, _)| host);
        let named = self.names.iter().map(|(_, _, name, _)| name);
        wanted.chain(named)
    }

    /// What Ingresses want for a host, the oldest first.
    fn wants(
        &self,
        host: &HostPattern,
    ) -> impl Iterator<Item = (&ObjectKey, &[ObjectKey])> + Clone {
        let first = (host.clone(), Age::before_all(), first_ingress());
        let wants = self.wants.range(first..);
        wants
            .take_while(move |((of, _, _), _)| of == host)
            .map(|((_, _, ingress), secrets)| (ingress, &**secrets))
    }
}

impl State {
    /// Who shows which certificate.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The last good certificate of a Secret.
    pub fn certificate(&self, secret: &ObjectKey) -> Option<&Certificate> {
        let good = self.objects.get(secret)?.good.as_ref()?;
        match &good.spec {
            Spec::Certificate(certificate) => Some(certificate),
            Spec::EndpointSlice(_)
            | Spec::Ingress(_)
            | Spec::IngressClass(_)
            | Spec::Service(_) => None,
        }
    }

    /// Enters what an Ingress wants. Its claims were entered before.
    pub(super) fn want(
        &mut self,
        key: &ObjectKey,
        age: &Age,
        ingress: &Ingress,
        touched: &mut Touched,
    ) {
        for secret in secrets(key, ingress) {
            let since = self.head.seq;
            self.certificates
                .in_use
                .entry(secret.clone())
                .or_insert(since);
            self.certificates.users.insert((secret, key.clone()));
        }
        let wanted = self.wanted(key, ingress);
        let hosts = self.affected(&wanted, ingress);
        for (host, secrets) in wanted {
            let want = (host, age.clone(), key.clone());
            self.certificates.wants.insert(want, secrets.into());
        }
        self.choose_again(hosts, touched);
    }

    /// Takes away what an Ingress wants, as it was entered. Its claims are gone already.
    pub(super) fn want_no_more(
        &mut self,
        key: &ObjectKey,
        age: &Age,
        ingress: &Ingress,
        touched: &mut Touched,
    ) {
        for secret in secrets(key, ingress) {
            self.certificates
                .users
                .remove(&(secret.clone(), key.clone()));
            touched.secrets.insert(secret);
        }
        let wanted = self.wanted(key, ingress);
        let hosts = self.affected(&wanted, ingress);
        for host in wanted.into_keys() {
            let want = (host, age.clone(), key.clone());
            self.certificates.wants.remove(&want);
        }
        self.choose_again(hosts, touched);
    }

    /// Takes in that a Secret is what `change` makes of it.
    pub(super) fn change_secret(
        &mut self,
        key: &ObjectKey,
        touched: &mut Touched,
        change: impl FnOnce(&mut Self),
    ) {
        let users: Vec<ObjectKey> = self.certificates.users(key).cloned().collect();
        // Those whose hosts are the names of their certificate.
        let wholesale: Vec<_> = users
            .iter()
            .filter_map(|user| {
                self.ingress(user)
                    .map(|(meta, ingress)| (user, meta, ingress))
            })
            .filter(|(_, _, ingress)| hosts_of_rules(ingress).next().is_none())
            .map(|(user, meta, ingress)| (user.clone(), meta.age.clone(), ingress.clone()))
            .collect();
        for (user, age, ingress) in &wholesale {
            self.want_no_more(user, age, ingress, touched);
        }
        let before = self.certificate(key).cloned();
        change(self);
        let after = self.certificate(key).cloned();
        let facts = |certificate: &Certificate| {
            let Certificate {
                names,
                key_type,
                not_after,
                ..
            } = certificate;
            (names.clone(), *key_type, *not_after)
        };
        let mut hosts = BTreeSet::new();
        if before.as_ref().map(facts) != after.as_ref().map(facts) {
            let names = |certificate: Option<Certificate>| {
                certificate.map_or_else(Vec::new, |certificate| certificate.names)
            };
            let (before, after) = (names(before), names(after));
            let entry = |name: HostPattern| (key.origin, key.namespace.clone(), name, key.clone());
            for name in &before {
                self.certificates.names.remove(&entry(name.clone()));
            }
            for name in &after {
                self.certificates.names.insert(entry(name.clone()));
            }
            hosts = self.hosts_covered(before.iter().chain(&after));
            for (user, _, ingress) in users.iter().filter_map(|user| {
                self.ingress(user)
                    .map(|(meta, ingress)| (user, meta, ingress))
            }) {
                hosts.extend(self.wanted(user, ingress).into_keys());
            }
        }
        for (user, age, ingress) in &wholesale {
            self.want(user, age, ingress, touched);
        }
        self.choose_again(hosts, touched);
        touched.secrets.insert(key.clone());
        touched.ingresses.extend(users);
    }

    /// Forgets those of the touched Secrets that nobody refers to; in a folder is what its owner
    /// put there. What was recovered and not seen yet waits for who may refer to it.
    pub(super) fn forget_unused(&mut self, touched: &mut Touched) {
        let unused = touched.secrets.iter();
        let unused = unused.filter(|secret| self.certificates.users(secret).next().is_none());
        let unused: Vec<ObjectKey> = unused.cloned().collect();
        for secret in unused {
            self.certificates.in_use.remove(&secret);
            let held = self.objects.get(&secret);
            if secret.origin == Origin::Kubernetes && held.is_some_and(|held| !held.unseen) {
                self.change_secret(&secret, touched, |state| state.set(&secret, None));
            }
        }
    }

    /// Begins the index anew with the Secrets that are held, before any Ingress is entered. Gives
    /// back since when each was in use.
    pub(super) fn index_certificates(&mut self, touched: &mut Touched) -> OrdMap<ObjectKey, Seq> {
        let before = std::mem::take(&mut self.certificates);
        let secrets = Origin::ALL.into_iter();
        let secrets = secrets.flat_map(|origin| self.keys(origin, Kind::Secret));
        touched.secrets.extend(secrets.cloned());
        for secret in &touched.secrets {
            let names = self.certificate(secret).map(|found| found.names.clone());
            for name in names.into_iter().flatten() {
                let entry = (
                    secret.origin,
                    secret.namespace.clone(),
                    name,
                    secret.clone(),
                );
                self.certificates.names.insert(entry);
            }
        }
        before.in_use
    }

    /// Those that were in use before still are: nothing was forgotten of them.
    pub(super) fn in_use_since(&mut self, before: &OrdMap<ObjectKey, Seq>) {
        for (secret, since) in before {
            if let Some(known) = self.certificates.in_use.get_mut(secret) {
                *known = *since;
            }
        }
    }

    /// The hosts for which an Ingress wants a certificate, with the Secrets that it names for
    /// each: the hosts of `spec.tls`, and those of the rules that these cover. An entry without
    /// hosts stands for those of the rules; where these have none, for the names of its certificate.
    fn wanted(&self, key: &ObjectKey, ingress: &Ingress) -> BTreeMap<HostPattern, Vec<ObjectKey>> {
        let mut wanted: BTreeMap<HostPattern, Vec<ObjectKey>> = BTreeMap::new();
        for entry in &ingress.tls {
            let secret = entry.secret.as_ref();
            let secret = secret.map(|name| key.sibling(Kind::Secret, name));
            let of_rules = hosts_of_rules(ingress).filter(|host| {
                entry.hosts.is_empty() || entry.hosts.iter().any(|listed| listed.covers(host))
            });
            let mut hosts: BTreeSet<HostPattern> = of_rules.chain(&entry.hosts).cloned().collect();
            if hosts.is_empty()
                && let Some(certificate) = secret.as_ref().and_then(|key| self.certificate(key))
            {
                hosts.extend(certificate.names.iter().cloned());
            }
            for host in hosts {
                let secrets = wanted.entry(host).or_default();
                secrets.extend(secret.iter().cloned());
            }
        }
        wanted
    }

    /// The hosts for which another certificate may be shown if this Ingress comes or goes.
    fn affected(
        &self,
        wanted: &BTreeMap<HostPattern, Vec<ObjectKey>>,
        ingress: &Ingress,
    ) -> BTreeSet<HostPattern> {
        let mut hosts: BTreeSet<HostPattern> = wanted.keys().cloned().collect();
        for host in hosts_of_rules(ingress) {
            if let HostPattern::OneLabel(_) = host {
                // Who owns a wildcard decides on hosts of it that nobody owns.
                let known = self.certificates.known_hosts();
                hosts.extend(known.filter(|of| host.covers(of)).cloned());
            }
            hosts.insert(host.clone());
        }
        hosts
    }

    /// The hosts that anybody speaks of and that these names cover.
    fn hosts_covered<'a>(
        &self,
        names: impl Iterator<Item = &'a HostPattern>,
    ) -> BTreeSet<HostPattern> {
        let mut hosts = BTreeSet::new();
        for name in names {
            if let HostPattern::OneLabel(_) = name {
                let known = self.claims.hosts().chain(self.certificates.known_hosts());
                hosts.extend(known.filter(|host| name.covers(host)).cloned());
            }
            hosts.insert(name.clone());
        }
        hosts
    }

    fn choose_again(&mut self, mut hosts: BTreeSet<HostPattern>, touched: &mut Touched) {
        // Wildcards come first: what is shown for them decides on hosts of theirs.
        while let Some(host) = hosts.pop_last() {
            let chosen = self.choose(&host);
            let before = self.certificates.shown.get(&host);
            if before == chosen.as_ref() {
                continue;
            }
            if before.is_none() != chosen.is_none()
                && let HostPattern::OneLabel(_) = host
            {
                hosts.extend(self.hosts_covered([&host].into_iter()));
                hosts.remove(&host);
            }
            let wants = self.certificates.wants(&host);
            let wanting = wants.map(|(ingress, _)| ingress.clone());
            touched.ingresses.extend(wanting);
            match chosen {
                Some(chosen) => self.certificates.shown.insert(host.clone(), chosen),
                None => self.certificates.shown.remove(&host),
            };
            touched.server_names.insert(host);
        }
    }
}

/// The hosts of the rules of an Ingress, less "any".
fn hosts_of_rules(ingress: &Ingress) -> impl Iterator<Item = &HostPattern> {
    let hosts = ingress.rules.iter().map(|rule| &rule.host);
    hosts.filter(|host| **host != HostPattern::Any)
}

/// The Secrets that an Ingress names.
fn secrets(key: &ObjectKey, ingress: &Ingress) -> impl Iterator<Item = ObjectKey> {
    let names = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref());
    names.map(|name| key.sibling(Kind::Secret, name))
}

fn first_ingress() -> ObjectKey {
    ObjectKey::before_all(Origin::Folder, Kind::Ingress)
}
