//! A connection for the laws.

use std::{collections::VecDeque, task::Waker};

use proptest::sample::Index;

use super::*;

/// A connection whose bytes come in pieces, each when those before have been read or while they
/// are.
#[derive(Debug)]
pub(super) struct Pieces {
    here: Vec<u8>,
    coming: VecDeque<Vec<u8>>,
    /// It ends after the last of them.
    closes: bool,
    pub(super) looks: usize,
}

impl Pieces {
    pub(super) fn new(bytes: &[u8], cuts: &[Index], closes: bool) -> Self {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec());
        Self {
            here: Vec::new(),
            coming: pieces.filter(|piece| !piece.is_empty()).collect(),
            closes,
            looks: 0,
        }
    }

    /// Lets the reader read until it has decided or nothing comes any more.
    pub(super) fn read(&mut self) -> Option<Beginning> {
        let mut reader = Reader::default();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match reader.poll(self, &mut cx) {
                Poll::Ready(beginning) => return Some(beginning),
                Poll::Pending if self.coming.is_empty() => return None,
                Poll::Pending => self.come(),
            }
        }
    }

    fn come(&mut self) {
        self.here
            .extend(self.coming.pop_front().into_iter().flatten());
    }

    /// What was not read.
    pub(super) fn rest(mut self) -> Vec<u8> {
        self.here.extend(self.coming.into_iter().flatten());
        self.here
    }

    fn copy(&self, buf: &mut ReadBuf<'_>) -> Poll<usize> {
        if self.here.is_empty() && !(self.closes && self.coming.is_empty()) {
            return Poll::Pending;
        }
        let count = self.here.len().min(buf.remaining());
        buf.put_slice(&self.here[..count]);
        Poll::Ready(count)
    }
}

impl Peek for Pieces {
    fn poll_peek(&mut self, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.looks += 1;
        self.copy(buf).map(|_| Ok(()))
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Since it was looked at, more has come.
        self.come();
        let read = ready!(self.copy(buf));
        self.here.drain(..read);
        Poll::Ready(Ok(()))
    }
}
