use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

use super::*;

const NOW: Timestamp = Timestamp(1_760_000_000_000);

/// Whether a proxy that has `ca.pem` accepts this certificate as `name` at this time.
fn accepts(
    folder: &Path,
    certificate: &CertifiedKey,
    name: &'static str,
    time: Timestamp,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    let text = std::fs::read(folder.join(CERTIFICATE)).unwrap();
    roots
        .add(CertificateDer::from_pem_slice(&text).unwrap())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let name = ServerName::try_from(name).unwrap();
    let millis = u64::try_from(time.0).unwrap();
    let time = UnixTime::since_unix_epoch(Duration::from_millis(millis));
    let (first, rest) = certificate.cert.split_first().unwrap();
    verifier
        .verify_server_cert(first, rest, &name, &[], time)
        .map(drop)
}

#[test]
fn a_proxy_trusts_what_the_authority_issues_for_its_names_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), NOW).unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    let certificate = authority.issue(&names, NOW).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        accepts(folder.path(), &certificate, name, NOW).unwrap();
    }
    let stranger = accepts(folder.path(), &certificate, "other.example", NOW);
    assert!(stranger.is_err());
    let late = Timestamp(NOW.0 + LIFETIME + 1000);
    let expired = accepts(folder.path(), &certificate, "localhost", late).unwrap_err();
    let expired = format!("{expired:?}");
    assert!(expired.contains("Expired"), "{expired}");
}

#[test]
fn the_authority_is_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    Authority::open(folder.path(), NOW).unwrap();
    let before = std::fs::read(folder.path().join(CERTIFICATE)).unwrap();
    let later = Timestamp(NOW.0 + 5 * AUTHORITY_LIFETIME / 10);
    let again = Authority::open(folder.path(), later).unwrap();
    let after = std::fs::read(folder.path().join(CERTIFICATE)).unwrap();
    assert_eq!(before, after);
    let certificate = again.issue(&["localhost".into()], later).unwrap();
    accepts(folder.path(), &certificate, "localhost", later).unwrap();
}

#[test]
fn another_authority_is_not_trusted() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Authority::open(folder.path(), NOW).unwrap();
    let impostor = Authority::open(other.path(), NOW).unwrap();
    let certificate = impostor.issue(&["localhost".into()], NOW).unwrap();
    let error = accepts(folder.path(), &certificate, "localhost", NOW).unwrap_err();
    let expected = [
        CertificateError::UnknownIssuer,
        CertificateError::BadSignature,
    ];
    assert!(
        expected.map(rustls::Error::from).contains(&error),
        "{error}"
    );
}

#[test]
fn the_key_is_in_the_private_file_only() {
    let folder = tempfile::tempdir().unwrap();
    Authority::open(folder.path(), NOW).unwrap();
    let private = std::fs::read_to_string(folder.path().join(AUTHORITY)).unwrap();
    let public = std::fs::read_to_string(folder.path().join(CERTIFICATE)).unwrap();
    assert!(private.contains("PRIVATE KEY"));
    assert!(!public.contains("PRIVATE KEY"));
}

#[test]
fn a_file_that_begins_with_the_key_publishes_the_certificate_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = make(NOW).unwrap();
    std::fs::write(folder.path().join(AUTHORITY), key + &certificate).unwrap();
    Authority::open(folder.path(), NOW).unwrap();
    let public = std::fs::read_to_string(folder.path().join(CERTIFICATE)).unwrap();
    assert_eq!(public, certificate);
}

#[test]
fn a_broken_file_is_named_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(AUTHORITY);
    std::fs::write(&path, "not a key").unwrap();
    let error = Authority::open(folder.path(), NOW).unwrap_err();
    assert!(error.to_string().contains("authority.pem"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a key");
}
