//! Certificates from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{BundleName, Certificate, Fault, Form, KeyType};

pub(super) fn read(certificate: &v1::Certificate) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    let bundle = faults.field("bundle", BundleName::from_bytes(&certificate.bundle));
    let key_type = faults.field("key_type", key_type(certificate.key_type));
    let form = bundle
        .zip(key_type)
        .map(|(bundle, key_type)| Form::Certificate(Certificate { bundle, key_type }));
    faults.finish(form)
}

fn key_type(key_type: i32) -> Result<KeyType, &'static str> {
    match v1::KeyType::try_from(key_type) {
        Ok(v1::KeyType::Rsa) => Ok(KeyType::Rsa),
        Ok(v1::KeyType::Ecdsa) => Ok(KeyType::Ecdsa),
        Ok(v1::KeyType::Ed25519) => Ok(KeyType::Ed25519),
        Ok(v1::KeyType::Unspecified) | Err(_) => Err("not known"),
    }
}
