//! Bytes between a socket and rustls, without waiting.
//!
//! Apart from the handshake and from the stream, which both need them. What is read goes through
//! memory of the thread's: one system call for all that has come, whatever rustls takes at a time,
//! and nothing that a connection holds while it is idle.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{ServerConnection, server::Acceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::buffers::Buffers;

/// The socket, and what was read from it and not been taken yet.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) tcp: TcpStream,
    unread: BytesMut,
}

/// What takes bytes of TLS.
pub(super) trait Take {
    /// Takes some; nothing if it wants no more, or not now.
    fn take(&mut self, bytes: &mut &[u8]) -> io::Result<usize>;
}

impl Take for Acceptor {
    fn take(&mut self, bytes: &mut &[u8]) -> io::Result<usize> {
        self.read_tls(bytes)
    }
}

impl Take for ServerConnection {
    fn take(&mut self, bytes: &mut &[u8]) -> io::Result<usize> {
        match self.read_tls(bytes) {
            // Of plaintext that nobody has read yet there is enough.
            Err(error) if error.kind() == io::ErrorKind::Other => Ok(0),
            taken => taken,
        }
    }
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Some bytes were taken.
    Taken,
    /// Bytes are there that are not taken.
    Refused,
    /// The other end sends no more.
    Closed,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            unread: BytesMut::new(),
        }
    }

    /// Has `to` take some of what was read, or is read now. To be called again until it is pending:
    /// what is read and not taken is kept.
    pub(super) fn poll_read(
        &mut self,
        to: &mut impl Take,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Read>> {
        if !self.unread.is_empty() {
            let mut bytes = &*self.unread;
            let taken = to.take(&mut bytes)?;
            self.unread.advance(taken);
            if self.unread.is_empty() {
                self.unread = BytesMut::new();
            }
            return Poll::Ready(Ok(match taken {
                0 => Read::Refused,
                1.. => Read::Taken,
            }));
        }
        let mut room = buffers.scratch();
        let mut room = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut room))?;
        let mut bytes = room.filled();
        if bytes.is_empty() {
            // So it learns that there is no more.
            to.take(&mut bytes)?;
            return Poll::Ready(Ok(Read::Closed));
        }
        let taken = to.take(&mut bytes)?;
        self.unread.extend_from_slice(bytes);
        Poll::Ready(Ok(match taken {
            0 => Read::Refused,
            1.. => Read::Taken,
        }))
    }

    /// Writes all that is to be sent.
    pub(super) fn poll_write(
        &mut self,
        from: &mut ServerConnection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while from.wants_write() {
            let tcp = &mut self.tcp;
            match from.write_tls(&mut Socket { tcp, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends these bytes if the socket takes them now: the last that a client is told.
    pub(super) fn tell(&mut self, bytes: &[u8]) {
        // A client that has gone needs not be told.
        let _gone = self.tcp.try_write(bytes);
    }
}

/// The socket as rustls writes to it.
struct Socket<'a, 'b> {
    tcp: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl io::Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.tcp).poll_write_vectored(self.cx, slices) {
            Poll::Ready(wrote) => wrote,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
