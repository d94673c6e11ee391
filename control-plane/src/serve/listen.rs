//! Listening sockets, with TLS or without.
//!
//! Apart from tonic's own, because certificates are renewed while it runs, handshakes are
//! bounded in number and time, and plaintext is for loopback only.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::pki::Credential;
use crate::pki::server::Tls;

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
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let accepted = stream::unfold((socket, permits), |(socket, permits)| async {
            let accepted = accept(&socket, &permits).await;
            Some((accepted, (socket, permits)))
        });
        accepted
            .map(move |(stream, permit)| shake_hands(tls.clone(), stream, permit))
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
    tls: Option<Tls>,
    stream: TcpStream,
    permit: Permit,
) -> io::Result<Connection> {
    let address = stream.peer_addr().ok();
    let Some(tls) = tls else {
        let peer = Peer::new(address, None);
        return Ok(Connection::new(Transport::Plain(stream), peer, permit));
    };
    let shaken = timeout(HANDSHAKE, secured(tls, stream)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if let Err(error) = &shaken {
        tracing::debug!(?address, %error, "no TLS with this peer");
    }
    let stream = shaken?;
    let certificates = stream.get_ref().1.peer_certificates();
    let credential = certificates.and_then(|all| Credential::read(all.first()?));
    let stream = Transport::Tls(Box::new(stream));
    let peer = Peer::new(address, credential);
    Ok(Connection::new(stream, peer, permit))
}

async fn secured(mut tls: Tls, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let config = match tls.wait_for(Option::is_some).await {
        Ok(config) => config.clone(),
        Err(_) => None,
    };
    let config = config.ok_or(io::ErrorKind::NotConnected)?;
    TlsAcceptor::from(config).accept(stream).await
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
    credential: Option<Arc<Credential>>,
    known: Arc<AtomicBool>,
    /// Certificates that it has asked for.
    asked: Arc<AtomicU32>,
}

impl Peer {
    pub(super) fn new(address: Option<SocketAddr>, credential: Option<Credential>) -> Self {
        Self {
            address,
            credential: credential.map(Arc::new),
            known: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// What its certificate says, if it has shown one of ours.
    pub(super) fn credential(&self) -> Option<&Arc<Credential>> {
        self.credential.as_ref()
    }

    /// How many certificates it has asked for, this one included.
    pub(super) fn asks(&self) -> u32 {
        self.asked.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

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
    fn new(stream: Transport, peer: Peer, permit: Permit) -> Self {
        Self {
            stream,
            peer,
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
/// How long a connection may take until a call on it is let through.
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
