//! Certificates from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use std::sync::Arc;

use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{BundleName, Certificate, Fault, Form, KeyType};

pub(super) fn read(certificate: &v1::Certificate) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    let bundle = faults.field("bundle", BundleName::from_bytes(&certificate.bundle));
    let key_type = faults.field("key_type", key_type(certificate.key_type));
    if certificate.hostnames.len() > MAX_HOSTNAMES {
        faults.note("hostnames", &format!("more than {MAX_HOSTNAMES}"));
    }
    let mut hostnames = Vec::new();
    for (index, name) in certificate.hostnames.iter().enumerate().take(MAX_HOSTNAMES) {
        faults.at("hostnames", index);
        hostnames.extend(faults.field("name", host(name)));
    }
    hostnames.sort_unstable();
    hostnames.dedup();
    let form = bundle.zip(key_type).map(|(bundle, key_type)| {
        Form::Certificate(Arc::new(Certificate {
            bundle,
            hostnames: hostnames.into(),
            key_type,
        }))
    });
    faults.finish(form)
}

fn host(name: &str) -> Result<HostPattern, String> {
    match HostPattern::parse(name) {
        Ok(HostPattern::Any) => Err("a certificate is for named hosts".to_owned()),
        Ok(host) => Ok(host),
        Err(error) => Err(error.to_string()),
    }
}

fn key_type(key_type: i32) -> Result<KeyType, &'static str> {
    match v1::KeyType::try_from(key_type) {
        Ok(v1::KeyType::Rsa) => Ok(KeyType::Rsa),
        Ok(v1::KeyType::Ecdsa) => Ok(KeyType::Ecdsa),
        Ok(v1::KeyType::Ed25519) => Ok(KeyType::Ed25519),
        Ok(v1::KeyType::Unspecified) | Err(_) => Err("not known"),
    }
}

/// Server names of one certificate; public authorities sign 100.
const MAX_HOSTNAMES: usize = 1024;
