//! All certificates: where each is from, for which hosts it is shown, and who wants it.
//!
//! Apart from their resources, which are made one by one where something changed and say no more
//! than proxies need: this is made as a whole, for who asks.

use std::collections::{BTreeMap, BTreeSet};

use roadstead_matcher::host::HostPattern;

use crate::event::Seq;
use crate::model::certificate::Certificate;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::Managed;
use crate::model::object::Spec;
use crate::model::refusal::Refusal;
use crate::project::{Fold, resource_name};
use crate::snapshot::Version;
use crate::state::{Held, State};

/// What there is at a record.
#[derive(Debug)]
pub struct Inventory {
    /// The record.
    pub seq: Seq,
    /// The configuration that was served then.
    pub version: Version,
    /// Id of the installation.
    pub lineage: Box<str>,
    /// In order of their names.
    pub certificates: Vec<Listed>,
}

/// A certificate, or one that is to be.
#[derive(Debug)]
pub struct Listed {
    /// That of its resource.
    pub name: Box<str>,
    pub key: ObjectKey,
    pub source: Source,
    /// The hosts for which it is shown, in order.
    pub shown_for: Vec<HostPattern>,
    /// The Ingresses that name the Secret, or that want a certificate for what this one is
    /// obtained for.
    pub wanted_by: BTreeSet<ObjectKey>,
}

/// Where a certificate is from.
#[derive(Debug)]
pub enum Source {
    Secret {
        certificate: Box<Certificate>,
        /// Why its newest version is not used, and this one is.
        refusal: Option<Refusal>,
    },
    Obtained(Box<Managed>),
}

impl Inventory {
    /// That of a fold.
    pub fn of(fold: &Fold) -> Self {
        let state = fold.state();
        let mut shown = shown(state);
        let mut certificates = Vec::new();
        for origin in Origin::ALL {
            for kind in [Kind::Certificate, Kind::Secret] {
                for key in state.keys(origin, kind) {
                    let Some(source) = state.object(key).and_then(source) else {
                        continue;
                    };
                    certificates.push(Listed {
                        name: resource_name(key).into(),
                        wanted_by: wanted_by(state, key, &source),
                        source,
                        shown_for: shown.remove(key).unwrap_or_default(),
                        key: key.clone(),
                    });
                }
            }
        }
        certificates.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            seq: state.seq(),
            version: fold.snapshot().version(),
            lineage: state.head().lineage.clone(),
            certificates,
        }
    }

    /// The one whose resource has this name.
    pub fn find(&self, name: &str) -> Option<&Listed> {
        let found = self
            .certificates
            .binary_search_by(|listed| (*listed.name).cmp(name));
        self.certificates.get(found.ok()?)
    }
}

impl Listed {
    /// What is known of it; `None` before it is issued.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.source {
            Source::Secret { certificate, .. } => Some(certificate),
            Source::Obtained(managed) => managed.issued.as_ref().map(|issued| &issued.certificate),
        }
    }
}

/// The hosts for which each is shown, in order.
fn shown(state: &State) -> BTreeMap<&ObjectKey, Vec<HostPattern>> {
    let certificates = state.certificates();
    let mut shown: BTreeMap<&ObjectKey, Vec<HostPattern>> = BTreeMap::new();
    for host in certificates.server_names() {
        for key in certificates.shown_for(host) {
            shown.entry(key).or_default().push(host.clone());
        }
    }
    shown
}

fn source(held: &Held) -> Option<Source> {
    let refused = held.refused.as_ref();
    match &held.good.as_ref()?.spec {
        Spec::Certificate(certificate) => Some(Source::Secret {
            certificate: Box::new(certificate.clone()),
            refusal: refused.map(|refused| refused.refusal.clone()),
        }),
        Spec::Managed(managed) => Some(Source::Obtained(managed.clone())),
        Spec::EndpointSlice(_)
        | Spec::Ingress(_)
        | Spec::IngressClass(_)
        | Spec::Service(_)
        | Spec::TicketSecret(_) => None,
    }
}

fn wanted_by(state: &State, key: &ObjectKey, source: &Source) -> BTreeSet<ObjectKey> {
    let certificates = state.certificates();
    match source {
        Source::Secret { .. } => certificates.users(key).cloned().collect(),
        Source::Obtained(managed) => {
            let hosts = managed.names.iter();
            let wanting = hosts.flat_map(|host| certificates.wanted_by(host));
            wanting.cloned().collect()
        }
    }
}
