//! The certificate authority of the control plane's own, by which proxies know it.
//!
//! Apart from the certificates of users' hosts: nothing here is ever seen by a browser.

pub mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::model::time::Timestamp;
use crate::private_file;

/// The authority cannot be had, or cannot issue.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{} does not hold a certificate and its key. If no copy can be put back, delete it: a new \
         authority is made, and every proxy must be given its ca.pem",
        path.display()
    )]
    Unreadable { path: PathBuf },
    #[error("cannot issue a certificate for {names}: {source}")]
    Issue { names: String, source: rcgen::Error },
    #[error("cannot use the certificate for {names}: {source}")]
    Use {
        names: String,
        source: rustls::Error,
    },
    #[error("cannot make the authority: {0}")]
    Make(rcgen::Error),
    #[error("cannot set up TLS: {0}")]
    Tls(rustls::Error),
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Reads the authority that is kept in this folder, and makes it at first start. Beside
    /// it, `ca.pem` has the certificate alone, for proxies.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let (path, public) = (folder.join(AUTHORITY), folder.join(CERTIFICATE));
        private_file::make_folder(folder).map_err(failed("make", folder))?;
        let kept = private_file::read(&path).map_err(failed("read", &path))?;
        let text = match kept {
            Some(text) => text,
            None => {
                let text = make(now).map_err(PkiError::Make)?;
                private_file::write(&path, &text).map_err(failed("write", &path))?;
                text
            }
        };
        let unreadable = || PkiError::Unreadable { path: path.clone() };
        let certificate =
            CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| unreadable())?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
        let key = key.map_err(|_| unreadable())?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| unreadable())?;
        // Only the certificate, which comes first: the key must not get into the other file.
        let end = text.find(END_OF_CERTIFICATE).ok_or_else(unreadable)?;
        let certificate_text = text.get(..end + END_OF_CERTIFICATE.len());
        let certificate_text = certificate_text.ok_or_else(unreadable)?;
        private_file::write_public(&public, &format!("{certificate_text}\n"))
            .map_err(failed("write", &public))?;
        Ok(Self {
            issuer: Issuer::new(authority(now), key),
            certificate,
        })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate and its key for a server of these names and addresses, for a week.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<CertifiedKey, PkiError> {
        let issued = || {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = named("Roadstead control plane");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            // A proxy whose clock is behind must still be able to connect.
            params.not_before = system_time(now, -CLOCK_SKEW).into();
            params.not_after = system_time(now, LIFETIME).into();
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            let certificate = params.signed_by(&key, &self.issuer)?;
            Ok((certificate, key))
        };
        let (certificate, key) = issued().map_err(|source| PkiError::Issue {
            names: names.join(", "),
            source,
        })?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|source| PkiError::Use {
            names: names.join(", "),
            source,
        })?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
    }
}

/// Without the key.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A new authority: its certificate, then its key, in one text, so that they cannot part.
fn make(now: Timestamp) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = authority(now).self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn authority(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Roadstead control plane CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = system_time(now, -CLOCK_SKEW).into();
    params.not_after = system_time(now, AUTHORITY_LIFETIME).into();
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn system_time(now: Timestamp, offset: i64) -> SystemTime {
    let millis = u64::try_from(now.0.saturating_add(offset)).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> PkiError + 'a {
    move |source| PkiError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Certificate and key of the authority, 0600.
const AUTHORITY: &str = "authority.pem";
/// Its certificate, for everyone.
pub const CERTIFICATE: &str = "ca.pem";
const END_OF_CERTIFICATE: &str = "-----END CERTIFICATE-----";

const HOUR: i64 = 3_600_000;
const CLOCK_SKEW: i64 = HOUR;
const LIFETIME: i64 = 7 * 24 * HOUR;
/// Replacing it means to visit every proxy; stealing its key means to have stolen the folder.
const AUTHORITY_LIFETIME: i64 = 20 * 365 * 24 * HOUR;

#[cfg(test)]
mod tests;
