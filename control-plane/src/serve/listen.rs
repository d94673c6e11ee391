//! Listening sockets, with TLS or without.
//!
//! Apart from tonic's own, because certificates are renewed while it runs, handshakes are
//! bounded in number and time, and plaintext is for loopback only.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Whether calls are encrypted.
#[derive(Clone, Debug)]
pub enum Security {
    /// Only on loopback addresses: a token on a network is anyone's.
    Plaintext,
    Tls(Arc<ServerConfig>),
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
        let acceptor = match security {
            Security::Plaintext => None,
            Security::Tls(config) => Some(TlsAcceptor::from(config)),
        };
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let accepted = stream::unfold((socket, permits), |(socket, permits)| async {
            let accepted = accept(&socket, &permits).await;
            Some((accepted, (socket, permits)))
        });
        accepted
            .map(move |(stream, permit)| shake_hands(acceptor.clone(), stream, permit))
            .buffer_unordered(HANDSHAKES)
    }
}

async fn accept(socket: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, Permit) {
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                // Acknowledgements are small, and awaited.
                let _ = stream.set_nodelay(true);
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a gRPC connection was not accepted");
                // Out of descriptors it would fail again at once.
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn shake_hands(
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    permit: Permit,
) -> io::Result<Connection> {
    let peer = stream.peer_addr().ok();
    let Some(acceptor) = acceptor else {
        return Ok(Connection::new(Transport::Plain(stream), peer, permit));
    };
    let shaken = timeout(HANDSHAKE, acceptor.accept(stream)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if let Err(error) = &shaken {
        tracing::debug!(?peer, %error, "no TLS with this peer");
    }
    let stream = Transport::Tls(Box::new(shaken?));
    Ok(Connection::new(stream, peer, permit))
}

type Permit = Option<OwnedSemaphorePermit>;

/// An accepted connection. It ends if no call on it is let through in time: else strangers
/// could take all the places that proxies need.
pub(super) struct Connection {
    stream: Transport,
    peer: Peer,
    strange: Option<Pin<Box<Sleep>>>,
    _permit: Permit,
}

/// Who is at the other end of a connection; in the extensions of each of its calls.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    address: Option<SocketAddr>,
    known: Arc<AtomicBool>,
}

impl Peer {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// A call was let through.
    pub(super) fn is_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(stream: Transport, address: Option<SocketAddr>, permit: Permit) -> Self {
        Self {
            stream,
            peer: Peer {
                address,
                known: Arc::default(),
            },
            strange: Some(Box::pin(sleep(STRANGE))),
            _permit: permit,
        }
    }

    /// Whether it has been a stranger's for too long.
    fn poll_strange(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(strange) = &mut self.strange else {
            return Poll::Pending;
        };
        if self.peer.known.load(Ordering::Relaxed) {
            self.strange = None;
            return Poll::Pending;
        }
        strange.as_mut().poll(cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_strange(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Of one listener; more wait in the kernel's queue.
const CONNECTIONS: usize = 12_000;
/// At once; a handshake costs a signature.
const HANDSHAKES: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may take until a call on it bears a right token.
const STRANGE: Duration = Duration::from_secs(10);
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
