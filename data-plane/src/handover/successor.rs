//! The side that gets the sockets.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use rustix::process::geteuid;
use socket2::Socket;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{HandoverError, message};

/// What a predecessor has handed over.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: BTreeMap<SocketAddr, Vec<TcpListener>>,
    predecessor: Option<UnixStream>,
}

impl Inherited {
    /// The connection to the one before, if there is one. It is open for as long as that one
    /// serves, which sees by it that this process does.
    pub fn predecessor(&mut self) -> Option<UnixStream> {
        self.predecessor.take()
    }

    /// The sockets of an address, if there were any.
    pub fn take(&mut self, address: SocketAddr) -> Option<Vec<TcpListener>> {
        self.sockets.remove(&address)
    }

    /// How many sockets are left.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sockets.values().flatten().count()
    }

    /// Lets go of what is not wanted here.
    pub fn leave(&mut self) {
        for address in std::mem::take(&mut self.sockets).into_keys() {
            info!(%address, "not taken over: no listener wants it");
        }
    }
}

/// Asks the predecessor, if there is one, for its sockets. Without them the proxy starts all the
/// same, and takes its ports once they are free.
pub async fn inherit(path: &Path) -> Inherited {
    let asked = async {
        let Some(stream) = connect(path).await? else {
            return Ok(None);
        };
        is_ours(&stream, path)?;
        let taken = message::take(&stream).await;
        let taken = taken.map_err(|source| HandoverError::Broken {
            path: path.to_owned(),
            source,
        })?;
        Ok(Some((stream, taken)))
    };
    let silent = HandoverError::Silent {
        path: path.to_owned(),
    };
    match timeout(PATIENCE, asked).await.unwrap_or(Err(silent)) {
        Ok(None) => Inherited::default(),
        Ok(Some((stream, taken))) => {
            let inherited = Inherited {
                sockets: by_address(taken),
                predecessor: Some(stream),
            };
            let addresses = inherited.sockets.len();
            info!(addresses, "took over the predecessor's sockets");
            inherited
        }
        Err(error) => {
            warn!("{error}; its ports are taken once they are free");
            Inherited::default()
        }
    }
}

/// `None`: nobody listens there.
async fn connect(path: &Path) -> Result<Option<UnixStream>, HandoverError> {
    for _ in 0..LOOKS {
        let failed = match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(failed) => failed,
        };
        if failed.kind() == io::ErrorKind::NotFound {
            return Ok(None);
        }
        if failed.kind() != io::ErrorKind::ConnectionRefused {
            return Err(HandoverError::Broken {
                path: path.to_owned(),
                source: failed,
            });
        }
        // The one that had it has just ended, and perhaps another is about to take it.
        sleep(LOOK).await;
    }
    Ok(None)
}

/// Whether the other side is of this user.
pub(super) fn is_ours(stream: &UnixStream, path: &Path) -> Result<(), HandoverError> {
    let path = || path.to_owned();
    let peer = stream.peer_cred().map_err(|source| HandoverError::Broken {
        path: path(),
        source,
    })?;
    if peer.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(HandoverError::Stranger {
        path: path(),
        uid: peer.uid(),
    })
}

/// Only what accepts connections.
fn by_address(taken: Vec<OwnedFd>) -> BTreeMap<SocketAddr, Vec<TcpListener>> {
    let mut sockets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for fd in taken {
        let socket = Socket::from(fd);
        let address = socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        match (address, socket.is_listener()) {
            (Some(address), Ok(true)) => {
                sockets.entry(address).or_default().push(socket.into());
            }
            _ => warn!("something was handed over that is no listening socket"),
        }
    }
    sockets
}

const PATIENCE: Duration = Duration::from_secs(5);
const LOOKS: u32 = 3;
const LOOK: Duration = Duration::from_millis(100);
