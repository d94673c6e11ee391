//! Which certificates are shown for which host, and which Ingresses refer to which Secret.
//!
//! An index of its own, both ways, so that a change of one Secret or one Ingress costs what it
//! touches. The rule is in `choice`, and what changes it in `upkeep`.

mod choice;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use roadstead_matcher::host::HostPattern;

use crate::event::Seq;
use crate::model::certificate::Certificate;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::Managed;
use crate::model::object::{Age, Spec};
use crate::state::State;

/// Certificates by host, and hosts by certificate.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// The Secrets that an Ingress names for a host, in order of its text; none where it only
    /// wants HTTPS. The oldest Ingress first.
    wants: BTreeMap<(HostPattern, Age, ObjectKey), Box<[ObjectKey]>>,
    /// Secrets, each with the Ingresses that refer to it.
    users: BTreeSet<(ObjectKey, ObjectKey)>,
    /// Secrets that the settings refer to.
    defaults: BTreeSet<ObjectKey>,
    /// The Secrets of `users` and `defaults`, each since which record.
    in_use: OrdMap<ObjectKey, Seq>,
    /// The names of all certificates that can be used, by namespace; those that we obtain are in
    /// none.
    names: BTreeSet<Named>,
    /// The Secrets whose certificates are shown for a host: at most one for each type of key. None
    /// where another namespace's would be, for a wildcard that has the host.
    shown: BTreeMap<HostPattern, Vec<ObjectKey>>,
    /// The hosts and wildcards for which an Ingress wants a certificate, no Secret has one, and it
    /// may be obtained.
    lacking: OrdSet<HostPattern>,
    /// Hosts of which the same is to be said, and for which that of their wildcard is obtained.
    by_wildcard: BTreeSet<HostPattern>,
    /// By its wildcard each exact host of which anything is said: how often an Ingress routes it or
    /// wants a certificate for it, or a certificate names it.
    spoken_of: BTreeMap<(HostPattern, HostPattern), usize>,
}

/// A name of a certificate, in a namespace, and the Secret that has it.
type Named = (Origin, Arc<str>, HostPattern, ObjectKey);

impl Certificates {
    /// The Secrets that Ingresses of ours or the settings refer to, whether they exist or not, and
    /// since which record: what was known of one before that was forgotten, and its source has to tell of it.
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

    /// Whether the settings refer to a Secret.
    pub fn is_default(&self, secret: &ObjectKey) -> bool {
        self.defaults.contains(secret)
    }

    /// Whether anybody refers to a Secret.
    pub fn is_used(&self, secret: &ObjectKey) -> bool {
        self.defaults.contains(secret) || self.users(secret).next().is_some()
    }

    /// The Secrets whose certificates are shown for a host.
    pub fn shown_for(&self, host: &HostPattern) -> &[ObjectKey] {
        self.shown.get(host).map_or(&[], Vec::as_slice)
    }

    /// The hosts and wildcards for which an Ingress wants a certificate and no Secret has one, where
    /// the settings permit that it is obtained; less hosts for whose wildcard that is so.
    pub fn lacking(&self) -> &OrdSet<HostPattern> {
        &self.lacking
    }

    /// All hosts that lack one which may be obtained, be it for themselves or for their wildcard.
    pub fn waiting(&self) -> impl Iterator<Item = &HostPattern> {
        self.lacking.iter().chain(&self.by_wildcard)
    }

    /// For whom the certificate is obtained that a host lacks: for itself, or for its wildcard.
    pub fn obtained_as(&self, host: &HostPattern) -> Option<HostPattern> {
        match self.by_wildcard.contains(host) {
            true => host.wildcard(),
            false => self.lacking.contains(host).then(|| host.clone()),
        }
    }

    /// The Ingresses that want a certificate for a host.
    pub fn wanted_by(&self, host: &HostPattern) -> impl Iterator<Item = &ObjectKey> {
        self.wants(host).map(|(ingress, _)| ingress)
    }

    /// Whether what is shown for a host is decided for itself, and not for a wildcard.
    pub fn is_server_name(&self, host: &HostPattern) -> bool {
        self.shown.contains_key(host)
    }

    /// All hosts for which it is decided what is shown.
    pub fn server_names(&self) -> impl Iterator<Item = &HostPattern> {
        self.shown.keys()
    }

    /// The hosts of a wildcard of which anything is said.
    fn hosts_of(&self, wildcard: &HostPattern) -> impl Iterator<Item = &HostPattern> {
        let hosts = self.spoken_of.range(first_of(wildcard)..);
        hosts
            .take_while(move |((of, _), _)| of == wildcard)
            .map(|((_, host), _)| host)
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

    /// A certificate that we obtain.
    pub fn managed(&self, key: &ObjectKey) -> Option<&Managed> {
        let good = self.objects.get(key)?.good.as_ref()?;
        match &good.spec {
            Spec::Managed(managed) => Some(&**managed),
            Spec::Certificate(_)
            | Spec::EndpointSlice(_)
            | Spec::Ingress(_)
            | Spec::IngressClass(_)
            | Spec::Service(_)
            | Spec::TicketSecret(_) => None,
        }
    }

    /// The certificate that we obtain for a host, if nobody else has one.
    pub fn managed_for(&self, host: &HostPattern) -> Option<&Managed> {
        let name: Arc<str> = self.certificates.obtained_as(host)?.to_string().into();
        let mut of = Origin::ALL.into_iter().map(|origin| ObjectKey {
            name: Arc::clone(&name),
            ..ObjectKey::before_all(origin, Kind::Certificate)
        });
        of.find_map(|key| self.managed(&key))
    }

    /// Whether nothing is shown for a host, and a certificate may come at any moment: an order for it
    /// is under way.
    pub fn is_expected(&self, host: &HostPattern) -> bool {
        let managed = self.managed_for(host);
        managed.is_some_and(|managed| managed.order.is_some())
            && self.certificates.shown_for(host).is_empty()
    }

    /// The last good certificate of a Secret, or the one that we obtained.
    pub fn certificate(&self, secret: &ObjectKey) -> Option<&Certificate> {
        let good = self.objects.get(secret)?.good.as_ref()?;
        match &good.spec {
            Spec::Certificate(certificate) => Some(certificate),
            Spec::Managed(managed) => managed.issued.as_ref().map(|issued| &issued.certificate),
            Spec::EndpointSlice(_)
            | Spec::Ingress(_)
            | Spec::IngressClass(_)
            | Spec::Service(_)
            | Spec::TicketSecret(_) => None,
        }
    }
}

fn first_ingress() -> ObjectKey {
    ObjectKey::before_all(Origin::Folder, Kind::Ingress)
}

fn first_of(wildcard: &HostPattern) -> (HostPattern, HostPattern) {
    (wildcard.clone(), HostPattern::before_all())
}
