//! The rule by which certificates are shown for a host.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use roadstead_matcher::host::HostPattern;

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::Managed;
use crate::model::settings::Settings;
use crate::model::time::Timestamp;
use crate::state::State;

/// What is decided for a host.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The certificates that are shown; `None` where what is shown for its wildcard will do.
    pub(super) shown: Option<Vec<ObjectKey>>,
    /// An Ingress wants a certificate for it that nobody else obtains, no Secret has one, and it may
    /// be obtained.
    pub(super) lacks: Lacks,
}

/// Whether a certificate is to be obtained for a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lacks {
    #[default]
    Nothing,
    /// That of its wildcard, which is obtained in any case.
    OneOfItsWildcard,
    OneOfItsOwn,
}

impl Choice {
    fn of(shown: Vec<ObjectKey>) -> Self {
        Self {
            shown: Some(shown),
            lacks: Lacks::Nothing,
        }
    }
}

/// What of a certificate that we obtain decides for other hosts than its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prospects {
    /// There is one that is good.
    is_issued: bool,
    is_revoked: bool,
    /// There may be none in time.
    is_doubtful: bool,
}

impl Prospects {
    pub(super) fn of(managed: &Managed) -> Self {
        let issued = managed.issued.as_ref();
        let is_revoked = issued.is_some_and(|issued| issued.revoked.is_some());
        let is_issued = issued.is_some() && !is_revoked;
        let trouble = managed.trouble.as_ref();
        // That a CA is away says nothing of the names.
        let is_doubtful = trouble.is_some_and(|trouble| match is_issued {
            true => trouble.late,
            false => trouble.way.is_some() || trouble.failures >= IN_VAIN,
        });
        Self {
            is_issued,
            is_revoked,
            is_doubtful,
        }
    }
}

impl State {
    /// What is shown for a host: the certificates that Ingresses name for it, the oldest Ingress
    /// first, if they are for that host. If there is none, any that is for it in the namespace that
    /// the host belongs to: the one that is valid longest. If there is none either, any of the files
    /// that the configuration names, which are for all namespaces; then the one that we obtained for
    /// it, or for its wildcard in the same namespace: again what is valid longest. Of each type of key
    /// there is one.
    ///
    /// Where its wildcard is obtained none is for the host itself.
    pub(super) fn choose(&self, host: &HostPattern) -> Choice {
        let wants = self.certificates.wants(host);
        let Some((home, owned)) = self.home(host) else {
            return Choice::default();
        };
        let spoken_of = owned.as_ref() == Some(host)
            || wants.clone().next().is_some()
            || self.named(home, host.clone()).next().is_some()
            || self.in_files(host.clone()).next().is_some();
        if !spoken_of {
            return Choice::default();
        }
        let admitted = |ingress: &ObjectKey| {
            let is_admitted = |host| self.claims.admits(host, &ingress.namespace);
            ingress.namespace == home.namespace || owned.as_ref().is_some_and(is_admitted)
        };
        let mut wants = wants.filter(|(ingress, _)| admitted(ingress));
        let named = wants.clone().flat_map(|(_, secrets)| secrets);
        // Thousands of Ingresses may name the same.
        let mut met = BTreeSet::new();
        let named = named.filter(|secret| met.insert(*secret));
        let named = self.one_of_each(named.filter(|secret| {
            let certificate = self.certificate(secret);
            certificate.is_some_and(|certificate| certificate.covers(host))
        }));
        if !named.is_empty() {
            return Choice::of(named);
        }
        let names = || [Some(host.clone()), host.wildcard()].into_iter().flatten();
        let others = self.longest(names().flat_map(|name| self.named(home, name)));
        if !others.is_empty() {
            return Choice::of(others);
        }
        let of_files = self.longest(names().flat_map(|name| self.in_files(name)));
        if !of_files.is_empty() {
            return Choice::of(of_files);
        }
        let is_wanted = wants.clone().next().is_some();
        let obtains = self.settings().and_then(Settings::obtains);
        let is_permitted =
            obtains.is_some_and(|obtains| obtains.permits(host, &home.namespace).is_ok());
        let lacks = is_permitted && wants.any(|(ingress, _)| self.is_ours_to_obtain(ingress));
        let wildcard = host.wildcard();
        let of_others = wildcard.as_ref().is_some_and(|wildcard| {
            !self.is_neighbour(home, wildcard) && !self.certificates.shown_for(wildcard).is_empty()
        });
        let neighbour = wildcard.filter(|wildcard| self.is_neighbour(home, wildcard));
        // What we have is shown until cert-manager has one, too.
        let own = self.obtained(host).filter(|_| is_wanted);
        let mut obtained: Vec<&ObjectKey> = own.collect();
        let has_own = !obtained.is_empty();
        if let Some(wildcard) = &neighbour {
            obtained.extend(self.certificates.shown_for(wildcard));
            // Also if nobody wants the wildcard any more.
            obtained.extend(self.obtained(wildcard).filter(|_| is_wanted));
        }
        obtained.sort_by_key(|found| self.rank(found));
        let obtained = self.one_of_each(obtained.into_iter());
        Choice {
            // That of a wildcard of another namespace must not be shown for it.
            shown: (!obtained.is_empty() || of_others).then_some(obtained),
            lacks: match neighbour {
                _ if !lacks => Lacks::Nothing,
                Some(wildcard) if self.will_do(&wildcard, has_own) => Lacks::OneOfItsWildcard,
                Some(_) | None => Lacks::OneOfItsOwn,
            },
        }
    }

    /// Whether a wildcard is of the same namespace as somebody whose host is below it, or nobody's.
    fn is_neighbour(&self, home: &ObjectKey, wildcard: &HostPattern) -> bool {
        let of = self.home(wildcard);
        of.is_none_or(|(of, _)| of.namespace == home.namespace)
    }

    /// Whether the certificate that is obtained for a wildcard makes others needless: one that some
    /// hosts have already is renewed until the wildcard's is there, and none waits for one that cannot
    /// be had.
    fn will_do(&self, wildcard: &HostPattern, has_own: bool) -> bool {
        let managed = self.managed_for(wildcard);
        let prospects = managed.map_or_else(Prospects::default, Prospects::of);
        self.certificates.lacking.contains(wildcard)
            && !prospects.is_doubtful
            && (prospects.is_issued || !has_own)
    }

    /// The lesser is shown: what is not revoked, then what is valid longest.
    fn rank(&self, certificate: &ObjectKey) -> (bool, Reverse<Option<Timestamp>>) {
        let is_revoked = self.managed(certificate);
        let is_revoked = is_revoked.is_some_and(|managed| Prospects::of(managed).is_revoked);
        let until = self.certificate(certificate).map(|found| found.not_after);
        (is_revoked, Reverse(until))
    }

    /// Whether what an Ingress wants is not for cert-manager to obtain.
    fn is_ours_to_obtain(&self, ingress: &ObjectKey) -> bool {
        let of = self.ingress(ingress);
        of.is_some_and(|(_, ingress)| !ingress.certificates_elsewhere)
    }

    /// The certificates that we obtained which have this name.
    fn obtained(&self, name: &HostPattern) -> impl Iterator<Item = &ObjectKey> {
        let origins = Origin::ALL.into_iter();
        origins.flat_map(move |origin| {
            let all = ObjectKey::before_all(origin, Kind::Certificate);
            self.of_kind(all, name.clone())
        })
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
        self.of_kind(home.sibling(Kind::Secret, ""), name)
    }

    /// The files whose certificates have this name.
    fn in_files(&self, name: HostPattern) -> impl Iterator<Item = &ObjectKey> {
        let first = ObjectKey::before_all(Origin::Configuration, Kind::Secret);
        self.of_kind(first, name)
    }

    /// Those of an object's kind and namespace.
    fn of_kind(&self, first: ObjectKey, name: HostPattern) -> impl Iterator<Item = &ObjectKey> {
        let of = (first.origin, first.namespace.clone(), name);
        let from = (of.0, of.1.clone(), of.2.clone(), first);
        let names = self.certificates.names.range(from..);
        names
            .take_while(move |(origin, namespace, name, _)| {
                (*origin, namespace, name) == (of.0, &of.1, &of.2)
            })
            .map(|(_, _, _, certificate)| certificate)
    }

    /// Of each type of key the one that is valid longest.
    fn longest<'a>(&self, secrets: impl Iterator<Item = &'a ObjectKey>) -> Vec<ObjectKey> {
        let mut secrets: Vec<&ObjectKey> = secrets.collect();
        secrets.sort_by_key(|secret| {
            let until = self.certificate(secret).map(|found| found.not_after);
            (Reverse(until), *secret)
        });
        self.one_of_each(secrets.into_iter())
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

/// Attempts at a certificate that nobody has yet, before others do not wait for it.
const IN_VAIN: u32 = 3;
