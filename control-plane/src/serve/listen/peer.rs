//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::sleep;

use crate::clock;
use crate::model::time::Timestamp;
use crate::pki::{Credential, Known};

/// The other end; in the extensions of each call on the connection.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Peer {
    address: Option<SocketAddr>,
    shown: Option<Arc<Shown>>,
    known: Arc<AtomicBool>,
    /// Certificates that it has asked for.
    asked: Arc<AtomicU32>,
}

/// A certificate of ours that was shown, and believed when it was.
#[derive(Debug)]
pub(in crate::serve) struct Shown {
    credential: Credential,
    certificate: CertificateDer<'static>,
    authorities: Known,
}

impl Peer {
    pub(in crate::serve) fn new(address: Option<SocketAddr>, shown: Option<Shown>) -> Self {
        Self {
            address,
            shown: shown.map(Arc::new),
            known: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// What its certificate says, if it has shown one that is still believed.
    pub(in crate::serve) fn credential(&self) -> Option<&Credential> {
        let shown = self.shown.as_ref()?;
        shown.is_believed(clock::now()).then_some(&shown.credential)
    }

    /// What the certificate says that it has shown, whatever became of that.
    pub(in crate::serve) fn shown(&self) -> Option<&Credential> {
        self.shown.as_ref().map(|shown| &shown.credential)
    }

    /// Waits until the certificate that it has shown is no longer believed: it has ended, or its
    /// authority is forgotten. For ever without one.
    pub(in crate::serve) async fn ended(&self) {
        match &self.shown {
            Some(shown) => Box::pin(shown.ended()).await,
            None => std::future::pending().await,
        }
    }

    /// How many certificates it has asked for, this one included.
    pub(in crate::serve) fn asks(&self) -> u32 {
        self.asked.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    pub(in crate::serve) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// A call is let through.
    pub(in crate::serve) fn let_in(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// Whether a call was let through.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

impl Shown {
    /// None if it is not of a client of ours.
    pub(in crate::serve) fn read(
        certificate: CertificateDer<'static>,
        authorities: Known,
        now: Timestamp,
    ) -> Option<Self> {
        Some(Self {
            credential: Credential::read(&certificate, now)?,
            certificate,
            authorities,
        })
    }

    fn is_believed(&self, now: Timestamp) -> bool {
        let authorities = self.authorities.borrow().clone();
        now < self.credential.expires
            && authorities.is_some_and(|known| known.believe(&self.certificate, now))
    }

    async fn ended(&self) {
        let mut authorities = self.authorities.clone();
        loop {
            let left = self.credential.expires.0.saturating_sub(clock::now().0);
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                return;
            };
            tokio::select! {
                Ok(()) = authorities.changed() => if !self.is_believed(clock::now()) {
                    return;
                },
                // The wall clock can be set.
                () = sleep(Duration::from_millis(left).min(LOOK_EVERY)) => {}
            }
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use rustls::pki_types::pem::PemObject as _;
    use tokio::sync::watch;

    use super::*;
    use crate::pki::Subject;
    use crate::pki::rotation::{Step, Stored};

    #[tokio::test]
    async fn a_certificate_counts_until_its_authority_is_forgotten() {
        let now = clock::now();
        let stored = Stored::first(now).unwrap();
        let authorities = |stored: &Stored| Some(Arc::new(stored.authorities().unwrap()));
        let (knows, known) = watch::channel(authorities(&stored));
        let subject = Subject::proxy("node-1").unwrap();
        let signing = authorities(&stored).unwrap();
        let (certificate, _) = signing.signing().issue_client(&subject, now).unwrap();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let shown = Shown::read(certificate, known, now);
        let peer = Peer::new(None, shown);
        let mut ended = Box::pin(peer.ended());
        let mut stored = stored;
        for step in [Step::Prepare, Step::Publish, Step::Promote] {
            stored = stored.after(step, now).unwrap();
            knows.send_replace(authorities(&stored));
            assert!(peer.credential().is_some(), "{step:?}");
            assert!(ended.as_mut().now_or_never().is_none(), "{step:?}");
        }
        stored = stored.after(Step::Forget, now).unwrap();
        knows.send_replace(authorities(&stored));
        assert!(peer.credential().is_none());
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .unwrap();
        // What it is called by does not become another's.
        assert_eq!(peer.shown().unwrap().subject, subject);
    }
}
