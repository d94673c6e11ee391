//! What of a Service is routed on (core `v1`).

use serde::{Deserialize, Serialize};

use crate::model::ingress::PortRef;

/// The specification of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    pub target: Target,
    /// Ports that carry TCP.
    pub ports: Vec<ServicePort>,
}

impl Service {
    /// The port that a backend names, if the Service has it.
    pub fn port(&self, wanted: &PortRef) -> Option<&ServicePort> {
        self.ports.iter().find(|port| match wanted {
            PortRef::Name(name) => port.name == *name,
            PortRef::Number(number) => port.number == *number,
        })
    }

    /// Whether a backend may name this port: one that the Service has, or any number where
    /// the Service lists none (headless without ports) or needs none (ExternalName).
    pub fn offers(&self, wanted: &PortRef) -> bool {
        let any_number = match self.target {
            Target::Endpoints => self.ports.is_empty(),
            Target::External(_) => true,
            Target::Nothing => false,
        };
        self.port(wanted).is_some() || (any_number && matches!(wanted, PortRef::Number(_)))
    }
}

/// Where a Service's requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The addresses of its EndpointSlices; with or without a cluster address.
    Endpoints,
    /// A DNS name (`type: ExternalName`).
    External(Box<str>),
    /// Nowhere: the Service has ports, and none of them carries TCP.
    Nothing,
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// Empty where the Service's only port has no name. EndpointSlices name ports by it.
    pub name: Box<str>,
    pub number: u16,
}
