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
use rustls::ServerConnection;
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

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            unread: BytesMut::new(),
        }
    }

    /// Gives what was read and not taken, or else what is read now; nothing at all if the other end
    /// sends no more. What is not taken is kept.
    pub(super) fn poll_read<T>(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut &[u8]) -> T,
    ) -> Poll<io::Result<T>> {
        if !self.unread.is_empty() {
            let mut unread = std::mem::take(&mut self.unread);
            let mut bytes = &*unread;
            let taken = take(&mut bytes);
            let left = bytes.len();
            unread.advance(unread.len() - left);
            if left > 0 {
                self.unread = unread;
            }
            return Poll::Ready(Ok(taken));
        }
        let mut room = buffers.scratch();
        let mut room = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut room))?;
        let mut bytes = room.filled();
        let taken = take(&mut bytes);
        self.unread.extend_from_slice(bytes);
        Poll::Ready(Ok(taken))
    }

    /// Resolves once the other end is gone; not while it has sent what was not read yet.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match ready!(self.tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    /// Writes all that is to be sent.
    pub(super) fn poll_write(
        &mut self,
        from: &mut ServerConnection,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let tcp = &mut self.tcp;
        match write_all(from, &mut Socket { tcp, cx }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    /// Writes what the socket takes now, for who does not wait for it: whoever does is woken still.
    pub(super) fn write_now(&self, from: &mut ServerConnection) -> io::Result<()> {
        match write_all(from, &mut Now(&self.tcp)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            written => written,
        }
    }

    /// Sends these bytes if the socket takes them now: the last that a client is told.
    pub(super) fn tell(&self, bytes: &[u8]) {
        // A client that has gone needs not be told.
        let _gone = self.tcp.try_write(bytes);
    }
}

fn write_all(from: &mut ServerConnection, to: &mut impl io::Write) -> io::Result<()> {
    while from.wants_write() {
        if from.write_tls(to)? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
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

/// The same, and nobody is woken when it takes more.
struct Now<'a>(&'a TcpStream);

impl io::Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
