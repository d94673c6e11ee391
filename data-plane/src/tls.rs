//! TLS towards clients (RFC 8446, RFC 5246): from a raw connection to one that HTTP is spoken on.
//!
//! Apart from HTTP, which cannot tell the difference, and from what is served by, of which it only
//! sees the certificates. A stream of our own over rustls: the client's first message is read
//! before anything is decided by it, signatures that take long leave the thread, and a socket is
//! read into memory of the thread's. Of a connection that is idle rustls keeps about 4 KiB.

mod challenge;
mod failure;
mod handshake;
mod offer;
mod patience;
mod stream;
mod tickets;
mod wire;

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ResolvesServerCertUsingSni},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::sync::futures::Notified;

pub use stream::TlsStream;

use tickets::Tickets;

use crate::active::Certificates;
use crate::aside::Aside;
use crate::bundle::Bundle;
use crate::snapshot::KeyAuthorization;

/// What is shown to clients.
pub trait Shows {
    /// What is shown now.
    fn certificates(&self) -> Certificates;

    /// Resolves when that is another than as this was called.
    fn changed(&self) -> Notified<'_>;

    /// What a CA is answered by that asks for this host, in canonical form (RFC 8737).
    fn challenge(&self, host: &str) -> impl Future<Output = Option<KeyAuthorization>>;
}

/// What all threads of a process do handshakes by.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Without a certificate. Sessions are with the clients, in tickets that this process can read
    /// (RFC 5077; RFC 8446, 4.6.1): threads have no store to share.
    base: ServerConfig,
    aside: Aside,
}

impl Tls {
    /// TLS 1.2 and 1.3. Signatures by RSA are made by `aside`.
    pub fn new(aside: Aside) -> Result<Arc<Self>, rustls::Error> {
        let provider = CryptoProvider {
            // As a client's order decides, this says only what there is.
            kx_groups: vec![
                aws_lc_rs::kx_group::X25519MLKEM768,
                aws_lc_rs::kx_group::X25519,
                aws_lc_rs::kx_group::SECP256R1,
                aws_lc_rs::kx_group::SECP384R1,
            ],
            ..aws_lc_rs::default_provider()
        };
        let mut base = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        base.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(Self { base, aside }))
    }

    /// To be used with this certificate, whose key this is.
    fn config(&self, bundle: &Bundle, key: &Arc<CertifiedKey>) -> Arc<ServerConfig> {
        bundle.config(|| {
            let mut config = self.base.clone();
            config.cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
            config.ticketer = Arc::new(Tickets::new(bundle.name(), &self.base.ticketer));
            config
        })
    }
}

/// Names of ALPN (RFC 7301).
const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";
