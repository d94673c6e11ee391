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
    let (protocol, requires): (_, &'static [&'static str]) = match listener.protocol {
        Protocol::Http => (Wire::Http, &[]),
        Protocol::Https => (Wire::Https, &["tls"]),
    };
    let message = v1::Listener {
        name: name.to_owned(),
        address: listener.address.to_string(),
        port: listener.port.into(),
        protocol: protocol.into(),
    };
    (message.encode_to_vec(), requires)
}
