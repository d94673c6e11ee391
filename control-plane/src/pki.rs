//! The certificate authority of the control plane's own, by which proxies know it.
//!
//! Apart from the certificates of users' hosts: nothing here is ever seen by a browser.

mod authorities;
mod issue;
pub mod keeper;
pub mod rotation;
pub mod server;
mod subject;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::VerifierBuilderError;
use tokio::sync::watch;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::model::time::Timestamp;
use crate::private_file;

pub use authorities::Authorities;
pub use issue::{Request, RequestError};
pub use subject::{Credential, Subject};

/// The authorities as they are now; none while they cannot be had.
pub type Known = watch::Receiver<Option<Arc<Authorities>>>;

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
    #[error("cannot set up TLS: the authorities' certificates: {0}")]
    Bundle(pem::Error),
    #[error("cannot set up TLS: {0}")]
    Verifier(VerifierBuilderError),
    #[error(
        "{name:?} cannot be a replica's name: a pod's has 1 to 253 lower case letters, digits, \
         '.' and '-'"
    )]
    Replica { name: String },
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// PEM.
    certificate: String,
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
                let (certificate, key) = make(now).map_err(PkiError::Make)?;
                // In one file, so that they cannot part.
                let text = certificate + &key;
                private_file::write(&path, &text).map_err(failed("write", &path))?;
                text
            }
        };
        let unreadable = || PkiError::Unreadable { path: path.clone() };
        // Only the certificate, which comes first: the key must not get into the other file.
        let end = text.find(END_OF_CERTIFICATE).ok_or_else(unreadable)?;
        let certificate = text.get(..end + END_OF_CERTIFICATE.len());
        let certificate = format!("{}\n", certificate.ok_or_else(unreadable)?);
        let authority = Self::from_pem(&certificate, &text).ok_or_else(unreadable)?;
        private_file::write_public(&public, &certificate).map_err(failed("write", &public))?;
        Ok(authority)
    }

    /// An authority from its certificate and its key, both PEM; none if they are no such, or
    /// not of each other.
    pub(crate) fn from_pem(certificate: &str, key: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).ok()?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).ok()?;
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        if !parsed.is_ca() || parsed.public_key().raw != key.subject_public_key_info() {
            return None;
        }
        Some(Self {
            issuer: Issuer::from_ca_cert_der(&der, key).ok()?,
            certificate: certificate.to_owned(),
        })
    }

    /// Known as the only one there is, for good.
    pub fn alone(self) -> Known {
        let bundle = self.certificate.clone();
        watch::channel(Some(Arc::new(Authorities::new(self, bundle)))).1
    }
}

/// Without the key.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A new authority: its certificate and its key, PEM.
fn make(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = authority(now).self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
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
/// In the folder mode replacing it means to visit every proxy, and stealing its key means to have
/// stolen the folder. In a cluster it is replaced each year.
const AUTHORITY_LIFETIME: i64 = 20 * 365 * 24 * HOUR;

#[cfg(test)]
mod tests;
