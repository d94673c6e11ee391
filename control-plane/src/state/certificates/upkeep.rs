//! What an Ingress or a Secret changes of the certificates that are shown.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;
use roadstead_matcher::host::HostPattern;

use crate::event::Seq;
use crate::model::certificate::Certificate;
use crate::model::ingress::Ingress;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::Age;
use crate::state::certificates::choice::{Choice, Lacks, Prospects};
use crate::state::certificates::{Certificates, Named, first_of};
use crate::state::references::release;
use crate::state::{State, Touched};

impl State {
    /// Enters what an Ingress wants. Its claims were entered before.
    pub(in crate::state) fn want(
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
        let own = wanted.keys().chain(hosts_of_rules(ingress));
        let hosts = self.affected(own.clone());
        own.for_each(|host| self.certificates.speak_of(host));
        for (host, secrets) in wanted {
            let want = (host, age.clone(), key.clone());
            self.certificates.wants.insert(want, secrets.into());
        }
        self.choose_again(hosts, touched);
    }

    /// Takes away what an Ingress wants, as it was entered. Its claims are gone already.
    pub(in crate::state) fn want_no_more(
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
            touched.certificates.insert(secret);
        }
        let wanted = self.wanted(key, ingress);
        let own = wanted.keys().chain(hosts_of_rules(ingress));
        let hosts = self.affected(own.clone());
        own.for_each(|host| self.certificates.speak_no_more_of(host));
        for host in wanted.into_keys() {
            let want = (host, age.clone(), key.clone());
            self.certificates.wants.remove(&want);
        }
        self.choose_again(hosts, touched);
    }

    /// Takes in that a Secret, or a certificate that we obtain, is what `change` makes of it.
    pub(in crate::state) fn change_certificate(
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
        let prospects = self.managed(key).map(Prospects::of);
        let mut obtained = self.obtained_for(key);
        change(self);
        obtained.extend(self.obtained_for(key));
        // How far it has come is told to those who want it, and decides who is kept waiting.
        let waiting = obtained
            .iter()
            .map(|host| self.certificates.wanted_by(host));
        touched.others.extend(waiting.flatten().cloned());
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
        if prospects != self.managed(key).map(Prospects::of) {
            hosts = self.affected(obtained.iter());
        }
        touched.server_names.extend(obtained);
        if before.as_ref().map(facts) != after.as_ref().map(facts) {
            let names = |certificate: Option<Certificate>| {
                certificate.map_or_else(Vec::new, |certificate| certificate.names)
            };
            let (before, after) = (names(before), names(after));
            for name in &before {
                self.certificates.names.remove(&entry(key, name));
                self.certificates.speak_no_more_of(name);
            }
            for name in &after {
                self.certificates.names.insert(entry(key, name));
                self.certificates.speak_of(name);
            }
            hosts.extend(self.affected(before.iter().chain(&after)));
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
        touched.certificates.insert(key.clone());
        touched.ingresses.extend(users);
    }

    /// The hosts that a certificate is for which we obtain, and those that wait for it.
    fn obtained_for(&self, key: &ObjectKey) -> BTreeSet<HostPattern> {
        let names = self.managed(key).map(|managed| managed.names.as_slice());
        let mut hosts = BTreeSet::new();
        for name in names.into_iter().flatten() {
            let below = self.certificates.hosts_of(name);
            let waiting = below.filter(|host| self.certificates.by_wildcard.contains(host));
            hosts.extend(waiting.cloned());
            hosts.insert(name.clone());
        }
        hosts
    }

    /// Forgets those of the touched Secrets that nobody refers to; in a folder is what its owner
    /// put there. What was recovered and not seen yet waits for who may refer to it.
    pub(in crate::state) fn forget_unused(&mut self, touched: &mut Touched) {
        let unused = touched.certificates.iter();
        let unused = unused.filter(|secret| secret.kind == Kind::Secret);
        let unused = unused.filter(|secret| !self.certificates.is_used(secret));
        let unused: Vec<ObjectKey> = unused.cloned().collect();
        for secret in unused {
            self.certificates.in_use.remove(&secret);
            let held = self.objects.get(&secret);
            if secret.origin == Origin::Kubernetes && held.is_some_and(|held| !held.unseen) {
                self.change_certificate(&secret, touched, |state| state.set(&secret, None));
            }
        }
    }

    /// Begins the index anew with the Secrets that are held, before any Ingress is entered. Gives
    /// back since when each was in use.
    pub(in crate::state) fn index_certificates(
        &mut self,
        touched: &mut Touched,
    ) -> OrdMap<ObjectKey, Seq> {
        let before = std::mem::take(&mut self.certificates);
        let listeners = self.settings().into_iter();
        let listeners = listeners.flat_map(|settings| settings.listeners.values());
        let defaults = listeners.flat_map(|listener| listener.tls.default_secrets());
        self.certificates.defaults = defaults.collect();
        let since = self.head.seq;
        let used = self.certificates.defaults.iter();
        self.certificates.in_use = used.map(|secret| (secret.clone(), since)).collect();
        for origin in Origin::ALL {
            for kind in [Kind::Certificate, Kind::Secret] {
                let keys = self.keys(origin, kind);
                touched.certificates.extend(keys.cloned());
            }
        }
        for secret in &touched.certificates {
            let names = self.certificate(secret).map(|found| found.names.clone());
            for name in names.into_iter().flatten() {
                self.certificates.names.insert(entry(secret, &name));
                self.certificates.speak_of(&name);
            }
        }
        before.in_use
    }

    /// Those that were in use before still are: nothing was forgotten of them.
    pub(in crate::state) fn in_use_since(&mut self, before: &OrdMap<ObjectKey, Seq>) {
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
            let of_rules = hosts_of_rules(ingress).filter(|host| entry.is_for(host));
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

    /// The hosts for which another certificate may be shown if what is said of these changes: they,
    /// and those of wildcards among them.
    fn affected<'a>(&self, hosts: impl Iterator<Item = &'a HostPattern>) -> BTreeSet<HostPattern> {
        let mut affected = BTreeSet::new();
        for host in hosts {
            affected.extend(self.certificates.hosts_of(host).cloned());
            affected.insert(host.clone());
        }
        affected
    }

    fn choose_again(&mut self, mut hosts: BTreeSet<HostPattern>, touched: &mut Touched) {
        // Wildcards come first: what is shown for them decides on hosts of theirs.
        while let Some(host) = hosts.pop_last() {
            let Choice {
                shown: chosen,
                lacks,
            } = self.choose(&host);
            let changes = self.certificates.lack(&host, lacks);
            if changes {
                let wanting = self.certificates.wanted_by(&host);
                touched.ingresses.extend(wanting.cloned());
                touched.server_names.insert(host.clone());
            }
            let before = self.certificates.shown.get(&host);
            let is_wildcard = matches!(host, HostPattern::OneLabel(_));
            if is_wildcard && (changes || before != chosen.as_ref()) {
                hosts.extend(self.certificates.hosts_of(&host).cloned());
            }
            if before == chosen.as_ref() {
                continue;
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

impl Certificates {
    /// Takes in what a host lacks; says whether that is news.
    fn lack(&mut self, host: &HostPattern, lacks: Lacks) -> bool {
        let (own, of_wildcard) = match lacks {
            Lacks::Nothing => (false, false),
            Lacks::OneOfItsOwn => (true, false),
            Lacks::OneOfItsWildcard => (false, true),
        };
        let lacked = match own {
            true => self.lacking.insert(host.clone()).is_some(),
            false => self.lacking.remove(host).is_some(),
        };
        let lacked_of_wildcard = match of_wildcard {
            true => !self.by_wildcard.insert(host.clone()),
            false => self.by_wildcard.remove(host),
        };
        (own, of_wildcard) != (lacked, lacked_of_wildcard)
    }

    fn speak_of(&mut self, host: &HostPattern) {
        let Some(wildcard) = host.wildcard() else {
            return;
        };
        // Siblings share its text.
        let sibling = self.spoken_of.range(first_of(&wildcard)..).next();
        let sibling = sibling.map(|((of, _), _)| of.clone());
        let wildcard = sibling.filter(|of| *of == wildcard).unwrap_or(wildcard);
        *self.spoken_of.entry((wildcard, host.clone())).or_default() += 1;
    }

    fn speak_no_more_of(&mut self, host: &HostPattern) {
        if let Some(wildcard) = host.wildcard() {
            release(&mut self.spoken_of, (wildcard, host.clone()));
        }
    }
}

/// That a Secret's certificate has this name.
fn entry(secret: &ObjectKey, name: &HostPattern) -> Named {
    let namespace = secret.namespace.clone();
    (secret.origin, namespace, name.clone(), secret.clone())
}

/// The hosts of the rules of an Ingress, less "any".
fn hosts_of_rules(ingress: &Ingress) -> impl Iterator<Item = &HostPattern> + Clone {
    let hosts = ingress.rules.iter().map(|rule| &rule.host);
    hosts.filter(|host| **host != HostPattern::Any)
}

/// The Secrets that an Ingress names.
fn secrets(key: &ObjectKey, ingress: &Ingress) -> impl Iterator<Item = ObjectKey> {
    let names = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref());
    names.map(|name| key.sibling(Kind::Secret, name))
}
