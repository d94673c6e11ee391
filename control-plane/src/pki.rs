//! The certificate authority of the control plane's own, by which proxies know it.
//!
//! Apart from the certificates of users' hosts: nothing here is ever seen by a browser.

mod authorities;
mod issue;
pub mod keeper;
mod public;
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
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::VerifierBuilderError;
use tokio::sync::watch;

use crate::model::time::Timestamp;
use crate::pki::public::Public;
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
    certificate: Public,
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
        let certificate = Public::find(&text).ok_or_else(unreadable)?;
        let authority = Self::new(certificate, &text).ok_or_else(unreadable)?;
        let certificate = authority.certificate.pem();
        private_file::write_public(&public, &certificate).map_err(failed("write", &public))?;
        Ok(authority)
    }

    /// An authority from its certificate and the first key (PEM) in a text; none if there is no
    /// such key, or not of this certificate.
    fn new(certificate: Public, key: &str) -> Option<Self> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).ok()?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).ok()?;
        if !certificate.is_of(&key.subject_public_key_info()) {
            return None;
        }
        Some(Self {
            issuer: Issuer::from_ca_cert_der(certificate.der(), key).ok()?,
            certificate,
        })
    }

    /// Known as the only one there is, for good.
    pub fn alone(self) -> Result<Known, PkiError> {
        let alone = Authorities::new(self, &[])?;
        Ok(watch::channel(Some(Arc::new(alone))).1)
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

const HOUR: i64 = 3_600_000;
const CLOCK_SKEW: i64 = HOUR;
const LIFETIME: i64 = 7 * 24 * HOUR;
/// In the folder mode replacing it means to visit every proxy, and stealing its key means to have
/// stolen the folder. In a cluster it is replaced each year.
const AUTHORITY_LIFETIME: i64 = 20 * 365 * 24 * HOUR;

#[cfg(test)]
mod tests;
