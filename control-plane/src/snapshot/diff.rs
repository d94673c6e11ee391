//! What changed between two snapshots, as meaning: hosts, routes, upstreams, listeners.
//!
//! Apart from the bytes that are sent: an object that was written anew with the same rules
//! is a changed resource for a proxy, and no change for a person.

use std::collections::{BTreeMap, BTreeSet};

use imbl::ordmap::DiffItem;
use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::snapshot::{Resource, ResourceId, Snapshot};

/// The differences, each list in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    pub hosts_added: Vec<String>,
    pub hosts_removed: Vec<String>,
    pub routes: Vec<v1::RouteChange>,
    pub upstreams: Vec<v1::ResourceChange>,
    pub listeners: Vec<v1::ResourceChange>,
    pub certificates: Vec<v1::ResourceChange>,
    pub server_names: Vec<v1::ResourceChange>,
    pub challenges: Vec<v1::ResourceChange>,
}

/// Compares two snapshots. Endpoints are no part of it: no version covers them.
pub fn diff(before: &Snapshot, after: &Snapshot) -> Diff {
    let mut diff = Diff::default();
    let mut routes = Routes::default();
    for item in before.resources().diff(after.resources()) {
        let (id, old, new): (_, Option<&Resource>, Option<&Resource>) = match item {
            DiffItem::Add(id, new) => (id, None, Some(new)),
            DiffItem::Update { old, new } => (new.0, Some(old.1), Some(new.1)),
            DiffItem::Remove(id, old) => (id, Some(old), None),
        };
        match id.kind {
            ResourceType::Route => routes.add(old, new),
            ResourceType::Upstream => diff.upstreams.extend(change(id, old, new)),
            ResourceType::Listener => diff.listeners.extend(change(id, old, new)),
            ResourceType::Certificate => diff.certificates.extend(change(id, old, new)),
            ResourceType::ServerName => diff.server_names.extend(change(id, old, new)),
            ResourceType::Challenge => diff.challenges.extend(change(id, old, new)),
            // That they are others from day to day means nothing to a person.
            ResourceType::TicketSecrets => {}
            ResourceType::Endpoints | ResourceType::Unspecified => {}
        }
    }
    if !routes.is_empty() {
        let (had, has) = (hosts(before), hosts(after));
        diff.hosts_added = has.difference(&had).cloned().collect();
        diff.hosts_removed = had.difference(&has).cloned().collect();
        diff.routes = routes.changes();
    }
    diff
}

/// Where a request goes: host (empty: any), whether it is a default backend, path.
type Slot = (String, bool, i32, String);

/// Who answers for a slot.
#[derive(Clone)]
struct Owner {
    wire: v1::RouteOwner,
    listeners: Vec<String>,
}

/// Who had each slot of the routes that changed, and who has it. A slot that moved from one
/// route to another is in both, because both routes changed.
#[derive(Default)]
struct Routes {
    before: BTreeMap<Slot, Owner>,
    after: BTreeMap<Slot, Owner>,
}

impl Routes {
    fn add(&mut self, old: Option<&Resource>, new: Option<&Resource>) {
        self.before.extend(old.into_iter().flat_map(owners));
        self.after.extend(new.into_iter().flat_map(owners));
    }

    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    fn changes(mut self) -> Vec<v1::RouteChange> {
        let slots: BTreeSet<Slot> = self
            .before
            .keys()
            .chain(self.after.keys())
            .cloned()
            .collect();
        slots
            .into_iter()
            .filter_map(|slot| {
                let (before, after) = (self.before.remove(&slot), self.after.remove(&slot));
                if before.as_ref().map(answer) == after.as_ref().map(answer) {
                    return None;
                }
                let (hostname, fallback, kind, value) = slot;
                Some(v1::RouteChange {
                    hostname,
                    path: (!fallback).then_some(v1::PathMatch { kind, value }),
                    before: before.map(|owner| owner.wire),
                    after: after.map(|owner| owner.wire),
                })
            })
            .collect()
    }
}

/// What of an owner decides the answer to a request, and whose it is. Not its uid, nor where
/// in the object the rule stands.
fn answer(owner: &Owner) -> (Option<[&str; 3]>, &[v1::Backend], u32, &[String]) {
    let source = owner.wire.source.as_ref();
    let source = source.map(|s| [s.kind.as_str(), s.namespace.as_str(), s.name.as_str()]);
    let v1::RouteOwner {
        backends,
        https_port,
        ..
    } = &owner.wire;
    (source, backends, *https_port, &owner.listeners)
}

fn owners(resource: &Resource) -> impl Iterator<Item = (Slot, Owner)> {
    let v1::Route {
        source,
        listeners,
        rules,
    } = route(resource);
    rules.into_iter().map(move |rule| {
        let path = rule.path.unwrap_or_default();
        let slot = (rule.hostname, rule.fallback, path.kind, path.value);
        let wire = v1::RouteOwner {
            source: source.clone(),
            rule_id: rule.id,
            backends: rule.backends,
            https_port: rule.https_port,
        };
        let listeners = listeners.clone();
        (slot, Owner { wire, listeners })
    })
}

/// All hosts that some route names.
fn hosts(snapshot: &Snapshot) -> BTreeSet<String> {
    let resources = snapshot.resources().iter();
    resources
        .filter(|(id, _)| id.kind == ResourceType::Route)
        .flat_map(|(_, resource)| route(resource).rules)
        .map(|rule| rule.hostname)
        .filter(|hostname| !hostname.is_empty())
        .collect()
}

/// The bytes are projection's own, so that there is nothing to refuse.
fn route(resource: &Resource) -> v1::Route {
    v1::Route::decode(resource.body.clone()).unwrap_or_default()
}

fn change(
    id: &ResourceId,
    old: Option<&Resource>,
    new: Option<&Resource>,
) -> Option<v1::ResourceChange> {
    use v1::resource_change::Kind;
    let kind = match (old, new) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        // Changed and changed back: only the version of its last change is another.
        (Some(old), Some(new)) if old.hash == new.hash => return None,
        (Some(_), Some(_)) => Kind::Changed,
    };
    Some(v1::ResourceChange {
        name: id.name.as_ref().to_owned(),
        kind: kind.into(),
    })
}

#[cfg(test)]
mod tests;
