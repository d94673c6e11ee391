//! What an authority signs: certificates of our servers, and of who connects to them.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData, SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::model::time::Timestamp;
use crate::pki::subject::{Credential, Subject};
use crate::pki::{Authority, CLOCK_SKEW, LIFETIME, PkiError, named, system_time};

/// A public key whose holder asks for a certificate, and has signed with it.
#[derive(Debug)]
pub struct Request(PublicKey);

impl Request {
    /// Reads a certification request (PKCS #10, DER); says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > LONGEST_REQUEST {
            return Err(RequestError::Long);
        }
        let request = CertificateSigningRequestDer::from(bytes);
        // This verifies its signature.
        let request = CertificateSigningRequestParams::from_der(&request)?;
        let key = request.public_key;
        // The name of the algorithm is the signature's, and says nothing of the curve.
        let is_p256 = key.algorithm() == &PKCS_ECDSA_P256_SHA256
            && key.der_bytes().len() == UNCOMPRESSED_POINT;
        is_p256.then_some(Self(key)).ok_or(RequestError::Algorithm)
    }
}

/// A certification request cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the certification request is longer than {LONGEST_REQUEST} bytes")]
    Long,
    #[error("the certification request cannot be read, or its signature is not of its key: {0}")]
    Unreadable(#[from] rcgen::Error),
    #[error("the key of the certification request is not on P-256, or not signed with by SHA-256")]
    Algorithm,
}

impl Authority {
    /// A certificate and its key for a server of these names and addresses, for a week.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<CertifiedKey, PkiError> {
        let issued = || {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = named("Roadstead control plane");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = self.sign(params, &key, now, LIFETIME)?;
            Ok((certificate, key))
        };
        let failed = |source| PkiError::Issue {
            names: names.join(", "),
            source,
        };
        let (certificate, key) = issued().map_err(failed)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|source| PkiError::Use {
            names: names.join(", "),
            source,
        })?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
    }

    /// A client's certificate and its key, both PEM, for a week; the subject is our own process.
    pub fn issue_client(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<(String, String), PkiError> {
        let issued = || {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = self.sign(client(subject, now)?, &key, now, LIFETIME)?;
            Ok((certificate.pem(), key.serialize_pem()))
        };
        issued().map_err(|source| PkiError::Issue {
            names: subject.to_string(),
            source,
        })
    }

    /// The certificate (PEM) of a client that asks for it, and was proven to be the subject at a
    /// time, for so many milliseconds, and for a week after the proof at the longest.
    pub fn answer(
        &self,
        request: &Request,
        subject: &Subject,
        proven: Timestamp,
        now: Timestamp,
        life: i64,
    ) -> Result<String, PkiError> {
        let last = proven.0.saturating_add(LIFETIME);
        let life = life.min(last.saturating_sub(now.0));
        let issued = || {
            let certificate = self.sign(client(subject, proven)?, &request.0, now, life)?;
            Ok(certificate.pem())
        };
        issued().map_err(|source| PkiError::Issue {
            names: subject.to_string(),
            source,
        })
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        now: Timestamp,
        life: i64,
    ) -> Result<rcgen::Certificate, rcgen::Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // Whose clock is behind must still be able to connect.
        params.not_before = system_time(now, -CLOCK_SKEW).into();
        params.not_after = system_time(now, life).into();
        params.signed_by(key, &self.issuer)
    }
}

fn client(subject: &Subject, proven: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(match subject {
        Subject::Proxy { .. } => "Roadstead proxy",
        Subject::Replica { .. } => "Roadstead control plane",
    });
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for uri in Credential::uris(subject, proven) {
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    }
    Ok(params)
}

const LONGEST_REQUEST: usize = 4096;
/// One byte that says so, and two numbers of 32 bytes.
const UNCOMPRESSED_POINT: usize = 65;
