//! Tests of the choice of a certificate by what a client can take.

use bytes::Bytes;
use prost::Message as _;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256,
};
use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::CertificateBundle;
use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;

use super::*;
use crate::active::{Shown, ShownChange};
use crate::bundle::Bundle;
use crate::snapshot::{BundleName, Certificate, KeyType, ServerName};

/// Adds a certificate of this name to those that are shown for a host.
fn add(
    certificates: &mut Certificates,
    (name, host): (&str, &str),
    key_type: KeyType,
    bytes: Bytes,
) {
    let bundle = BundleName::of(&bytes);
    let shown = Shown {
        name: name.into(),
        certificate: Certificate { bundle, key_type },
        bundle: Arc::new(Bundle::checked(bundle, bytes).unwrap()),
    };
    let others = certificates.candidates(host).map(|known| &known.name);
    let names: Vec<_> = others.chain([&shown.name]).cloned().collect();
    certificates.name(&Arc::new(ServerName {
        host: HostPattern::parse(host).unwrap(),
        certificates: names.into(),
        expected: false,
    }));
    certificates.change(&ShownChange {
        before: None,
        after: Some(Arc::new(shown)),
    });
}

fn bundle(algorithm: &'static rcgen::SignatureAlgorithm) -> Bytes {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let bundle = CertificateBundle {
        chain: vec![certificate.der().to_vec()],
        private_key: key.serialize_der(),
    };
    bundle.encode_to_vec().into()
}

/// One of each type for `a.example`, and an unusable one that would come before all.
fn all() -> Certificates {
    let mut all = Certificates::default();
    let host = "a.example";
    let broken = Bytes::from_static(b"no bundle");
    add(&mut all, ("secret/a/0", host), KeyType::Ecdsa, broken);
    for (name, key_type, algorithm) in [
        ("secret/a/1", KeyType::Rsa, &PKCS_RSA_SHA256),
        ("secret/a/2", KeyType::Ecdsa, &PKCS_ECDSA_P256_SHA256),
        ("secret/a/3", KeyType::Ecdsa, &PKCS_ECDSA_P384_SHA384),
        ("secret/a/4", KeyType::Ed25519, &PKCS_ED25519),
    ] {
        add(&mut all, (name, host), key_type, bundle(algorithm));
    }
    all
}

/// The name of the certificate that a client with these schemes and suites is shown.
fn chosen(
    all: &Certificates,
    name: Option<&str>,
    schemes: &[SignatureScheme],
    suites: &[CipherSuite],
) -> Result<String, Handshake> {
    chosen_or(all, name, schemes, suites, &[])
}

/// The same where there are default certificates of these names.
fn chosen_or(
    all: &Certificates,
    name: Option<&str>,
    schemes: &[SignatureScheme],
    suites: &[CipherSuite],
    defaults: &[Arc<str>],
) -> Result<String, Handshake> {
    let offer = Offer {
        name,
        schemes,
        suites,
        known: ALL_CIPHER_SUITES,
    };
    let (_, key) = offer.choose(all, defaults)?;
    let is_it = |shown: &&Arc<Shown>| shown.key().is_some_and(|known| Arc::ptr_eq(known, key));
    let host = name.unwrap_or_default().trim_end_matches('.');
    let mut candidates = all.candidates(host).chain(all.of_names(defaults));
    Ok(candidates.find(is_it).unwrap().name.to_string())
}

const TLS13: &[CipherSuite] = &[CipherSuite::TLS13_AES_128_GCM_SHA256];
const P256: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const P384: SignatureScheme = SignatureScheme::ECDSA_NISTP384_SHA384;
const ED25519: SignatureScheme = SignatureScheme::ED25519;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

#[test]
fn the_first_type_of_key_that_the_client_can_take_is_shown() {
    let all = all();
    let only_rsa = &[CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    for (schemes, suites, name) in [
        (&[RSA, ED25519, P384, P256][..], TLS13, "secret/a/2"),
        (&[RSA, P384], TLS13, "secret/a/3"),
        (&[RSA, ED25519], TLS13, "secret/a/4"),
        (&[RSA], TLS13, "secret/a/1"),
        // By TLS 1.2 the cipher suite names the type too.
        (&[RSA, P256], only_rsa, "secret/a/1"),
        // What it has not in common is told by the handshake.
        (&[SignatureScheme::ED448], TLS13, "secret/a/2"),
    ] {
        let found = chosen(&all, Some("a.example"), schemes, suites);
        assert_eq!(found.as_deref(), Ok(name), "{schemes:?}");
    }
    assert_eq!(
        chosen(&all, Some("a.example."), &[RSA], TLS13).as_deref(),
        Ok("secret/a/1")
    );
}

#[test]
fn without_a_certificate_for_the_name_there_is_none_to_show() {
    let mut all = all();
    let none = |all: &Certificates, name| chosen(all, name, &[P256], TLS13).unwrap_err();
    assert_eq!(none(&all, None), Handshake::NoName);
    assert_eq!(none(&all, Some("b.example")), Handshake::UnknownName);
    let broken = Bytes::from_static(b"no bundle");
    let host = ("secret/a/5", "b.example");
    add(&mut all, host, KeyType::Rsa, broken);
    assert_eq!(none(&all, Some("b.example")), Handshake::NoCertificate);
    // What is shown for a wildcard may be another's, and is not shown instead.
    let host = ("secret/a/6", "*.example");
    add(
        &mut all,
        host,
        KeyType::Ecdsa,
        bundle(&PKCS_ECDSA_P256_SHA256),
    );
    assert_eq!(none(&all, Some("b.example")), Handshake::NoCertificate);
    let found = chosen(&all, Some("c.example"), &[P256], TLS13);
    assert_eq!(found.as_deref(), Ok("secret/a/6"));
}

#[test]
fn a_default_certificate_is_for_whoever_has_none_and_in_place_of_none_that_is_broken_or_to_come() {
    let mut all = all();
    let defaults = ["secret/a/none", "secret/a/1", "secret/a/2"].map(Arc::from);
    let of =
        |all: &Certificates, name, schemes: &[_]| chosen_or(all, name, schemes, TLS13, &defaults);
    for name in [None, Some("b.example")] {
        // The same order as among those of a host.
        assert_eq!(of(&all, name, &[RSA, P256]).as_deref(), Ok("secret/a/2"));
        assert_eq!(of(&all, name, &[RSA]).as_deref(), Ok("secret/a/1"));
    }
    assert_eq!(
        of(&all, Some("a.example"), &[P384]).as_deref(),
        Ok("secret/a/3")
    );
    let broken = Bytes::from_static(b"no bundle");
    add(&mut all, ("secret/a/5", "b.example"), KeyType::Rsa, broken);
    let found = of(&all, Some("b.example"), &[P256]);
    assert_eq!(found, Err(Handshake::NoCertificate));
    all.name(&Arc::new(ServerName {
        host: HostPattern::parse("c.example").unwrap(),
        certificates: [].into(),
        expected: true,
    }));
    let found = of(&all, Some("c.example"), &[P256]);
    assert_eq!(found, Err(Handshake::NotYet));
    let to_come = ["secret/a/none"].map(Arc::from);
    let found = chosen_or(&all, None, &[P256], TLS13, &to_come);
    assert_eq!(found, Err(Handshake::NotYet));
    let broken = ["secret/a/0"].map(Arc::from);
    let found = chosen_or(&all, None, &[P256], TLS13, &broken);
    assert_eq!(found, Err(Handshake::NoCertificate));
}
