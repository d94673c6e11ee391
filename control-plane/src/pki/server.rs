//! The server's side of TLS: a certificate that is short-lived and renewed while connections go
//! on, and whose clients' certificates are believed.
//!
//! Apart from the authority, because only this has a clock to watch.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::model::time::Timestamp;
use crate::pki::{Authorities, Known, PkiError};

/// TLS as handshakes are to use it. A clone is another handle.
#[derive(Clone, Debug)]
pub struct Tls {
    known: Known,
    config: watch::Receiver<Option<Arc<ServerConfig>>>,
}

impl Tls {
    /// As it is now; waits while there is no authority. None if there will be none.
    pub async fn config(&mut self) -> Option<Arc<ServerConfig>> {
        let config = self.config.wait_for(Option::is_some).await;
        config.ok()?.clone()
    }

    /// By whom clients are believed.
    pub fn authorities(&self) -> Known {
        self.known.clone()
    }
}

/// A certificate that is kept fresh by [`ServerCertificate::renew`].
#[derive(Debug)]
pub struct ServerCertificate {
    known: Known,
    names: Vec<String>,
    now: fn() -> Timestamp,
    issued: Timestamp,
    tls: watch::Sender<Option<Arc<ServerConfig>>>,
}

impl ServerCertificate {
    /// A first certificate for these names and addresses, if there is an authority.
    pub fn new(known: Known, names: Vec<String>, now: fn() -> Timestamp) -> Result<Self, PkiError> {
        let mut certificate = Self {
            known,
            names,
            now,
            issued: Timestamp(0),
            tls: watch::Sender::new(None),
        };
        certificate.issue()?;
        Ok(certificate)
    }

    /// TLS 1.3, with the current certificate at each handshake.
    pub fn tls(&self) -> Tls {
        Tls {
            known: self.known.clone(),
            config: self.tls.subscribe(),
        }
    }

    /// Renews for as long as it runs: when there is another authority, and in time. The wall
    /// clock is looked at often, because a laptop sleeps and clocks are set.
    pub async fn renew(mut self) {
        loop {
            tokio::select! {
                Ok(()) = self.known.changed() => self.try_to_issue(),
                () = sleep(LOOK_EVERY) => if self.is_due() { self.try_to_issue() },
            }
        }
    }

    fn is_due(&self) -> bool {
        let age = (self.now)().0.saturating_sub(self.issued.0);
        !(0..RENEW_AFTER).contains(&age)
    }

    fn try_to_issue(&mut self) {
        match self.issue() {
            Ok(true) => tracing::info!("the server has a new certificate"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the server's certificate was not renewed"),
        }
    }

    /// Whether there is an authority that could.
    fn issue(&mut self) -> Result<bool, PkiError> {
        let known = self.known.borrow_and_update().clone();
        let Some(authorities) = known else {
            return Ok(false);
        };
        let now = (self.now)();
        let tls = server_config(&authorities, &self.names, now)?;
        self.tls.send_replace(Some(Arc::new(tls)));
        self.issued = now;
        Ok(true)
    }
}

fn server_config(
    authorities: &Authorities,
    names: &[String],
    now: Timestamp,
) -> Result<ServerConfig, PkiError> {
    let certificate = authorities.signing().issue(names, now)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(PkiError::Tls)?
        .with_client_cert_verifier(authorities.client_verifier())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A session that is resumed would let a client in whose certificate has ended meanwhile.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A day, of a life of seven: six days in which something may be wrong.
const RENEW_AFTER: i64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::pki::Authority;
    use crate::pki::rotation::{Step, Stored};

    static NOW: AtomicI64 = AtomicI64::new(1_700_000_000_000);

    #[test]
    fn a_certificate_is_renewed_after_a_day_and_when_the_clock_was_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let now = || Timestamp(NOW.load(Ordering::Relaxed));
        let known = Authority::open(folder.path(), now())
            .unwrap()
            .alone()
            .unwrap();
        let mut server = ServerCertificate::new(known, vec!["localhost".into()], now).unwrap();
        let mut due_after = |advance| {
            NOW.fetch_add(advance, Ordering::Relaxed);
            let due = server.is_due();
            if due {
                server.try_to_issue();
            }
            due
        };
        assert!(!due_after(0));
        assert!(!due_after(RENEW_AFTER - 1));
        assert!(due_after(1));
        assert!(!due_after(1));
        assert!(due_after(-60_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_the_authority_of_now() {
        let now = || Timestamp(1_700_000_000_000);
        let (knows, known) = watch::channel(None);
        let server = ServerCertificate::new(known, vec!["localhost".into()], now).unwrap();
        let mut tls = server.tls().config;
        assert!(tls.borrow_and_update().is_none());
        let mut renewing = tokio::task::JoinSet::new();
        renewing.spawn(server.renew());
        let mut stored = Stored::first(now()).unwrap();
        for step in [Step::Prepare, Step::Promote, Step::Forget] {
            knows.send_replace(Some(Arc::new(stored.authorities().unwrap())));
            tls.changed().await.unwrap();
            assert!(tls.borrow_and_update().is_some());
            stored = stored.after(step, now()).unwrap();
        }
    }
}
