//! A client's connection after it has left HTTP.
//!
//! Apart from the reading and writing of messages: from here on it is bytes, both ways.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use crate::message::Transport;

/// The bytes of a connection.
#[derive(Debug)]
pub(super) struct Raw<S>(Rc<Connection<S>>);

impl<S> Raw<S> {
    pub(super) fn new(connection: Rc<Connection<S>>) -> Self {
        Self(connection)
    }
}

impl<S: Transport> AsyncRead for Raw<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.wire().stream).poll_read(cx, buffer)
    }
}

impl<S: Transport> AsyncWrite for Raw<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.wire().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.wire().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.wire().stream).poll_shutdown(cx)
    }
}
