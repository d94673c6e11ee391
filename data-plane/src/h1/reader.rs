//! Reads the body of one message from a connection.
//!
//! Apart from the decoder: here is waiting, and the limit on how long.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::io::AsyncRead;

use super::{Decoder, Fill, Input};
use crate::alarm::Alarm;
use crate::buffers::INPUT;
use crate::message::{BodyError, Frame};

/// Reads one body.
#[derive(Debug)]
pub struct BodyReader {
    decoder: Decoder,
    /// The alarm runs: the sender is being waited for.
    waiting: bool,
    /// Room for the next read; it grows while reads fill it.
    room: usize,
    /// Bytes of data so far.
    pub bytes: u64,
}

impl BodyReader {
    pub fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            waiting: false,
            room: FIRST_ROOM,
            bytes: 0,
        }
    }

    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Takes what is in `input` already.
    pub fn take(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, BodyError> {
        let frame = self.decoder.take(input)?;
        if let Some(Frame::Data(bytes)) = &frame {
            self.bytes += bytes.len() as u64;
        }
        Ok(frame)
    }

    /// The next piece, read from `stream` if need be; the sender may let us wait for `patience`.
    pub fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        input: &mut Input,
        alarm: &Alarm,
        patience: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            match self.take(input) {
                Ok(Some(frame)) => {
                    self.stop_waiting(alarm);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if self.is_done() => {
                    self.stop_waiting(alarm);
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let room = self.room.min(self.decoder.wants().max(FIRST_ROOM));
            match input.poll_fill(stream, room, cx) {
                Poll::Ready(Ok(Fill::Bytes)) => {
                    self.stop_waiting(alarm);
                    if input.len() >= self.room {
                        self.room = (self.room * 2).min(LAST_ROOM);
                    }
                }
                Poll::Ready(Ok(Fill::Closed)) => {
                    return Poll::Ready(self.decoder.close().err().map(Err));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Some(Err(BodyError::Cut))),
                Poll::Pending => {
                    if !self.waiting {
                        self.waiting = true;
                        alarm.set(patience);
                    }
                    return match alarm.poll(cx) {
                        Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Stalled))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }

    fn stop_waiting(&mut self, alarm: &Alarm) {
        if std::mem::take(&mut self.waiting) {
            alarm.clear();
        }
    }
}

/// Of a body that is over.
impl Default for BodyReader {
    fn default() -> Self {
        Self::new(Decoder::default())
    }
}

/// Room for the first read of a body.
const FIRST_ROOM: usize = INPUT;

/// Room for a read of a body that comes fast.
const LAST_ROOM: usize = 128 * 1024;
