//! What of an EndpointSlice is routed on (`discovery.k8s.io/v1`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The specification of an EndpointSlice. Its address type is that of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// The Service that it belongs to (label `kubernetes.io/service-name`); empty: none.
    pub service: Box<str>,
    /// Ports that carry TCP.
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

/// A port that the endpoints of a slice answer on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPort {
    /// The name of the Service's port; empty for the only one.
    pub name: Box<str>,
    pub number: u16,
}

/// One entry of `endpoints` that can be sent to.
///
/// What neither is ready nor serves while it terminates is left out when the object is read:
/// nothing is ever sent there, and its coming and going is no change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: IpAddr,
    pub condition: Condition,
    /// UID of the Pod behind it; empty if not known.
    pub uid: Box<str>,
}

/// Whether new requests go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    Ready,
    /// Terminating and still serving: used when no endpoint of the Service is ready.
    Draining,
}
