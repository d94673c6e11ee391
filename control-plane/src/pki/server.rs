//! The server's certificate: short-lived, and renewed while connections go on.
//!
//! Apart from the authority, because only this has a clock to watch.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use tokio::time::sleep;

use crate::model::time::Timestamp;
use crate::pki::{Authority, PkiError};

/// A certificate that is kept fresh by [`ServerCertificate::renew`].
#[derive(Debug)]
pub struct ServerCertificate {
    authority: Authority,
    names: Vec<String>,
    now: fn() -> Timestamp,
    issued: Timestamp,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ServerCertificate {
    /// A first certificate for these names and addresses.
    pub fn new(
        authority: Authority,
        names: Vec<String>,
        now: fn() -> Timestamp,
    ) -> Result<Self, PkiError> {
        let issued = now();
        let certificate = authority.issue(&names, issued)?;
        Ok(Self {
            authority,
            names,
            now,
            issued,
            current: Arc::new(Current(ArcSwap::from_pointee(certificate))),
        })
    }

    /// TLS 1.3 with whatever certificate is current at each handshake.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, PkiError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current: Arc<dyn ResolvesServerCert> = self.current.clone();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(PkiError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(current);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Renews for as long as it runs. The wall clock is looked at often, because a laptop
    /// sleeps and clocks are set.
    pub async fn renew(mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            self.renew_if_due();
        }
    }

    fn renew_if_due(&mut self) {
        let now = (self.now)();
        let age = now.0.saturating_sub(self.issued.0);
        if (0..RENEW_AFTER).contains(&age) {
            return;
        }
        match self.authority.issue(&self.names, now) {
            Ok(certificate) => {
                self.current.0.store(Arc::new(certificate));
                self.issued = now;
                tracing::info!("the server's certificate was renewed");
            }
            Err(error) => tracing::error!(%error, "the server's certificate was not renewed"),
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A day, of a life of seven: six days in which something may be wrong.
const RENEW_AFTER: i64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    static NOW: AtomicI64 = AtomicI64::new(1_700_000_000_000);

    #[test]
    fn a_certificate_is_renewed_after_a_day_and_when_the_clock_was_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let now = || Timestamp(NOW.load(Ordering::Relaxed));
        let authority = Authority::open(folder.path(), now()).unwrap();
        let mut server = ServerCertificate::new(authority, vec!["localhost".into()], now).unwrap();
        let mut first = server.current.0.load_full();
        let mut renewed_after = |advance| {
            NOW.fetch_add(advance, Ordering::Relaxed);
            server.renew_if_due();
            let current = server.current.0.load_full();
            let renewed = current.cert != first.cert;
            first = current;
            renewed
        };
        assert!(!renewed_after(0));
        assert!(!renewed_after(RENEW_AFTER - 1));
        assert!(renewed_after(1));
        assert!(!renewed_after(1));
        assert!(renewed_after(-60_000));
    }
}
