//! Listening sockets, with TLS or without.
//!
//! Apart from tonic's own, because certificates are renewed while it runs, strangers are bounded in
//! number and time, and plaintext is for loopback only.

mod connection;
mod peer;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock;
use crate::pki::server::Tls;
use crate::serve::listen::connection::{Connection, Permit, Transport};
use crate::serve::shares::{Share, Shares};

pub(super) use peer::{Peer, Shown};

/// Whether calls are encrypted.
#[derive(Clone, Debug)]
pub enum Security {
    /// Only on loopback addresses: a token on a network is anyone's.
    Plaintext,
    /// Once there is an authority; handshakes wait for it.
    Tls(Tls),
}

/// A listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "gRPC without TLS on {address} would show tokens to the network: use a loopback address, \
         or TLS"
    )]
    Exposed { address: SocketAddr },
    #[error("cannot listen for gRPC on {address}: {source}")]
    Socket {
        address: SocketAddr,
        source: io::Error,
    },
}

/// An open socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    security: Security,
}

impl Listener {
    /// Opens a socket.
    pub async fn bind(address: SocketAddr, security: Security) -> Result<Self, BindError> {
        if matches!(security, Security::Plaintext) && !address.ip().is_loopback() {
            return Err(BindError::Exposed { address });
        }
        let socket = TcpListener::bind(address).await;
        let socket = socket.map_err(|source| BindError::Socket { address, source })?;
        Ok(Self { socket, security })
    }

    /// Where it is open: the address that was asked for, with the port that was found.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether calls are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    /// Connections that are ready for HTTP/2.
    pub(super) fn incoming(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        let Self { socket, security } = self;
        let tls = match security {
            Security::Plaintext => None,
            Security::Tls(tls) => Some(tls),
        };
        let door = Door {
            socket,
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            strangers: Shares::new(STRANGERS),
        };
        let accepted = stream::unfold(door, |door| async {
            let accepted = door.accept().await;
            Some((accepted, door))
        });
        // As many as there are connections: who shakes no hands keeps nobody else from it.
        accepted
            .map(move |accepted| shake_hands(tls.clone(), accepted))
            .buffer_unordered(CONNECTIONS)
    }
}

/// Where connections come in, and how many may.
struct Door {
    socket: TcpListener,
    permits: Arc<Semaphore>,
    strangers: Shares<IpAddr>,
}

struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    permit: Permit,
    share: Share<IpAddr>,
}

impl Door {
    async fn accept(&self) -> Accepted {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    // The same host, whichever way its address is written.
                    let host = address.ip().to_canonical();
                    let Some(share) = self.strangers.take(host) else {
                        tracing::debug!(%address, "too many of this address made no call yet");
                        continue;
                    };
                    // Acknowledgements are small, and awaited.
                    let _ = stream.set_nodelay(true);
                    return Accepted {
                        stream,
                        address,
                        permit,
                        share,
                    };
                }
                Err(error) => {
                    tracing::warn!(%error, "a gRPC connection was not accepted");
                    // Out of descriptors it would fail again at once.
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }
}

async fn shake_hands(tls: Option<Tls>, accepted: Accepted) -> io::Result<Connection> {
    let Accepted {
        stream,
        address,
        permit,
        share,
    } = accepted;
    let Some(tls) = tls else {
        let (stream, peer) = (Transport::Plain(stream), Peer::new(Some(address), None));
        return Ok(Connection::new(stream, peer, permit, Some(share)));
    };
    let authorities = tls.authorities();
    let shaken = timeout(HANDSHAKE, secured(tls, stream)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if let Err(error) = &shaken {
        tracing::debug!(%address, %error, "no TLS with this peer");
    }
    let stream = shaken?;
    let certificates = stream.get_ref().1.peer_certificates();
    let shown = certificates.and_then(|all| all.first());
    let shown = shown.map(|certificate| certificate.clone().into_owned());
    let shown = shown.and_then(|shown| Shown::read(shown, authorities, clock::now()));
    let (stream, peer) = (
        Transport::Tls(Box::new(stream)),
        Peer::new(Some(address), shown),
    );
    Ok(Connection::new(stream, peer, permit, Some(share)))
}

async fn secured(mut tls: Tls, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let config = tls.config().await.ok_or(io::ErrorKind::NotConnected)?;
    TlsAcceptor::from(config).accept(stream).await
}

/// Of one listener; more wait in the kernel's queue.
const CONNECTIONS: usize = 12_000;
/// Of one address, until a call on them is let through.
const STRANGERS: usize = 64;
/// As long as a proxy waits.
const HANDSHAKE: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plaintext_is_for_loopback() {
        for (address, allowed) in [
            ("127.0.0.1:0", true),
            ("[::1]:0", true),
            ("0.0.0.0:0", false),
        ] {
            let bound = Listener::bind(address.parse().unwrap(), Security::Plaintext).await;
            let exposed = matches!(bound, Err(BindError::Exposed { .. }));
            assert_eq!(!exposed, allowed, "{address}");
        }
    }
}
