//! A connection to an upstream after it has left HTTP.
//!
//! Apart from the exchange of messages: from here on it is bytes, both ways.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;

/// The bytes of a connection, which stays counted as one.
#[derive(Debug)]
pub(super) struct Raw(Rc<Connection>);

impl Raw {
    pub(super) fn new(connection: Rc<Connection>) -> Self {
        Self(connection)
    }
}

impl AsyncRead for Raw {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0
            .poll_raw(|stream| Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Raw {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0
            .poll_raw(|stream| Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_raw(|stream| Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_raw(|stream| Pin::new(stream).poll_shutdown(cx))
    }
}
