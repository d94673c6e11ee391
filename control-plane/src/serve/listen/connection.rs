//! A connection, and when it is ended for want of a call that may be made.

use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::serve::listen::Peer;
use crate::serve::shares::Share;

/// An accepted connection. It ends if no call on it is let through in time: else strangers
/// could take all the places that proxies need.
pub(in crate::serve) struct Connection {
    stream: Transport,
    peer: Peer,
    strange: Option<Strange>,
    _permit: Permit,
}

/// That of a stranger.
struct Strange {
    until: Pin<Box<Sleep>>,
    /// Of what its address may have.
    _share: Option<Share<IpAddr>>,
}

pub(super) type Permit = Option<OwnedSemaphorePermit>;

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(
        stream: Transport,
        peer: Peer,
        permit: Permit,
        share: Option<Share<IpAddr>>,
    ) -> Self {
        Self {
            stream,
            peer,
            strange: Some(Strange {
                until: Box::pin(sleep(STRANGE)),
                _share: share,
            }),
            _permit: permit,
        }
    }

    /// Fails if it has been a stranger's for too long. To be asked before whatever could wait: who
    /// never reads what we write has us wait for that alone.
    fn poll_strange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(strange) = &mut self.strange else {
            return Poll::Ready(Ok(()));
        };
        if self.peer.is_known() {
            self.strange = None;
        } else if strange.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Ready(Ok(()))
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
        ready!(self.poll_strange(cx))?;
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
        ready!(self.poll_strange(cx))?;
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
        ready!(self.poll_strange(cx))?;
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
        ready!(self.poll_strange(cx))?;
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_strange(cx))?;
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// How long a connection may take until a call on it is let through.
const STRANGE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_stranger_who_never_reads_is_cut() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stranger = TcpStream::connect(socket.local_addr().unwrap()).await;
        let (stream, address) = socket.accept().await.unwrap();
        let peer = Peer::new(Some(address), None);
        let mut connection = Connection::new(Transport::Plain(stream), peer.clone(), None, None);
        // Time passes by itself while nothing else happens.
        tokio::time::pause();
        let write = async {
            loop {
                connection.write_all(&[0; 64 * 1024]).await?;
            }
        };
        let written: Result<io::Result<()>, _> = tokio::time::timeout(2 * STRANGE, write).await;
        let error = written.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // One who is known may take longer.
        peer.let_in();
        let write = connection.write_all(&[0; 64 * 1024]);
        assert!(tokio::time::timeout(2 * STRANGE, write).await.is_err());
        drop(stranger);
    }
}
