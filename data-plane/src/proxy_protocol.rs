//! Connections of load balancers, which say first for whom they connect: the PROXY protocol.
//!
//! Apart from what follows the header, of which not a byte is read here: it may be HTTP or TLS.

mod header;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod pieces;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use self::header::{Found, LONGEST};
use crate::message::Listener;
use crate::protocol::BadHeader;
use crate::thread::Thread;

/// What a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// A header, and the client that it names; none if the balancer speaks for itself.
    Header(Option<SocketAddr>),
    /// Not a byte, as when a balancer only looks whether somebody listens.
    Silence,
    Bad(BadHeader),
}

/// A connection whose bytes can be looked at before they are read.
pub trait Peek: AsyncRead + Unpin {
    /// Copies what has come and was not read.
    fn poll_peek(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
}

impl Peek for TcpStream {
    fn poll_peek(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Self::poll_peek(self, cx, buf).map_ok(drop)
    }
}

/// Reads the header, all of it within the time for a connection's first byte.
pub async fn read<S: Peek>(stream: &mut S, listener: &Listener, thread: &Thread) -> Beginning {
    let limits = &thread.limits.client;
    let alarm = thread.alarms.alarm();
    alarm.set(limits.first_byte);
    let mut reader = Reader::default();
    let mut last = false;
    poll_fn(|cx| {
        if let Poll::Ready(beginning) = reader.poll(stream, cx) {
            return Poll::Ready(beginning);
        }
        if listener.is_leaving(thread) && !std::mem::replace(&mut last, true) {
            alarm.set(limits.last_request);
        }
        alarm.poll(cx).map(|()| reader.ended(BadHeader::TimedOut))
    })
    .await
}

/// What has come of a header.
#[derive(Debug, Default)]
struct Reader {
    bytes: Vec<u8>,
    /// How many of them are still to be read from the connection, which were only looked at.
    ahead: usize,
}

impl Reader {
    fn poll<S: Peek>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Beginning> {
        loop {
            if ready!(self.poll_catch_up(stream, cx)).is_err() {
                return Poll::Ready(self.ended(BadHeader::CutShort));
            }
            match header::find(&self.bytes) {
                Found::Part => {}
                Found::Header(_) => return Poll::Ready(self.whole()),
                Found::Nothing => return Poll::Ready(Beginning::Bad(BadHeader::Malformed)),
            }
            if ready!(self.poll_look(stream, cx)).is_err() {
                return Poll::Ready(self.ended(BadHeader::CutShort));
            }
        }
    }

    /// Looks at what has come, and keeps what belongs to the header.
    fn poll_look<S: Peek>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut room = [MaybeUninit::uninit(); LONGEST];
        let mut seen = ReadBuf::uninit(&mut room);
        ready!(stream.poll_peek(cx, &mut seen))?;
        if seen.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let before = self.bytes.len();
        self.bytes.extend_from_slice(seen.filled());
        if let Found::Header(length) = header::find(&self.bytes) {
            self.bytes.truncate(length);
        }
        self.ahead = self.bytes.len().saturating_sub(before);
        Poll::Ready(Ok(()))
    }

    /// Reads what was looked at and belongs to the header: it is there already.
    fn poll_catch_up<S: Peek>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ahead > 0 {
            let mut room = [MaybeUninit::uninit(); LONGEST];
            let room = room.get_mut(..self.ahead).unwrap_or_default();
            let mut read = ReadBuf::uninit(room);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.ahead = self.ahead.saturating_sub(read.filled().len());
        }
        Poll::Ready(Ok(()))
    }

    fn whole(&self) -> Beginning {
        match header::source(&self.bytes) {
            Ok(source) => Beginning::Header(source),
            Err(header::Malformed) => Beginning::Bad(BadHeader::Malformed),
        }
    }

    /// Whoever has not said anything was not wrong.
    fn ended(&self, bad: BadHeader) -> Beginning {
        match self.bytes.is_empty() {
            true => Beginning::Silence,
            false => Beginning::Bad(bad),
        }
    }
}
