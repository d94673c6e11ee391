//! Listeners from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{Fault, Form, Listener, ListenerProtocol, Reason, Sources, Terms, TlsPolicy};

pub(super) fn read(name: &str, listener: &v1::Listener) -> Result<Form, Fault> {
    use v1::listener::Protocol;
    let protocol = match Protocol::try_from(listener.protocol) {
        Ok(Protocol::Http) => ListenerProtocol::Http,
        Ok(Protocol::Https) => ListenerProtocol::Https,
        Err(_) => {
            let message = "this release cannot serve the listener's protocol";
            return Err(Fault::new(Reason::MissingCapability, message));
        }
        Ok(Protocol::Unspecified) => {
            return Err(Fault::new(Reason::InvalidField, "protocol: not set"));
        }
    };
    let mut faults = Faults::default();
    let address = faults.field("address", listener.address.parse::<IpAddr>());
    let port = faults.field("port", super::port(listener.port));
    let sources = sources(&listener.proxy_protocol, &mut faults);
    let tls = tls_policy(listener.tls.as_ref(), &mut faults);
    let defaults = listener.tls.as_ref();
    let defaults = defaults.map_or(&[][..], |tls| &tls.default_certificates);
    if defaults.len() > MAX_DEFAULTS {
        faults.note(
            "tls.default_certificates",
            &format!("more than {MAX_DEFAULTS}"),
        );
    }
    let form = address.zip(port).zip(tls).map(|((address, port), tls)| {
        Form::Listener(
            Listener {
                name: name.into(),
                address: SocketAddr::new(address, port),
                protocol,
                terms: Terms {
                    sources,
                    tls,
                    default_certificates: defaults
                        .iter()
                        .map(|name| name.as_str().into())
                        .collect(),
                },
            }
            .into(),
        )
    });
    faults.finish(form)
}

fn tls_policy(policy: Option<&v1::TlsPolicy>, faults: &mut Faults) -> Option<TlsPolicy> {
    use v1::tls_policy::Version;
    let Some(policy) = policy else {
        return Some(TlsPolicy::default());
    };
    let only_13 = match Version::try_from(policy.minimum_version) {
        Ok(Version::Unspecified | Version::Tls12) => Some(false),
        Ok(Version::Tls13) => Some(true),
        Err(_) => {
            faults.note("tls.minimum_version", &"not one that this release knows");
            None
        }
    };
    if policy.cipher_suites.len() > MAX_SUITES {
        faults.note("tls.cipher_suites", &format!("more than {MAX_SUITES}"));
        return None;
    }
    let suites = policy.cipher_suites.iter();
    // What is no number of a suite is one that nobody has.
    let suites: Vec<u16> = suites
        .map(|suite| u16::try_from(*suite).unwrap_or(0))
        .collect();
    let built = TlsPolicy::new(only_13?, &suites, !policy.no_session_tickets);
    faults.field("tls.cipher_suites", built)
}

/// Those that can be read; the faults say which cannot.
fn sources(networks: &[String], faults: &mut Faults) -> Sources {
    if networks.len() > MAX_SOURCES {
        let error = format!("{} networks, more than {MAX_SOURCES}", networks.len());
        faults.note("proxy_protocol", &error);
        return Sources::default();
    }
    let networks = networks.iter().enumerate();
    let networks = networks.filter_map(|(index, network)| {
        faults.field(
            &format!("proxy_protocol[{index}]"),
            network.parse::<IpNet>(),
        )
    });
    networks.collect()
}

/// All of them are compared with the address of each connection.
const MAX_SOURCES: usize = 256;
/// There are not so many.
const MAX_SUITES: usize = 64;
/// One for each type of key, from each source.
const MAX_DEFAULTS: usize = 16;
