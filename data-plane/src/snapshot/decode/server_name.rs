//! Server names from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use std::sync::Arc;

use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{Fault, Form, ServerName};

pub(super) fn read(name: &str, server_name: &v1::ServerName) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    let host = faults.field("hostname", host(name, &server_name.hostname));
    if server_name.certificates.len() > MAX_CERTIFICATES {
        faults.note("certificates", &format!("more than {MAX_CERTIFICATES}"));
    }
    let certificates = server_name.certificates.iter();
    let form = host.map(|host| {
        Form::ServerName(Arc::new(ServerName {
            host,
            certificates: certificates.map(|name| name.as_str().into()).collect(),
            expected: server_name.expected,
        }))
    });
    faults.finish(form)
}

/// In one form, so that no two resources are of the same host.
fn host(name: &str, hostname: &str) -> Result<HostPattern, String> {
    match HostPattern::parse(hostname) {
        Ok(HostPattern::Any) => Err("not set".to_owned()),
        Ok(host) if host.to_string() == name => Ok(host),
        Ok(host) => Err(format!("{host} is not the resource's name")),
        Err(error) => Err(error.to_string()),
    }
}

/// Certificates of one name, of which each has a key of another type.
const MAX_CERTIFICATES: usize = 16;
