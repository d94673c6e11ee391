//! Listening sockets pass from a proxy to the one that takes its place on the same machine, so
//! that no client ever finds a closed port.
//!
//! The successor asks for them over a Unix socket as it starts. From then on both accept from the
//! same queues, until the predecessor is told to end: what waits in a queue that two processes
//! have is not reset when one of them closes it. Where only one may answer, it is the predecessor
//! until the successor says that it is ready. Apart from listeners, which know addresses and not
//! whose sockets they are.

mod connect;
mod inherited;
mod message;
mod offer;
mod predecessor;
mod successor;

use std::{collections::BTreeSet, io, path::PathBuf, time::Duration};

use tokio::{net::UnixStream, sync::watch, time::sleep};
use tracing::{info, warn};

pub use inherited::Inherited;
pub use offer::Offer;

use self::{connect::connect, predecessor::hand_over, successor::Successor};
use crate::unix_socket::Listening;

/// Why sockets do not pass.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error(
        "handoverSocket: cannot open {}: {source}; name a file in a folder that this user alone \
         may write", path.display()
    )]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "handoverSocket: {} is of another user (uid {uid}); run both proxies as the same one",
        path.display()
    )]
    Stranger { path: PathBuf, uid: u32 },
    #[error("handoverSocket: {} does not answer in time", path.display())]
    Silent { path: PathBuf },
    #[error("handoverSocket: {}: {source}", path.display())]
    Broken { path: PathBuf, source: io::Error },
}

/// One process' part in it, from its start to its end.
#[derive(Debug)]
pub struct Handover {
    path: PathBuf,
    /// Tells this process from all others.
    boot_id: String,
    offer: Offer,
    inherited: Inherited,
    /// What this process waits for before it is ready.
    missing: watch::Receiver<BTreeSet<&'static str>>,
    others: watch::Sender<Others>,
    /// The connection to the one before.
    before: Option<UnixStream>,
}

/// Who else has the sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// A predecessor does, and this process is not ready.
    pub before: bool,
    /// A successor does, and is ready.
    pub after: bool,
}

impl Others {
    /// Whether this process answers where only one may.
    pub fn is_mine(self) -> bool {
        self == Self::default()
    }
}

impl Handover {
    /// Asks the predecessor, if there is one, for its sockets. Without them the proxy starts all
    /// the same, and has its ports once they are free.
    pub async fn begin(
        path: PathBuf,
        boot_id: String,
        (offer, inherited): (Offer, Inherited),
        missing: watch::Receiver<BTreeSet<&'static str>>,
    ) -> (Self, watch::Receiver<Others>) {
        let (others, seen) = watch::channel(Others::default());
        let mut handover = Self {
            path,
            boot_id,
            offer,
            inherited,
            missing,
            others,
            before: None,
        };
        if let Err(error) = handover.ask(AT_START).await {
            warn!("{error}; its ports are had once they are free");
        }
        (handover, seen)
    }

    /// Succeeds whoever is before, and then hands over, for as long as it is polled.
    pub async fn run(mut self) {
        loop {
            if let Some(stream) = self.before.take() {
                let successor = Successor::new(&stream, &self.inherited, &self.others);
                successor.run(self.missing.clone()).await;
                info!("the predecessor has ended");
            }
            // What nobody here accepts from must not stay open.
            self.inherited.leave();
            self.others
                .send_if_modified(|others| std::mem::take(others) != Others::default());
            match self.follow().await {
                Ok(None) => {}
                Ok(Some(listening)) => {
                    hand_over(&listening, &self.path, &self.offer, &self.others).await;
                    warn!(path = %self.path.display(), "another process hands over there now");
                }
                Err(error) => {
                    warn!("{error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes the place of whoever hands over there, or is the one who does.
    async fn follow(&mut self) -> Result<Option<Listening>, HandoverError> {
        self.ask(1).await?;
        if self.before.is_some() {
            return Ok(None);
        }
        let listening = Listening::at(&self.path, &self.boot_id);
        listening.map(Some).map_err(|source| HandoverError::Open {
            path: self.path.clone(),
            source,
        })
    }

    /// Takes over the sockets of whoever answers, unless that one came later: who has none of the
    /// addresses that this process serves is to get them from here.
    async fn ask(&mut self, looks: u32) -> Result<(), HandoverError> {
        let Some(stream) = connect(&self.path, looks).await? else {
            return Ok(());
        };
        let taken = successor::take(&stream, &self.path).await?;
        let count = taken.len();
        let taken = inherited::by_address(taken);
        let served = self.offer.addresses();
        if !served.is_empty() && !served.iter().any(|address| taken.contains_key(address)) {
            return Ok(());
        }
        info!(
            sockets = count,
            "the predecessor's sockets were handed over"
        );
        self.inherited.put(taken);
        self.others.send_modify(|others| others.before = true);
        self.before = Some(stream);
        Ok(())
    }
}

/// Looks for a predecessor at the start, when one may just be ending.
const AT_START: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
