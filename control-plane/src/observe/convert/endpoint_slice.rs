//! EndpointSlice (`discovery.k8s.io/v1`).

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::{Endpoint as Wire, EndpointConditions};
use roadstead_matcher::address::is_local;

use crate::model::endpoints::{Condition, Endpoint, EndpointPort, EndpointSlice};
use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::convert::{Convert, bad_label, is_label, is_subdomain, port, shorten, types};

impl Convert for types::EndpointSlice {
    const MODEL_KIND: Kind = Kind::EndpointSlice;

    fn spec(&self, origin: Origin) -> Result<Spec, Refusal> {
        let family = Family::parse(&self.address_type)?;
        let labels = self.metadata.labels.as_ref();
        let service = labels
            .and_then(|labels| labels.get(SERVICE_NAME))
            .map(String::as_str)
            .unwrap_or_default();
        if !service.is_empty() && !is_subdomain(service) {
            return Err(Refusal::new(
                Reason::InvalidEndpoint,
                format!("metadata.labels[{SERVICE_NAME}]"),
                format!("{:?} is no Service's name", shorten(service)),
            ));
        }
        Ok(Spec::EndpointSlice(EndpointSlice {
            service: service.into(),
            ports: ports(self)?,
            endpoints: endpoints(self, family, origin)?,
        }))
    }
}

/// The address type of a slice.
#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "IPv4" => Ok(Self::V4),
            "IPv6" => Ok(Self::V6),
            other => Err(Refusal::new(
                Reason::Unsupported,
                "addressType",
                format!(
                    "{:?} is not served; use IPv4 or IPv6, or a Service of type ExternalName for a DNS name",
                    shorten(other)
                ),
            )),
        }
    }

    /// Reads an address of this family that something can answer at.
    fn address(self, text: &str, origin: Origin) -> Result<IpAddr, String> {
        let address: Option<IpAddr> = match self {
            Self::V4 => text.parse().ok().map(IpAddr::V4),
            Self::V6 => text.parse().ok().map(IpAddr::V6),
        };
        let Some(address) = address else {
            let family = match self {
                Self::V4 => "IPv4",
                Self::V6 => "IPv6",
            };
            return Err(format!("{:?} is no {family} address", shorten(text)));
        };
        if address.is_unspecified() || address.is_multicast() {
            return Err(format!("{address} is not the address of one machine"));
        }
        // With them a user of a namespace could reach what listens on the node itself, and what a
        // cloud tells its machines: the API server refuses some of them only. Whoever may write
        // slices is no operator, and so no setting allows it; a folder is the operator's own.
        if origin == Origin::Kubernetes && is_local(address) {
            return Err(format!(
                "{address} is a loopback, link-local or metadata address; only a folder may name \
                 these: take it out of the slice"
            ));
        }
        Ok(address)
    }
}

/// The ports that carry TCP, in order of name.
fn ports(slice: &types::EndpointSlice) -> Result<Vec<EndpointPort>, Refusal> {
    let listed = slice.ports.as_deref().unwrap_or_default();
    if listed.len() > MAX_PORTS {
        return Err(too_many("ports", MAX_PORTS));
    }
    let mut ports = Vec::new();
    for (index, listed) in listed.iter().enumerate() {
        let is_tcp = listed.protocol.as_deref().unwrap_or("TCP") == "TCP";
        // A port without a number means all of them, and then routes bring the number.
        let (true, Some(number)) = (is_tcp, listed.port) else {
            continue;
        };
        let Some(number) = port(number) else {
            return Err(Refusal::new(
                Reason::InvalidEndpoint,
                format!("ports[{index}].port"),
                format!("{number} is no port; use 1 to 65535"),
            ));
        };
        let name = listed.name.as_deref().unwrap_or_default();
        if !name.is_empty() && !is_label(name) {
            return Err(Refusal::new(
                Reason::InvalidEndpoint,
                format!("ports[{index}].name"),
                bad_label(name),
            ));
        }
        ports.push(EndpointPort {
            name: name.into(),
            number,
        });
    }
    ports.sort_by(|a, b| (&a.name, a.number).cmp(&(&b.name, b.number)));
    ports.dedup();
    Ok(ports)
}

/// The endpoints that can be sent to, in order and each address once: a slice that lists the
/// same in another order is the same.
fn endpoints(
    slice: &types::EndpointSlice,
    family: Family,
    origin: Origin,
) -> Result<Vec<Endpoint>, Refusal> {
    let listed = slice.endpoints.as_deref().unwrap_or_default();
    let addresses: usize = listed.iter().map(|endpoint| endpoint.addresses.len()).sum();
    if listed.len().max(addresses) > MAX_ADDRESSES {
        return Err(too_many("endpoints", MAX_ADDRESSES));
    }
    let mut endpoints = Vec::with_capacity(addresses);
    for (index, listed) in listed.iter().enumerate() {
        let condition = condition(listed.conditions.as_ref());
        for (at, text) in listed.addresses.iter().enumerate() {
            let address = family.address(text, origin).map_err(|message| {
                let field = format!("endpoints[{index}].addresses[{at}]");
                Refusal::new(Reason::InvalidEndpoint, field, message)
            })?;
            if let Some(condition) = condition {
                endpoints.push(Endpoint {
                    address,
                    condition,
                    uid: pod_uid(listed),
                });
            }
        }
    }
    endpoints.sort();
    // Of two entries of an address the ready one comes first, and stays.
    endpoints.dedup_by(|later, earlier| later.address == earlier.address);
    Ok(endpoints)
}

/// What is not known counts as ready, serving and not terminating, as Kubernetes has it.
/// `publishNotReadyAddresses` is in `ready` already.
fn condition(conditions: Option<&EndpointConditions>) -> Option<Condition> {
    let unknown = EndpointConditions::default();
    let EndpointConditions {
        ready,
        serving,
        terminating,
    } = conditions.unwrap_or(&unknown);
    match (
        ready.unwrap_or(true),
        serving.unwrap_or(true),
        terminating.unwrap_or(false),
    ) {
        (true, _, _) => Some(Condition::Ready),
        (false, true, true) => Some(Condition::Draining),
        (false, _, _) => None,
    }
}

/// UIDs are 36 bytes; what is longer is not one, and tells nothing apart.
fn pod_uid(endpoint: &Wire) -> Box<str> {
    let target = endpoint.target_ref.as_ref();
    let pod = target.filter(|target| target.kind.as_deref() == Some("Pod"));
    pod.and_then(|pod| pod.uid.as_deref())
        .filter(|uid| uid.len() <= MAX_UID)
        .unwrap_or_default()
        .into()
}

fn too_many(field: &'static str, most: usize) -> Refusal {
    let message = format!("more than {most}; split the slice");
    Refusal::new(Reason::Unsupported, field, message)
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The limits of the API server, which a folder does not have in front of it.
const MAX_PORTS: usize = 100;
const MAX_ADDRESSES: usize = 1000;
const MAX_UID: usize = 64;
