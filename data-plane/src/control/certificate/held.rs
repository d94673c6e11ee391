//! A certificate and its key, and the file that keeps them.

use std::{
    fmt,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequest, DistinguishedName, KeyPair,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tonic::transport::Identity;
use tracing::warn;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::keys::is_memory;

/// A certificate that can be shown.
#[derive(Clone)]
pub(in crate::control) struct Held {
    /// A line that says when it was issued, the certificate, its key.
    text: String,
    issued: Timestamp,
    not_after: Timestamp,
}

/// A key for which a certificate is asked.
pub(super) struct Draft {
    key: KeyPair,
    request: CertificateSigningRequest,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HeldError {
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("others can read {}: its mode is {mode:o}, and not 600", path.display())]
    Shown { path: PathBuf, mode: u32 },
    #[error("{} does not hold a certificate and its key", path.display())]
    Unreadable { path: PathBuf },
    #[error("the control plane's answer is not a certificate of the key that was sent")]
    OtherKey,
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

impl Draft {
    /// A new key.
    pub(super) fn new() -> Result<Self, HeldError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        // Who we are is the control plane's to say.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        Ok(Self { key, request })
    }

    /// What is sent.
    pub(super) fn request(&self) -> &[u8] {
        self.request.der()
    }

    /// With the certificate (PEM) that was answered, issued at this time (Unix seconds).
    pub(super) fn complete(self, certificate: &str, issued: i64) -> Result<Held, HeldError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes());
        let der = der.map_err(|_| HeldError::OtherKey)?;
        let parsed = X509Certificate::from_der(&der);
        let (_, parsed) = parsed.map_err(|_| HeldError::OtherKey)?;
        if parsed.public_key().raw != self.key.subject_public_key_info() {
            return Err(HeldError::OtherKey);
        }
        let text = format!(
            "{ISSUED}{issued}\n{certificate}\n{}",
            self.key.serialize_pem()
        );
        Held::parse(text).ok_or(HeldError::OtherKey)
    }
}

impl Held {
    /// What was kept in this folder; none if nothing was.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, HeldError> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let found = fs::metadata(&path).map_err(failed("read", &path))?;
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HeldError::Shown { path, mode });
        }
        match Self::parse(text) {
            Some(held) => Ok(Some(held)),
            None => Err(HeldError::Unreadable { path }),
        }
    }

    /// Keeps it in this folder, which is made if there is none: all of it or nothing.
    pub(super) fn write(&self, folder: &Path) -> Result<(), HeldError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(failed("make", folder))?;
        if !is_memory(folder) {
            warn!(
                folder = %folder.display(),
                "this folder is not a tmpfs: a key in it outlives the machine's run, and is on its \
                 disk"
            );
        }
        // Two processes may write during an upgrade, each the first one of its container.
        let draft = folder.join(format!("{FILE}.{:016x}", getrandom::u64()?));
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(self.text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, folder.join(FILE))
        };
        let written = write();
        if written.is_err() {
            // The reason is told; that nothing is left behind is all that is left to do.
            let _: io::Result<()> = fs::remove_file(&draft);
        }
        written.map_err(failed("write", &folder.join(FILE)))
    }

    /// What TLS shows.
    pub(in crate::control) fn identity(&self) -> Identity {
        Identity::from_pem(&self.text, &self.text)
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether two thirds of its life have passed.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let life = self.not_after.as_second() - self.issued.as_second();
        now.as_second() >= self.not_after.as_second() - life / 3
    }

    fn parse(text: String) -> Option<Self> {
        let issued = text.lines().next()?.strip_prefix(ISSUED)?.parse().ok()?;
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
        PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
        let (_, parsed) = X509Certificate::from_der(&certificate).ok()?;
        let not_after = parsed.validity().not_after.timestamp();
        Some(Self {
            issued: Timestamp::from_second(issued).ok()?,
            not_after: Timestamp::from_second(not_after).ok()?,
            text,
        })
    }
}

/// Without the key.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> HeldError + 'a {
    move |source| HeldError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

const FILE: &str = "certificate.pem";
const ISSUED: &str = "issued ";

#[cfg(test)]
mod tests;
