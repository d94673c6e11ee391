//! The listeners of the settings.

use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::settings::{Listener, Protocol};
use crate::snapshot::{Change, ResourceId};
use crate::state::State;

/// All listeners.
pub(super) fn project(state: &State) -> impl Iterator<Item = Change> {
    let settings = state.settings().into_iter();
    settings
        .flat_map(|settings| &settings.listeners)
        .map(|(name, listener)| Change {
            id: ResourceId::new(ResourceType::Listener, name.as_ref()),
            body: Some(body(name, listener)),
        })
}

fn body(name: &str, listener: &Listener) -> (Vec<u8>, &'static [&'static str]) {
    use v1::listener::Protocol as Wire;
    let has_headers = !listener.proxy_protocol.is_empty();
    let (protocol, requires): (_, &'static [&'static str]) = match (listener.protocol, has_headers)
    {
        (Protocol::Http, false) => (Wire::Http, &[]),
        (Protocol::Http, true) => (Wire::Http, &["proxy-protocol"]),
        (Protocol::Https, false) => (Wire::Https, &["tls"]),
        (Protocol::Https, true) => (Wire::Https, &["proxy-protocol", "tls"]),
    };
    let message = v1::Listener {
        name: name.to_owned(),
        address: listener.address.to_string(),
        port: listener.port.into(),
        protocol: protocol.into(),
        proxy_protocol: listener
            .proxy_protocol
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    (message.encode_to_vec(), requires)
}
