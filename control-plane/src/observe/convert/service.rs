//! Service (core `v1`).

use k8s_openapi::api::core::v1::ServiceSpec;
use roadstead_matcher::host::{HostError, HostPattern};

use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::model::refusal::{Reason, Refusal};
use crate::model::service::{Service, ServicePort, Target};
use crate::observe::convert::{Convert, bad_label, is_label, port, reason, shorten, types};

impl Convert for types::Service {
    const MODEL_KIND: Kind = Kind::Service;

    fn spec(&self, _: Origin) -> Result<Spec, Refusal> {
        let Some(spec) = &self.spec else {
            return Err(Refusal::new(
                Reason::Malformed,
                "spec",
                "is missing; add it with the Service's ports",
            ));
        };
        let ports = ports(spec)?;
        let target = match spec.type_.as_deref().unwrap_or("ClusterIP") {
            "ExternalName" => Target::External(external_name(spec)?),
            "ClusterIP" | "NodePort" | "LoadBalancer" => {
                let listed = spec.ports.as_ref().is_some_and(|ports| !ports.is_empty());
                if listed && ports.is_empty() {
                    Target::Nothing
                } else {
                    Target::Endpoints
                }
            }
            other => {
                return Err(Refusal::new(
                    Reason::Unsupported,
                    "spec.type",
                    format!(
                        "{:?} is not known; use ClusterIP, NodePort, LoadBalancer or ExternalName",
                        shorten(other)
                    ),
                ));
            }
        };
        Ok(Spec::Service(Service { target, ports }))
    }
}

/// The ports that carry TCP, in order of number.
fn ports(spec: &ServiceSpec) -> Result<Vec<ServicePort>, Refusal> {
    let listed = spec.ports.as_deref().unwrap_or_default();
    if listed.len() > MAX_PORTS {
        return Err(Refusal::new(
            Reason::Unsupported,
            "spec.ports",
            format!("more than {MAX_PORTS}; split the Service"),
        ));
    }
    let mut ports = Vec::new();
    for (index, listed) in listed.iter().enumerate() {
        if listed.protocol.as_deref().unwrap_or("TCP") != "TCP" {
            continue;
        }
        let field = || format!("spec.ports[{index}]");
        let Some(number) = port(listed.port) else {
            return Err(Refusal::new(
                Reason::Malformed,
                format!("{}.port", field()),
                format!("{} is no port; use 1 to 65535", listed.port),
            ));
        };
        let name = listed.name.as_deref().unwrap_or_default();
        if !name.is_empty() && !is_label(name) {
            return Err(Refusal::new(
                Reason::Malformed,
                format!("{}.name", field()),
                bad_label(name),
            ));
        }
        ports.push(ServicePort {
            name: name.into(),
            number,
        });
    }
    ports.sort_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
    Ok(ports)
}

/// A DNS name, in lower case and without a trailing dot.
fn external_name(spec: &ServiceSpec) -> Result<Box<str>, Refusal> {
    let text = spec.external_name.as_deref().unwrap_or_default();
    let refused = |message: &str| {
        let message = format!("{:?} {message}", shorten(text));
        Refusal::new(Reason::InvalidExternalName, "spec.externalName", message)
    };
    match HostPattern::parse(text) {
        Ok(HostPattern::Exact(name)) if !ends_in_number(&name) => Ok((*name).into()),
        // Resolvers read 127.1 and 0x7f000001 as addresses; the last label tells.
        Ok(HostPattern::Exact(_)) | Err(HostError::IpAddress) => Err(refused(
            "is an address; use a Service without a selector and an EndpointSlice for addresses",
        )),
        Ok(HostPattern::OneLabel(_)) => Err(refused("is a wildcard; write one DNS name")),
        Ok(HostPattern::Any) => Err(refused("is empty; write a DNS name")),
        Err(error) => Err(refused(&format!("is no DNS name: {}", reason(&error)))),
    }
}

fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Far above what anybody writes; it bounds what one object can cost.
const MAX_PORTS: usize = 1000;
