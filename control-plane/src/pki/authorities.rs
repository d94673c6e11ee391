//! The authority that signs now, and all that are trusted beside it while one follows another.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::model::time::Timestamp;
use crate::pki::public::Public;
use crate::pki::{Authority, PkiError, Subject};

/// Who signs, and who is believed.
#[derive(Debug)]
pub struct Authorities {
    signing: Authority,
    /// Certificates of all, PEM.
    bundle: String,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// One authority that signs, and those that are believed beside it. An error if TLS cannot
    /// use one of them.
    pub(super) fn new(signing: Authority, others: &[Public]) -> Result<Self, PkiError> {
        let mut roots = RootCertStore::empty();
        let mut bundle = String::new();
        for certificate in std::iter::once(&signing.certificate).chain(others) {
            roots
                .add(certificate.der().clone())
                .map_err(PkiError::Tls)?;
            bundle += &certificate.pem();
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(PkiError::Verifier)?;
        Ok(Self {
            signing,
            bundle,
            verifier,
        })
    }

    /// The authority that signs now.
    pub fn signing(&self) -> &Authority {
        &self.signing
    }

    /// The certificates, without keys, of all that are believed: PEM.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// What the server asks of clients: a certificate of ours, or none.
    pub(super) fn client_verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Whether a client's certificate would be believed if it was shown now.
    pub fn believe(&self, certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
        let millis = u64::try_from(now.0).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_millis(millis));
        let verified = self.verifier.verify_client_cert(certificate, &[], now);
        verified.is_ok()
    }

    /// How a replica connects to another: it shows a new certificate of its own, and believes
    /// who has one of ours. To be made anew for each connection, so that neither grows old.
    pub fn replica_tls(&self, name: &str, now: Timestamp) -> Result<ClientTlsConfig, PkiError> {
        let unfit = || PkiError::Replica { name: name.into() };
        let subject = Subject::replica(name).ok_or_else(unfit)?;
        let (certificate, key) = self.signing.issue_client(&subject, now)?;
        Ok(ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.bundle))
            .identity(Identity::from_pem(certificate, key)))
    }
}
