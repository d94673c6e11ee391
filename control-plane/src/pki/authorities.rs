//! The authority that signs now, and all that are trusted beside it while one follows another.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::model::time::Timestamp;
use crate::pki::{Authority, PkiError, Subject};

/// Who signs, and who is believed.
#[derive(Debug)]
pub struct Authorities {
    signing: Authority,
    /// Certificates of all, PEM.
    bundle: String,
}

impl Authorities {
    /// One authority that signs, and this bundle of those that are believed, itself among them.
    pub(super) fn new(signing: Authority, bundle: String) -> Self {
        Self { signing, bundle }
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
    pub(super) fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.bundle.as_bytes()) {
            let certificate = certificate.map_err(PkiError::Bundle)?;
            roots.add(certificate).map_err(PkiError::Tls)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build();
        verifier.map_err(PkiError::Verifier)
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
