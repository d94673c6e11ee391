//! Answers a CA that asks in a handshake whether a host is ours (ACME's TLS-ALPN-01, RFC 8737).
//!
//! Apart from the choice of a certificate: such a CA is shown one that is made for it and good for
//! nothing else, before anything is decided about who may connect.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    Error, ServerConfig,
    crypto::aws_lc_rs::{self, sign::any_supported_type},
    pki_types::PrivatePkcs8KeyDer,
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};
use sha2::{Digest as _, Sha256};

use crate::snapshot::KeyAuthorization;

/// For which host a CA asks, if this is one: it offers the one protocol and no other (section 3).
pub(super) fn asked<'a>(hello: &'a ClientHello<'_>) -> Option<&'a str> {
    let mut protocols = hello.alpn()?;
    let is_ca = protocols.next() == Some(ACME_TLS) && protocols.next().is_none();
    hello.server_name().filter(|_| is_ca)
}

/// By what it is answered: a certificate that names the host and the key authorization's hash.
pub(super) fn config(host: &str, found: &KeyAuthorization) -> Result<ServerConfig, Error> {
    let (certificate, key) = certificate(host, found)
        .map_err(|error| Error::General(format!("no certificate for a challenge: {error}")))?;
    let key = any_supported_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    // What clients have to agree to says nothing of a CA.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    // Who resumes a session sees no certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificate(
    host: &str,
    found: &KeyAuthorization,
) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    let hash = Sha256::digest(found.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&hash)];
    Ok((params.self_signed(&key)?, key))
}

/// Section 6.2.
const ACME_TLS: &[u8] = b"acme-tls/1";
