//! Where proxies and operators connect: the sockets, and the certificate of the first.

use std::path::Path;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::clock;
use crate::config::Config;
use crate::follow::dial::Dialer;
use crate::pki::server::ServerCertificate;
use crate::pki::{Authority, CERTIFICATE};
use crate::serve::listen::{Listener, Security};
use crate::tokens::Role;

/// Open sockets.
pub(super) struct Endpoints {
    pub(super) listeners: Vec<Listener>,
    pub(super) certificate: ServerCertificate,
}

impl Endpoints {
    /// Opens them, by the authority whose key lies in this folder.
    pub(super) async fn bind(config: &Config, keys: &Path) -> anyhow::Result<Self> {
        let authority = Authority::open(keys, clock::now())?;
        let mut names = config.grpc.names.clone();
        if names.is_empty() {
            names = vec!["localhost".to_owned(), config.grpc.address.ip().to_string()];
        }
        let certificate = ServerCertificate::new(authority, names, clock::now)?;
        let tls = Security::Tls(certificate.tls()?);
        let mut listeners = vec![Listener::bind(config.grpc.address, tls).await?];
        if let Some(address) = config.grpc.operators {
            listeners.push(Listener::bind(address, Security::Plaintext).await?);
        }
        Ok(Self {
            listeners,
            certificate,
        })
    }

    /// How this replica reaches the others.
    pub(super) fn dialer(keys: &Path) -> anyhow::Result<Dialer> {
        let ca = std::fs::read(keys.join(CERTIFICATE))?;
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        let token = std::fs::read_to_string(keys.join(Role::Operator.file_name()))?;
        let mut token: MetadataValue<Ascii> = format!("Bearer {}", token.trim()).parse()?;
        token.set_sensitive(true);
        Ok(Dialer::new(tls, token))
    }
}
