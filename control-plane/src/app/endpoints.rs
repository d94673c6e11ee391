//! Where proxies and operators connect: the sockets, and the certificate of the first.

use crate::clock;
use crate::config::Config;
use crate::pki::Known;
use crate::pki::server::ServerCertificate;
use crate::serve::listen::{Listener, Security};

/// Open sockets.
pub(super) struct Endpoints {
    pub(super) listeners: Vec<Listener>,
    pub(super) certificate: ServerCertificate,
}

impl Endpoints {
    /// Opens them, by the authority that is known; without one handshakes wait.
    pub(super) async fn bind(config: &Config, known: Known) -> anyhow::Result<Self> {
        let mut names = config.grpc.names.clone();
        if names.is_empty() {
            names = vec!["localhost".to_owned(), config.grpc.address.ip().to_string()];
        }
        let certificate = ServerCertificate::new(known, names, clock::now)?;
        let tls = Security::Tls(certificate.tls());
        let mut listeners = vec![Listener::bind(config.grpc.address, tls).await?];
        if let Some(address) = config.grpc.operators {
            listeners.push(Listener::bind(address, Security::Plaintext).await?);
        }
        Ok(Self {
            listeners,
            certificate,
        })
    }
}
