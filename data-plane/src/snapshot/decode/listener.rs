//! Listeners from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{Fault, Form, Listener, ListenerProtocol, Reason, Sources};

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
    let form = address.zip(port).map(|(address, port)| {
        Form::Listener(
            Listener {
                name: name.into(),
                address: SocketAddr::new(address, port),
                protocol,
                sources,
            }
            .into(),
        )
    });
    faults.finish(form)
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
