//! Reads from a connection into a buffer, with as few calls as can be.
//!
//! Apart, because the rules are the same for both sides: no read without a sign that there is
//! something, no second read after a short one, and no buffer held while there is nothing.

use std::{
    io,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Bytes,
    /// The other end sends no more.
    Closed,
}

/// Reads once, with room for at least `room` bytes.
pub fn poll_fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    room: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Fill>> {
    if input.capacity() - input.len() < room {
        input.reserve(room);
    }
    // The future holds no state of its own: made anew for each poll, it reads into `input`.
    let read = ready!(pin!(stream.read_buf(input)).poll(cx))?;
    Poll::Ready(Ok(match read {
        0 => Fill::Closed,
        _ => Fill::Bytes,
    }))
}
