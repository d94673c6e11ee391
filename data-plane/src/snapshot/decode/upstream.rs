//! Upstreams from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{Fault, Form, Reason, Target};

pub(super) fn read(upstream: v1::Upstream) -> Result<Form, Fault> {
    use v1::upstream::Target as Wire;
    match upstream.target {
        Some(Wire::Discovered(v1::DiscoveredTarget {})) => Ok(Form::Upstream(Target::Discovered)),
        Some(Wire::External(external)) => {
            let mut faults = Faults::default();
            let hostname = faults.field("hostname", hostname(&external.hostname));
            let port = faults.field("port", super::port(external.port));
            let form = hostname.zip(port).map(|(hostname, port)| {
                Form::Upstream(Target::External {
                    hostname: hostname.into(),
                    port,
                    allow_local: external.allow_local,
                })
            });
            faults.finish(form)
        }
        None => Err(Fault::new(
            Reason::MissingCapability,
            "this release does not know the upstream's kind of target",
        )),
    }
}

/// A name that a resolver can be asked for.
fn hostname(name: &str) -> Result<&str, &'static str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.len() > 253 || !bare.split('.').all(label) {
        return Err("not a DNS name");
    }
    Ok(name)
}
