//! The side that has the sockets.

use std::{io, path::PathBuf, time::Duration};

use tokio::{
    net::UnixStream,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{HandoverError, Offer, message, successor::is_ours};
use crate::unix_socket;

/// Hands this process' sockets over, to whoever may have them.
#[derive(Debug)]
pub struct Predecessor {
    offer: Offer,
    shared: watch::Sender<bool>,
}

impl Predecessor {
    /// One that offers these, and whether a successor accepts from them, too.
    pub fn new(offer: Offer) -> (Self, watch::Receiver<bool>) {
        let (shared, is_shared) = watch::channel(false);
        (Self { offer, shared }, is_shared)
    }

    /// Hands over at this path for as long as it is polled. While there is a predecessor of this
    /// process, successors ask that one.
    pub async fn run(self, path: PathBuf, before: Option<UnixStream>) {
        if let Some(before) = before {
            ended(&before).await;
            info!("the predecessor has ended");
        }
        let listener = loop {
            match unix_socket::listen(&path) {
                Ok(listener) => break listener,
                Err(source) => {
                    let path = path.clone();
                    warn!("{}", HandoverError::Open { path, source });
                    sleep(PAUSE).await;
                }
            }
        };
        let mut successors = JoinSet::new();
        loop {
            self.note(&successors);
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if successors.len() < SUCCESSORS => {
                        let (path, offer) = (path.clone(), self.offer.clone());
                        successors.spawn_local(succeed(stream, path, offer));
                    }
                    Ok(_) => warn!("too many ask for this proxy's sockets"),
                    Err(error) => {
                        warn!("cannot hand sockets over: {error}");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = successors.join_next() => {}
            }
        }
    }

    fn note(&self, successors: &JoinSet<()>) {
        let shared = !successors.is_empty();
        self.shared.send_if_modified(|known| {
            let differs = *known != shared;
            *known = shared;
            differs
        });
    }
}

/// Gives one successor the sockets, and waits until it is gone.
async fn succeed(stream: UnixStream, path: PathBuf, offer: Offer) {
    let given = async {
        is_ours(&stream, &path)?;
        let broken = |source| HandoverError::Broken {
            path: path.clone(),
            source,
        };
        let sockets = offer.copies().map_err(broken)?;
        let given = timeout(PATIENCE, message::give(&stream, &sockets)).await;
        given
            .map_err(|_| HandoverError::Silent { path: path.clone() })?
            .map_err(broken)?;
        Ok::<_, HandoverError>(sockets.len())
    };
    match given.await {
        Ok(sockets) => info!(sockets, "a successor has this proxy's sockets"),
        Err(error) => return warn!("nothing was handed over: {error}"),
    }
    ended(&stream).await;
    info!("the successor has ended");
}

/// Waits until the other side has closed it.
async fn ended(stream: &UnixStream) {
    loop {
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stream.readable().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// A successor that does not come up is started again; the dead are found at once.
const SUCCESSORS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
