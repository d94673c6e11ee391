//! What is to be written to a connection: small pieces copied together, large ones shared.
//!
//! Apart, because it decides how many system calls a message costs: a head and a small body
//! leave in one write, a large body is never copied.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::buffers::Buffers;

/// Bytes on their way out, in order: first `head`, then `queue`.
#[derive(Debug)]
pub struct Output {
    /// In memory that is the thread's while nothing is written.
    head: Vec<u8>,
    written: usize,
    queue: VecDeque<Bytes>,
    queued: usize,
    buffers: Rc<Buffers>,
}

impl Output {
    /// With nothing to be written.
    pub fn new(buffers: &Rc<Buffers>) -> Self {
        Self {
            head: Vec::new(),
            written: 0,
            queue: VecDeque::new(),
            queued: 0,
            buffers: Rc::clone(buffers),
        }
    }

    /// Where heads are written to. Only while nothing large waits.
    pub fn head(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.queue.is_empty(), "a head would overtake a body");
        if self.head.capacity() == 0 {
            self.head = self.buffers.output();
        }
        &mut self.head
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.head.len() - self.written + self.queued
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a few bytes.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        if self.queue.is_empty() {
            self.head().extend_from_slice(bytes);
        } else {
            self.push(Bytes::copy_from_slice(bytes));
        }
    }

    /// Adds a piece of a body.
    pub fn put(&mut self, bytes: Bytes) {
        if self.queue.is_empty() && bytes.len() <= COPIED {
            self.head().extend_from_slice(&bytes);
        } else {
            self.push(bytes);
        }
    }

    /// Writes until everything is gone.
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let wrote = ready!(self.poll_write(stream, cx))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(wrote);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back if nothing is in it.
    pub fn rest(&mut self) {
        if self.is_empty() {
            self.buffers
                .take_back_output(std::mem::take(&mut self.head));
            if self.queue.capacity() > 0 {
                self.queue = VecDeque::new();
            }
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let head = self.head.get(self.written..).unwrap_or_default();
        if self.queue.is_empty() {
            return Pin::new(stream).poll_write(cx, head);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let pieces = (!head.is_empty())
            .then_some(head)
            .into_iter()
            .chain(self.queue.iter().map(Bytes::as_ref));
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        let slices = slices.get(..used).unwrap_or_default();
        Pin::new(stream).poll_write_vectored(cx, slices)
    }

    fn advance(&mut self, mut wrote: usize) {
        let of_head = wrote.min(self.head.len() - self.written);
        self.written += of_head;
        wrote -= of_head;
        if self.written == self.head.len() {
            self.head.clear();
            self.written = 0;
        }
        self.queued -= wrote;
        while let Some(first) = self.queue.front_mut() {
            if wrote < first.len() {
                first.advance(wrote);
                break;
            }
            wrote -= first.len();
            self.queue.pop_front();
        }
    }
}

/// Up to here, to copy is cheaper than to hold another piece.
const COPIED: usize = 4 * 1024;

/// Pieces in one write.
const SLICES: usize = 16;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// Takes at most some bytes at a time.
    struct Narrow {
        width: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let taken = all.len().min(self.width);
            self.taken.extend_from_slice(&all[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_in_which_they_came(
            pieces in prop::collection::vec((0_usize..2 * COPIED, any::<bool>()), 0..20),
            width in 100_usize..5000,
        ) {
            let mut output = Output::new(&Rc::default());
            let mut expected = Vec::new();
            for (place, (len, shared)) in pieces.into_iter().enumerate() {
                let bytes = vec![u8::try_from(place).unwrap(); len];
                expected.extend_from_slice(&bytes);
                match shared {
                    true => output.put(bytes.into()),
                    false => output.put_slice(&bytes),
                }
            }
            prop_assert_eq!(output.len(), expected.len());
            let mut stream = Narrow { width, taken: Vec::new() };
            let mut cx = Context::from_waker(Waker::noop());
            prop_assert!(matches!(output.poll_flush(&mut stream, &mut cx), Poll::Ready(Ok(()))));
            prop_assert!(output.is_empty());
            prop_assert_eq!(stream.taken, expected);
        }
    }
}
