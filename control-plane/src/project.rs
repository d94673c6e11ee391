//! `State` becomes a snapshot and the standing of each object: only where it was touched.
//!
//! Separate from `State`, because what proxies receive changes with releases and what is
//! known does not; [`REVISION`] says which projection made a version.

mod certificates;
pub mod finding;
mod full;
pub mod hosts;
pub mod inventory;
mod listeners;
mod routes;
pub mod standing;
mod tickets;
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, Record, Seq};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::project::standing::{Standing, StandingChange};
use crate::snapshot::{ResourceId, Snapshot, Version};
use crate::state::endpoints::SliceChange;
use crate::state::hold::MissingChange;
use crate::state::{State, Touched};
use crate::versions::Versions;

pub use certificates::challenge;
pub use full::project_all;

/// Rises with every release whose projection gives other bytes for the same `State`. It
/// stands in each leader's first record, so that what was served can be made again.
pub const REVISION: u32 = 1;

/// State and what it projects to, moved on together.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    state: State,
    snapshot: Snapshot,
    standings: BTreeMap<ObjectKey, Standing>,
    versions: Versions,
}

/// What a step changed.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    pub resources: Vec<ResourceId>,
    /// Secrets that nobody refers to any more, and that were forgotten with what did; and
    /// certificates that are gone.
    pub forgotten: Vec<ObjectKey>,
    /// Versions that came to be, or were forgotten.
    pub versions: Vec<Seq>,
    /// Objects whose standing is different now.
    pub standings: Vec<StandingChange>,
}

impl Fold {
    /// A fold that begins with this state, projected as a whole.
    pub fn from_state(state: State) -> Self {
        let mut fold = Self {
            state,
            ..Self::default()
        };
        let version = fold.version();
        fold.project(
            &Touched {
                everything: true,
                ..Touched::default()
            },
            version,
        );
        fold
    }

    /// Takes in a record that is durable.
    pub fn apply(&mut self, record: &Record) -> Changed {
        let touched = self.state.apply(record);
        let version = self.version();
        if matches!(record.event, Event::EpochBegan { .. }) {
            self.snapshot.begin_epoch(version);
        }
        let mut changed = self.project(&touched, version);
        let versions = self.versions.note(record, self.snapshot.version());
        changed.versions.extend(versions.into_iter().flatten());
        changed
    }

    /// Takes in a change of endpoints.
    pub fn apply_endpoints(&mut self, change: SliceChange) -> Changed {
        let touched = self.state.apply_endpoints(change);
        let mut endpoints = Vec::new();
        for service in &touched.services {
            upstreams::project_endpoints(&self.state, &self.snapshot, service, &mut endpoints);
        }
        Changed {
            resources: self.snapshot.configure_endpoints(endpoints),
            ..Changed::default()
        }
    }

    /// Takes in which objects are missing: nothing that is projected.
    pub fn apply_missing(&mut self, change: MissingChange) {
        self.state.apply_missing(change);
    }

    /// Forgets which objects are missing: they were looked for in another term.
    pub fn forget_missing(&mut self) {
        self.state.forget_missing();
    }

    /// Takes over from a checkpoint of the same state what only history tells.
    pub fn restore(
        &mut self,
        version: Version,
        known: impl IntoIterator<Item = (ResourceId, [u8; 16], Version)>,
        versions: Versions,
    ) {
        self.snapshot.restore(version, known);
        self.versions = versions;
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is to be served.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How each Ingress stands, and each refused object of another kind.
    pub fn standings(&self) -> &BTreeMap<ObjectKey, Standing> {
        &self.standings
    }

    /// The versions that were, and what caused each.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    fn version(&self) -> Version {
        Version {
            epoch: self.state.head().epoch,
            seq: self.state.head().seq,
        }
    }

    fn project(&mut self, touched: &Touched, version: Version) -> Changed {
        let mut configuration = Vec::new();
        let mut endpoints = Vec::new();
        let mut changed = Changed::default();
        if touched.everything {
            (configuration, endpoints) = full::replace_all(&self.state, &self.snapshot);
            let standing = self.state.objects();
            let standing =
                standing.filter(|(key, held)| key.kind == Kind::Ingress || held.refused.is_some());
            let standing = standing.map(|(key, _)| key).chain(self.standings.keys());
            let standing: BTreeSet<ObjectKey> = standing.cloned().collect();
            for key in standing {
                self.update_standing(key, &mut changed);
            }
        } else {
            for ingress in &touched.ingresses {
                configuration.push(routes::project(&self.state, ingress));
                self.update_standing(ingress.clone(), &mut changed);
            }
            let all = touched.certificates.iter();
            configuration.extend(all.flat_map(|key| certificates::project(&self.state, key)));
            let mut all = touched.certificates.iter();
            if all.any(|key| self.state.certificates().is_default(key)) {
                configuration.extend(listeners::project(&self.state));
            }
            let hosts = touched.server_names.iter();
            configuration
                .extend(hosts.map(|host| certificates::project_server_name(&self.state, host)));
            for service in &touched.services {
                upstreams::project(&self.state, &self.snapshot, service, &mut configuration);
                let users: Vec<ObjectKey> = self.state.users_of(service).cloned().collect();
                for ingress in users {
                    self.update_standing(ingress, &mut changed);
                }
                self.update_standing(service.clone(), &mut changed);
                upstreams::project_endpoints(&self.state, &self.snapshot, service, &mut endpoints);
            }
            if touched
                .others
                .iter()
                .any(|key| key.kind == Kind::TicketSecret)
            {
                configuration.push(tickets::project(&self.state));
            }
            for key in touched.others.iter().chain(&touched.certificates) {
                self.update_standing(key.clone(), &mut changed);
            }
        }
        let forgotten = touched.certificates.iter();
        let forgotten = forgotten.filter(|key| self.state.object(key).is_none());
        changed.forgotten = forgotten.cloned().collect();
        changed.resources = self.snapshot.configure(version, configuration);
        let endpoints = self.snapshot.configure_endpoints(endpoints);
        changed.resources.extend(endpoints);
        changed
    }

    fn update_standing(&mut self, key: ObjectKey, changed: &mut Changed) {
        let after = standing::of(&self.state, &key);
        if self.standings.get(&key) == after.as_ref() {
            return;
        }
        let before = match &after {
            Some(standing) => self.standings.insert(key.clone(), standing.clone()),
            None => self.standings.remove(&key),
        };
        changed
            .standings
            .push(StandingChange { key, before, after });
    }
}

/// A resource's name: that of the object it is made from.
fn resource_name(key: &ObjectKey) -> String {
    let kind = match key.kind {
        Kind::Certificate => "certificate",
        Kind::EndpointSlice => "endpointslice",
        Kind::Ingress => "ingress",
        Kind::IngressClass => "ingressclass",
        Kind::Secret => "secret",
        Kind::Service => "service",
        Kind::TicketSecret => "ticketsecret",
    };
    let origin = match key.origin {
        Origin::Configuration => "@configuration",
        Origin::Folder => "@folder",
        Origin::Kubernetes => "",
    };
    format!("{kind}/{}/{}{origin}", key.namespace, key.name)
}
