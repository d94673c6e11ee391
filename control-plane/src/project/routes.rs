//! An Ingress becomes one route: its rules, less those that older claimants have.
//!
//! Separate because it is the translation that users know Roadstead by.

use prost::Message as _;
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::ingress::Ingress;
use crate::model::key::{Kind, ObjectKey};
use crate::model::object::Meta;
use crate::project::{resource_name, upstreams};
use crate::snapshot::{Change, ResourceId};
use crate::state::State;
use crate::state::claims::wish::{Slot, Wish, wishes};

/// The route of an Ingress; gone if the Ingress is gone, not ours, or has no rule left.
pub(super) fn project(state: &State, key: &ObjectKey) -> Change {
    let id = ResourceId::new(ResourceType::Route, resource_name(key));
    let body = route(state, key).map(|route| (route.encode_to_vec(), [].as_slice()));
    Change { id, body }
}

fn route(state: &State, key: &ObjectKey) -> Option<v1::Route> {
    let (meta, ingress) = state.ingress(key)?;
    let rules: Vec<v1::Rule> = wishes(ingress)
        .filter(|wish| has_slot(state, key, wish))
        .map(|wish| {
            let https_port = https_port(state, ingress, &wish.host);
            rule(key, wish, https_port)
        })
        .collect();
    if rules.is_empty() {
        return None;
    }
    Some(v1::Route {
        source: Some(source(key, meta)),
        listeners: Vec::new(),
        rules,
    })
}

/// Whether a wish of this Ingress is the one that has its slot.
pub(super) fn has_slot(state: &State, key: &ObjectKey, wish: &Wish<'_>) -> bool {
    state
        .claims()
        .winner(&wish.host, &wish.slot)
        .is_some_and(|claim| claim.ingress == *key && claim.position == wish.position)
}

/// Where a resource comes from.
pub(super) fn source(key: &ObjectKey, meta: &Meta) -> v1::Source {
    v1::Source {
        kind: key.kind.as_str().to_owned(),
        namespace: key.namespace.as_ref().to_owned(),
        name: key.name.as_ref().to_owned(),
        uid: meta.uid.as_ref().to_owned(),
    }
}

/// Where unencrypted requests are sent, if they are.
fn https_port(state: &State, ingress: &Ingress, host: &HostPattern) -> Option<u16> {
    let settings = state.settings()?;
    let redirects = ingress.redirects_to_https;
    let redirects = redirects.unwrap_or(settings.redirects_to_https);
    match redirects && ingress.wants_https(host) {
        true => settings.https_port(),
        false => None,
    }
}

fn rule(key: &ObjectKey, wish: Wish<'_>, https_port: Option<u16>) -> v1::Rule {
    let service = key.sibling(Kind::Service, &wish.backend.service);
    let (path, fallback) = match wish.slot {
        Slot::Path(path) => (path, false),
        Slot::Fallback => (PathPattern::root(), true),
    };
    v1::Rule {
        id: wish.position.to_string(),
        hostname: wish.host.to_string(),
        path: Some(path_match(&path)),
        fallback,
        backends: vec![v1::Backend {
            upstream: upstreams::name(&service, &wish.backend.port),
            weight: 1,
        }],
        https_port: https_port.unwrap_or_default().into(),
    }
}

fn path_match(path: &PathPattern) -> v1::PathMatch {
    use v1::path_match::Kind;
    let (kind, value) = match path {
        PathPattern::Exact(value) => (Kind::Exact, value),
        PathPattern::ElementPrefix(value) => (Kind::ElementPrefix, value),
        PathPattern::BytePrefix(value) => (Kind::BytePrefix, value),
    };
    v1::PathMatch {
        kind: kind.into(),
        value: str::to_owned(value),
    }
}
