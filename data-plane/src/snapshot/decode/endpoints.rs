//! Endpoints from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{Endpoint, Fault, Form};

/// An address that is named twice counts once: it must not get twice its share.
pub(super) fn read(message: &v1::Endpoints) -> Result<Form, Fault> {
    use v1::endpoint::Condition;
    let mut faults = Faults::default();
    let mut seen = HashSet::new();
    let (mut ready, mut draining) = (Vec::new(), Vec::new());
    for (index, endpoint) in message.endpoints.iter().enumerate() {
        faults.at("endpoints", index);
        let address = faults.field("address", endpoint.address.parse::<IpAddr>());
        let port = faults.field("port", super::port(endpoint.port));
        let Some((address, port)) = address.zip(port) else {
            continue;
        };
        let group = match Condition::try_from(endpoint.condition) {
            Ok(Condition::Ready) => &mut ready,
            Ok(Condition::Draining) => &mut draining,
            Ok(Condition::Unspecified) | Err(_) => {
                faults.field("condition", Err::<(), _>("not known"));
                continue;
            }
        };
        let address = SocketAddr::new(address, port);
        if seen.insert(address) {
            group.push(Endpoint {
                address,
                uid: endpoint.uid.as_str().into(),
            });
        }
    }
    let serving = if ready.is_empty() { draining } else { ready };
    faults.finish(Some(Form::Endpoints(serving.into())))
}
