//! A client's encrypted connection after the handshake.
//!
//! Apart from the handshake. Whoever writes learns of what the socket has taken, and not of what
//! has been encrypted: so nothing waits here that nobody pushes on, and a client that takes
//! nothing is noticed as on a connection without TLS.

use std::{
    io::{self, BufRead as _, IoSlice, Write as _},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::Wire;
use crate::buffers::Buffers;
use crate::message::Transport;

/// One connection.
#[derive(Debug)]
pub struct TlsStream {
    wire: Wire,
    tls: Box<ServerConnection>,
    buffers: Rc<Buffers>,
    /// Bytes that are encrypted, of a write that has not been answered: whoever writes comes again
    /// with the same bytes first.
    encrypted: usize,
    /// It was said that no more comes.
    closing: bool,
}

impl TlsStream {
    pub(super) fn new(wire: Wire, mut tls: ServerConnection, buffers: Rc<Buffers>) -> Self {
        tls.set_buffer_limit(Some(ENCRYPTED));
        Self {
            wire,
            tls: Box::new(tls),
            buffers,
            encrypted: 0,
            closing: false,
        }
    }

    /// Reads once, and decrypts what has come.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let had = self.tls.wants_write();
        let tls = &mut self.tls;
        let taken = self
            .wire
            .poll_read(&self.buffers, cx, |bytes| decrypt(tls, bytes));
        let decrypted = ready!(taken)?;
        // What the other end has to be told, such as what it did wrong. What waits for the first
        // answer (tickets) goes with it.
        if decrypted.is_err() || (!had && self.tls.wants_write()) {
            // Who reads must not be woken in the place of who writes.
            self.wire.write_now(&mut self.tls)?;
        }
        Poll::Ready(decrypted)
    }

    fn poll_send(
        &mut self,
        slices: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.encrypted == 0 {
            self.encrypted = self.tls.writer().write_vectored(slices)?;
        }
        if self.encrypted == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            // There is no room beside what else is to be sent.
            ready!(self.wire.poll_write(&mut self.tls, cx))?;
            self.encrypted = self.tls.writer().write_vectored(slices)?;
        }
        ready!(self.wire.poll_write(&mut self.tls, cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.encrypted)))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            let mut reader = this.tls.reader();
            match reader.fill_buf() {
                // It has ended as it should.
                Ok([]) => break,
                Ok(bytes) => {
                    let here = bytes.len().min(buffer.remaining());
                    buffer.put_slice(bytes.get(..here).unwrap_or_default());
                    reader.consume(here);
                }
                Err(_) if buffer.filled().len() > before => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(this.poll_more(cx))?;
                }
                // Cut off: whether that is an end is for whoever knows what was to come.
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(&[IoSlice::new(bytes)], cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(slices, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.wire.poll_write(&mut this.tls, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.closing, true) {
            this.tls.send_close_notify();
        }
        ready!(this.wire.poll_write(&mut this.tls, cx))?;
        Pin::new(&mut this.wire.tcp).poll_shutdown(cx)
    }
}

impl Transport for TlsStream {
    fn reset(&self) {
        self.wire.tcp.reset();
    }
}

/// Decrypts until there is no more, or enough that nobody has read.
fn decrypt(tls: &mut ServerConnection, bytes: &mut &[u8]) -> io::Result<()> {
    loop {
        match tls.read_tls(bytes) {
            // The end, or what comes after the other end's last word.
            Ok(0) => *bytes = &[],
            Ok(_) => {
                let broken = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                tls.process_new_packets().map_err(broken)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Other => return Ok(()),
            Err(error) => return Err(error),
        }
        if bytes.is_empty() {
            return Ok(());
        }
    }
}

/// Bytes that are encrypted for one write: four full records.
const ENCRYPTED: usize = 64 * 1024;

#[cfg(test)]
mod tests;
