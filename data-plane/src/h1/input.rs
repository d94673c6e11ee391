//! What has been read from a connection and not been taken yet.
//!
//! Apart, because the rules are the same for both sides: one read for what came at once, no
//! second read after a short one, and no memory held while there is nothing.

use std::{
    io,
    ops::{Deref, DerefMut},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::buffers::{self, Buffers};

/// Bytes that were read, in memory that is the thread's while there are none.
#[derive(Debug)]
pub struct Input {
    bytes: BytesMut,
    /// There is more memory than what the thread's connections lend each other.
    large: bool,
    buffers: Rc<Buffers>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Bytes,
    /// The other end sends no more.
    Closed,
}

impl Input {
    /// With nothing read.
    pub fn new(buffers: &Rc<Buffers>) -> Self {
        Self {
            bytes: BytesMut::new(),
            large: false,
            buffers: Rc::clone(buffers),
        }
    }

    /// Reads once, with room for at least `room` bytes.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        room: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Fill>> {
        let lent = self.make_room(room);
        // The future holds no state of its own: made anew for each poll, it reads into `bytes`.
        match pin!(stream.read_buf(&mut self.bytes)).poll(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Fill::Closed)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Fill::Bytes)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if lent {
                    self.buffers.take_back_unused(&mut self.bytes);
                } else if room <= buffers::INPUT {
                    self.rest();
                }
                // A body that comes fast keeps its memory: to make it anew for each piece costs
                // half as much again as the piece.
                Poll::Pending
            }
        }
    }

    /// Gives the memory back if nothing is in it.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            let bytes = std::mem::take(&mut self.bytes);
            if !std::mem::take(&mut self.large) {
                self.buffers.take_back_input(bytes);
            }
        }
    }

    pub fn into_bytes(self) -> BytesMut {
        self.bytes
    }

    /// True if the memory was lent for this.
    fn make_room(&mut self, room: usize) -> bool {
        if self.bytes.capacity() - self.bytes.len() >= room {
            return false;
        }
        if self.bytes.is_empty() && room <= buffers::INPUT {
            self.rest();
            self.buffers.lend(&mut self.bytes);
            return true;
        }
        self.bytes.reserve(room);
        self.large = true;
        false
    }
}

impl Deref for Input {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.bytes
    }
}

impl DerefMut for Input {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_waits_for_bytes_holds_no_memory() {
        let buffers = Rc::default();
        let (mut theirs, mut ours) = duplex(64);
        let mut input = Input::new(&buffers);
        let mut cx = Context::from_waker(Waker::noop());
        let mut fill = |input: &mut Input| input.poll_fill(&mut ours, buffers::INPUT, &mut cx);
        assert!(fill(&mut input).is_pending());
        assert_eq!(input.capacity(), 0);

        theirs.write_all(b"one").await.unwrap();
        assert!(matches!(fill(&mut input), Poll::Ready(Ok(Fill::Bytes))));
        let one = input.split().freeze();
        assert!(fill(&mut input).is_pending());
        assert_eq!((&*one, input.capacity()), (&b"one"[..], 0));

        // What is half read stays.
        theirs.write_all(b"tw").await.unwrap();
        assert!(matches!(fill(&mut input), Poll::Ready(Ok(Fill::Bytes))));
        assert!(fill(&mut input).is_pending());
        assert_eq!(&**input, b"tw");
        drop(theirs);
        assert!(matches!(fill(&mut input), Poll::Ready(Ok(Fill::Closed))));
    }
}
