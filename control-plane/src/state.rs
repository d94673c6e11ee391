//! The fold of all records, and the endpoints of now.
//!
//! Separate from what reads it, so that there is one place where the configuration changes:
//! [`State::apply`], only from a record that is already durable. It cannot fail, wait, read
//! a clock or cause an effect; it says what it touched.

pub mod certificates;
pub mod claims;
mod class;
pub mod endpoints;
mod held;
pub mod hold;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use roadstead_matcher::host::HostPattern;
use serde::{Deserialize, Serialize};

use crate::event::{Epoch, Event, Record, Seq};
use crate::model::endpoints::EndpointSlice;
use crate::model::ingress::{ClassRef, Ingress, PortRef};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec};
use crate::model::service::Service;
use crate::model::settings::Settings;
use crate::model::time::Timestamp;
use crate::state::certificates::Certificates;
use crate::state::claims::Claims;
use crate::state::endpoints::{SliceChange, SliceMap, Slices};
use crate::state::hold::{Hold, Missing};
use crate::state::references::References;

pub use class::CONTROLLER;
pub use held::{Good, Held, Refused};

/// What is known: the fold of all records up to [`State::seq`], and endpoints.
#[derive(Clone, Debug, Default)]
pub struct State {
    head: Head,
    /// Apart from their keys: a list fills the map in order, which leaves half of each node empty.
    objects: BTreeMap<ObjectKey, Box<Held>>,
    claims: Claims,
    references: References,
    certificates: Certificates,
    slices: Slices,
    missing: Missing,
}

/// What is known apart from objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    pub seq: Seq,
    /// The term of the leader that wrote the last record.
    pub epoch: Epoch,
    /// When the last record was written.
    pub time: Timestamp,
    /// Id of the installation; empty before its first leader.
    pub lineage: Box<str>,
    /// The projection that the current epoch runs.
    pub projection_revision: u32,
    pub settings: Option<Settings>,
    /// Sources that were listed as a whole since the log began.
    #[serde(default)]
    pub listed: BTreeSet<Origin>,
    /// The last term in which all sources were listed. What a later one wrote before may be on top
    /// of a log that lacked what was known already.
    #[serde(default)]
    pub synced: Epoch,
    /// The last record of that term that is known.
    #[serde(default)]
    pub synced_until: Seq,
    /// What is held back, at most one for each origin and kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
}

/// What a change touched: where projection must look again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Everything may be different: settings, or a leader with another projection.
    pub everything: bool,
    /// Ingresses whose route or standing may differ.
    pub ingresses: BTreeSet<ObjectKey>,
    /// Services whose upstreams or endpoints may differ.
    pub services: BTreeSet<ObjectKey>,
    /// Secrets whose certificates may differ, and certificates that we obtain.
    pub certificates: BTreeSet<ObjectKey>,
    /// Hosts for which other certificates may be shown.
    pub server_names: BTreeSet<HostPattern>,
    /// Objects of which no more than their standing may differ.
    pub others: BTreeSet<ObjectKey>,
}

impl State {
    /// Takes in a record. Records come in order, each once.
    pub fn apply(&mut self, record: &Record) -> Touched {
        self.head.seq = record.seq;
        self.head.epoch = record.epoch;
        self.head.time = record.time;
        let mut touched = Touched::default();
        match &record.event {
            Event::EpochBegan {
                lineage,
                projection_revision,
                ..
            } => {
                touched.everything = self.head.projection_revision != *projection_revision;
                self.head.lineage.clone_from(lineage);
                self.head.projection_revision = *projection_revision;
            }
            Event::Configured { settings } => {
                self.head.settings = Some(settings.clone());
                self.claim_all_anew(&mut touched);
                touched.everything = true;
            }
            Event::ObjectAccepted { key, meta, spec } => {
                let held = Held {
                    good: Some(Good::of(meta, spec)),
                    ..Held::default()
                };
                self.replace(key, Some(held), &mut touched);
            }
            Event::ObjectRefused {
                key,
                meta,
                refusal,
                last_good,
            } => {
                let refused = Refused {
                    meta: meta.clone(),
                    refusal: refusal.clone(),
                };
                let good = last_good.as_ref().map(|slice| Good {
                    meta: meta.clone(),
                    spec: Spec::EndpointSlice(slice.clone()),
                });
                self.refuse(key, good, refused, &mut touched);
            }
            Event::ObjectRecovered {
                key,
                meta,
                spec,
                class,
            } => {
                let held = Held {
                    good: Some(Good::of(meta, spec)),
                    class: class.clone(),
                    unseen: true,
                    ..Held::default()
                };
                self.replace(key, Some(held), &mut touched);
            }
            Event::ObjectDeleted { key } => self.replace(key, None, &mut touched),
            Event::DeletionHeld { extent } => self.head.hold(extent),
            Event::DeletionConfirmed { hold, .. } => {
                for held in self.head.holds.iter_mut().filter(|held| held.id == *hold) {
                    held.confirmed = true;
                }
            }
            Event::DeletionHoldEnded { hold } => self.head.holds.retain(|held| held.id != *hold),
            Event::SourcesListed { origins } => {
                self.head.listed.extend(origins);
                self.head.synced = record.epoch;
            }
            // Kept for people; what is connected now is Presence, and is not folded.
            Event::LogInterrupted { .. }
            | Event::ClusterRestored { .. }
            | Event::ProxyJoined { .. }
            | Event::ProxyLeft { .. }
            | Event::FaultBegan { .. }
            | Event::FaultEnded { .. }
            | Event::AcknowledgedByAll { .. } => {}
        }
        if record.epoch == self.head.synced {
            self.head.synced_until = record.seq;
        }
        self.forget_unused(&mut touched);
        touched
    }

    /// Takes in a change of endpoints, which is not logged: it is found again by listing.
    pub fn apply_endpoints(&mut self, change: SliceChange) -> Touched {
        let mut touched = Touched::default();
        self.slices.apply(change, &mut touched.services);
        touched
    }

    /// The state in which these objects are held and no endpoints are known.
    pub fn restore(head: Head, objects: BTreeMap<ObjectKey, Box<Held>>) -> Self {
        let mut state = Self {
            head,
            objects,
            ..Self::default()
        };
        state.claim_all_anew(&mut Touched::default());
        state
    }

    /// What is known apart from objects.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Sequence number of the last record.
    pub fn seq(&self) -> Seq {
        self.head.seq
    }

    /// The settings, once configured.
    pub fn settings(&self) -> Option<&Settings> {
        self.head.settings.as_ref()
    }

    /// What is held of an object; endpoint slices are in [`State::slices`].
    pub fn object(&self, key: &ObjectKey) -> Option<&Held> {
        self.objects.get(key).map(|held| &**held)
    }

    /// All objects that are held, in order of their keys.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Held)> {
        self.objects.iter().map(|(key, held)| (key, &**held))
    }

    /// The keys that are held of one kind, refused ones and endpoint slices included.
    pub fn keys(&self, origin: Origin, kind: Kind) -> impl Iterator<Item = &ObjectKey> {
        let first = ObjectKey::before_all(origin, kind);
        let of_kind = move |key: &&ObjectKey| key.origin == origin && key.kind == kind;
        let objects = self.objects.range(first.clone()..).map(|(key, _)| key);
        let slices = self.slices.all().range(first..).map(|(key, _)| key);
        objects
            .take_while(of_kind)
            .chain(slices.take_while(of_kind))
    }

    /// The last good version of an Ingress.
    pub fn ingress(&self, key: &ObjectKey) -> Option<(&Meta, &Ingress)> {
        let good = self.objects.get(key)?.good.as_ref()?;
        match &good.spec {
            Spec::Ingress(ingress) => Some((&good.meta, ingress)),
            Spec::Certificate(_)
            | Spec::EndpointSlice(_)
            | Spec::IngressClass(_)
            | Spec::Managed(_)
            | Spec::Service(_)
            | Spec::TicketSecret(_) => None,
        }
    }

    /// The class that an Ingress names now, in its newest version of which it can be read.
    pub fn class_of(&self, key: &ObjectKey) -> Option<&ClassRef> {
        self.objects.get(key)?.class()
    }

    /// The last good version of a Service.
    pub fn service(&self, key: &ObjectKey) -> Option<(&Meta, &Service)> {
        let good = self.objects.get(key)?.good.as_ref()?;
        match &good.spec {
            Spec::Service(service) => Some((&good.meta, service)),
            Spec::Certificate(_)
            | Spec::EndpointSlice(_)
            | Spec::Ingress(_)
            | Spec::IngressClass(_)
            | Spec::Managed(_)
            | Spec::TicketSecret(_) => None,
        }
    }

    /// The endpoint slices of now.
    pub fn slices(&self) -> &SliceMap {
        self.slices.all()
    }

    /// The endpoint slices of a Service, in order of name.
    pub fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        self.slices.of(service)
    }

    /// Who claims which host and path.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The ports of a Service that claiming Ingresses send to.
    pub fn ports_in_use(&self, service: &ObjectKey) -> impl Iterator<Item = &PortRef> {
        self.references.ports(service)
    }

    /// The Ingresses that send to a Service.
    pub fn users_of(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.references.users(service)
    }

    /// The Services that have slices, and would have none without these.
    pub fn services_emptied_by(&self, slices: &BTreeSet<ObjectKey>) -> BTreeSet<ObjectKey> {
        self.slices.emptied_by(slices)
    }

    /// All Services that claiming Ingresses send to, whether they exist or not.
    pub fn services_in_use(&self) -> impl Iterator<Item = &ObjectKey> {
        self.references.services()
    }

    fn replace(&mut self, key: &ObjectKey, held: Option<Held>, touched: &mut Touched) {
        match key.kind {
            Kind::Ingress => {
                self.unclaim(key, touched);
                self.set(key, held);
                self.claim(key, touched);
                touched.ingresses.insert(key.clone());
            }
            Kind::IngressClass => {
                let affected: Vec<ObjectKey> = self.ingresses_of_class(key).cloned().collect();
                for ingress in &affected {
                    self.unclaim(ingress, touched);
                }
                self.set(key, held);
                for ingress in &affected {
                    self.claim(ingress, touched);
                }
                touched.ingresses.extend(affected);
                touched.others.insert(key.clone());
            }
            Kind::Certificate | Kind::Secret => {
                self.change_certificate(key, touched, |state| state.set(key, held));
            }
            Kind::Service => {
                self.set(key, held);
                touched.services.insert(key.clone());
            }
            // What a slice says is in `slices`: here is only held what listing does not tell.
            Kind::EndpointSlice => {
                self.set(key, held.filter(|held| held.unseen));
                touched.others.insert(key.clone());
            }
            Kind::TicketSecret => {
                self.set(key, held);
                touched.others.insert(key.clone());
            }
        }
    }

    /// The last good version stays; but an Ingress that names another class now is no longer
    /// what it was, however bad the rest of it is.
    fn refuse(
        &mut self,
        key: &ObjectKey,
        good: Option<Good>,
        refused: Refused,
        touched: &mut Touched,
    ) {
        let named = refused.refusal.class.as_ref();
        let moves = named.is_some() && named != self.class_of(key);
        if moves {
            self.unclaim(key, touched);
        }
        let held = self.objects.entry(key.clone()).or_default();
        // Without a good version nothing is served by it.
        let class = held.other_class().filter(|_| held.good.is_some());
        held.class = class.cloned();
        held.refused = Some(Box::new(refused));
        held.unseen = false;
        if good.is_some() {
            held.good = good;
        }
        if moves {
            self.claim(key, touched);
        }
        match key.kind {
            Kind::Ingress => &mut touched.ingresses,
            Kind::Secret => {
                touched
                    .ingresses
                    .extend(self.certificates.users(key).cloned());
                &mut touched.certificates
            }
            Kind::Service => &mut touched.services,
            // None is refused.
            Kind::Certificate | Kind::EndpointSlice | Kind::IngressClass | Kind::TicketSecret => {
                &mut touched.others
            }
        }
        .insert(key.clone());
    }

    fn set(&mut self, key: &ObjectKey, held: Option<Held>) {
        match held {
            Some(held) => self.objects.insert(key.clone(), Box::new(held)),
            None => self.objects.remove(key),
        };
    }

    /// Enters an Ingress' claims, if it is ours to serve.
    fn claim(&mut self, key: &ObjectKey, touched: &mut Touched) {
        let Some((age, ingress)) = self.to_serve(key) else {
            return;
        };
        self.claims
            .insert(key, &age, &ingress, &mut touched.ingresses);
        self.references.insert(key, &ingress, &mut touched.services);
        self.want(key, &age, &ingress, touched);
    }

    /// Takes an Ingress' claims away, if it has any: before anything changes that they were entered
    /// by.
    fn unclaim(&mut self, key: &ObjectKey, touched: &mut Touched) {
        let Some((age, ingress)) = self.to_serve(key) else {
            return;
        };
        self.claims
            .remove(key, &age, &ingress, &mut touched.ingresses);
        self.references.remove(key, &ingress, &mut touched.services);
        self.want_no_more(key, &age, &ingress, touched);
    }

    /// The last good version of an Ingress that is ours to serve.
    fn to_serve(&self, key: &ObjectKey) -> Option<(Age, Ingress)> {
        let (meta, ingress) = self.ingress(key)?;
        let class = self.class_of(key)?;
        self.serves(key.origin, class)
            .then(|| (meta.age.clone(), ingress.clone()))
    }

    fn claim_all_anew(&mut self, touched: &mut Touched) {
        let ownership = self.settings().map(|settings| settings.host_ownership);
        self.claims = Claims::new(ownership.unwrap_or_default());
        self.references = References::default();
        let in_use = self.index_certificates(touched);
        let ingresses: Vec<ObjectKey> = Origin::ALL
            .into_iter()
            .flat_map(|origin| self.keys(origin, Kind::Ingress))
            .cloned()
            .collect();
        for key in &ingresses {
            self.claim(key, touched);
        }
        self.in_use_since(&in_use);
        self.forget_unused(touched);
    }
}
