//! The listeners of the settings.

use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::settings::{Listener, Protocol};
use crate::model::tls_policy::{TlsPolicy, TlsVersion};
use crate::project::resource_name;
use crate::snapshot::{Change, ResourceId};
use crate::state::State;

/// All listeners. Of default certificates are named those that there are.
pub(super) fn project(state: &State) -> impl Iterator<Item = Change> {
    let settings = state.settings().into_iter();
    settings
        .flat_map(|settings| &settings.listeners)
        .map(|(name, listener)| Change {
            id: ResourceId::new(ResourceType::Listener, name.as_ref()),
            body: Some(body(state, name, listener)),
        })
}

fn body(state: &State, name: &str, listener: &Listener) -> (Vec<u8>, &'static [&'static str]) {
    use v1::listener::Protocol as Wire;
    let has_headers = !listener.proxy_protocol.is_empty();
    let has_policy = !listener.tls.is_default();
    let (protocol, requires): (_, &'static [&'static str]) =
        match (listener.protocol, has_headers, has_policy) {
            (Protocol::Http, false, _) => (Wire::Http, &[]),
            (Protocol::Http, true, _) => (Wire::Http, &["proxy-protocol"]),
            (Protocol::Https, false, false) => (Wire::Https, &["tls"]),
            (Protocol::Https, true, false) => (Wire::Https, &["proxy-protocol", "tls"]),
            (Protocol::Https, false, true) => (Wire::Https, &["tls", "tls-policy"]),
            (Protocol::Https, true, true) => {
                (Wire::Https, &["proxy-protocol", "tls", "tls-policy"])
            }
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
        tls: has_policy.then(|| tls_policy(state, &listener.tls)),
    };
    (message.encode_to_vec(), requires)
}

fn tls_policy(state: &State, policy: &TlsPolicy) -> v1::TlsPolicy {
    use v1::tls_policy::Version;
    let minimum = match policy.minimum_version {
        TlsVersion::Tls12 => Version::Tls12,
        TlsVersion::Tls13 => Version::Tls13,
    };
    let suites = policy.cipher_suites.iter();
    v1::TlsPolicy {
        minimum_version: minimum.into(),
        cipher_suites: suites.map(|suite| suite.number().into()).collect(),
        no_session_tickets: !policy.session_tickets,
        default_certificates: policy
            .default_secrets()
            .filter(|secret| state.certificate(secret).is_some())
            .map(|secret| resource_name(&secret))
            .collect(),
    }
}
