//! A Service becomes an upstream for each port in use, and the endpoints of each.
//!
//! An upstream is named by its port as routes write it, so that a route never depends on
//! what the Service makes of that port.

use std::collections::BTreeMap;
use std::net::IpAddr;

use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::endpoints::{Condition, EndpointSlice};
use crate::model::ingress::PortRef;
use crate::model::key::ObjectKey;
use crate::model::object::Meta;
use crate::model::service::{Service, Target};
use crate::project::{resource_name, routes};
use crate::snapshot::{Change, ResourceId, Snapshot};
use crate::state::State;

/// The name of the upstream that a port of a Service is.
pub(super) fn name(service: &ObjectKey, port: &PortRef) -> String {
    format!("{}:{port}", resource_name(service))
}

/// The upstreams of a Service: one for each port in use that it has; those of ports that
/// are no longer in use or no longer exist are gone.
pub(super) fn project(
    state: &State,
    snapshot: &Snapshot,
    service: &ObjectKey,
    changes: &mut Vec<Change>,
) {
    let mut wanted = BTreeMap::new();
    if let Some((meta, spec)) = state.service(service) {
        for port in state.ports_in_use(service) {
            if let Some(upstream) = upstream(state, service, meta, spec, port) {
                wanted.insert(name(service, port), upstream);
            }
        }
    }
    changes.extend(gone(snapshot, ResourceType::Upstream, service, &wanted));
    for (name, upstream) in wanted {
        changes.push(Change {
            id: ResourceId::new(ResourceType::Upstream, name),
            body: Some((upstream.encode_to_vec(), &[])),
        });
    }
}

/// The endpoints of a Service's upstreams.
pub(super) fn project_endpoints(
    state: &State,
    snapshot: &Snapshot,
    service: &ObjectKey,
    changes: &mut Vec<Change>,
) {
    let mut wanted = BTreeMap::new();
    if let Some((_, spec)) = state.service(service)
        && spec.target == Target::Endpoints
    {
        for port in state.ports_in_use(service) {
            if let Some(wire) = endpoints(state.slices_of(service), spec, port) {
                wanted.insert(name(service, port), wire);
            }
        }
    }
    changes.extend(gone(snapshot, ResourceType::Endpoints, service, &wanted));
    for (name, endpoints) in wanted {
        changes.push(Change {
            id: ResourceId::new(ResourceType::Endpoints, name),
            body: Some((endpoints.encode_to_vec(), &[])),
        });
    }
}

/// What the snapshot holds of a Service and is not wanted any more.
fn gone<T>(
    snapshot: &Snapshot,
    kind: ResourceType,
    service: &ObjectKey,
    wanted: &BTreeMap<String, T>,
) -> Vec<Change> {
    let prefix = format!("{}:", resource_name(service));
    let first = ResourceId::new(kind, prefix.as_str());
    snapshot
        .resources()
        .range(first..)
        .map(|(id, _)| id)
        .take_while(|id| id.kind == kind && id.name.starts_with(&prefix))
        .filter(|id| !wanted.contains_key(id.name.as_ref()))
        .map(|id| Change {
            id: id.clone(),
            body: None,
        })
        .collect()
}

fn upstream(
    state: &State,
    key: &ObjectKey,
    meta: &Meta,
    service: &Service,
    port: &PortRef,
) -> Option<v1::Upstream> {
    use v1::upstream::Target as Wire;
    let target = match &service.target {
        Target::Endpoints => {
            target_port(service, port)?;
            Wire::Discovered(v1::DiscoveredTarget {})
        }
        Target::Nothing => return None,
        Target::External(hostname) => Wire::External(v1::ExternalTarget {
            hostname: hostname.clone().into(),
            port: external_port(service, port)?.into(),
            allow_local: state
                .settings()
                .is_some_and(|settings| settings.allow_local_external_names),
        }),
    };
    Some(v1::Upstream {
        source: Some(routes::source(key, meta)),
        target: Some(target),
    })
}

/// How a slice's port is found.
enum TargetPort<'a> {
    /// By the name of the Service's port.
    Named(&'a str),
    /// A headless Service without ports: the number itself.
    Number(u16),
}

fn target_port<'a>(service: &'a Service, port: &PortRef) -> Option<TargetPort<'a>> {
    match (service.port(port), port) {
        (Some(port), _) => Some(TargetPort::Named(&port.name)),
        (None, PortRef::Number(number)) if service.ports.is_empty() => {
            Some(TargetPort::Number(*number))
        }
        (None, PortRef::Number(_) | PortRef::Name(_)) => None,
    }
}

/// An ExternalName needs no ports: a number stands for itself.
fn external_port(service: &Service, port: &PortRef) -> Option<u16> {
    match (service.port(port), port) {
        (Some(port), _) => Some(port.number),
        (None, PortRef::Number(number)) => Some(*number),
        (None, PortRef::Name(_)) => None,
    }
}

/// The addresses of one port over all slices, each once; `None` if the Service has no such port.
fn endpoints<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    service: &Service,
    port: &PortRef,
) -> Option<v1::Endpoints> {
    let target = target_port(service, port)?;
    // An address may stand in two slices while the controller moves it: ready counts.
    let mut found: BTreeMap<(IpAddr, u16), (Condition, &str)> = BTreeMap::new();
    for slice in slices {
        let number = match target {
            TargetPort::Named(name) => slice
                .ports
                .iter()
                .find(|port| *port.name == *name)
                .map(|port| port.number),
            TargetPort::Number(number) => Some(number),
        };
        let Some(number) = number else { continue };
        for endpoint in &slice.endpoints {
            let candidate = (endpoint.condition, &*endpoint.uid);
            found
                .entry((endpoint.address, number))
                .and_modify(|held| *held = candidate.min(*held))
                .or_insert(candidate);
        }
    }
    let endpoints = found
        .into_iter()
        .map(|((address, port), (condition, uid))| v1::Endpoint {
            address: address.to_string(),
            port: port.into(),
            condition: wire_condition(condition).into(),
            uid: uid.to_owned(),
        })
        .collect();
    Some(v1::Endpoints { endpoints })
}

fn wire_condition(condition: Condition) -> v1::endpoint::Condition {
    match condition {
        Condition::Ready => v1::endpoint::Condition::Ready,
        Condition::Draining => v1::endpoint::Condition::Draining,
    }
}
