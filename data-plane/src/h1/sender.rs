//! Writes the body of one message to a connection.
//!
//! Apart from reading: both go on at the same time, and each side of the proxy does both.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::AsyncWrite;

use super::{ChunkWriter, Output};
use crate::{
    alarm::Alarm,
    message::{Body, BodyError, Frame},
};

/// Sends one body, after what is in the output already.
#[derive(Debug)]
pub struct BodySender {
    chunks: Option<ChunkWriter>,
    /// Trailer fields may follow the chunks.
    trailers: bool,
    /// The whole body is in the output.
    gathered: bool,
    /// The other end takes no more; what it says may still be read.
    refused: bool,
    waiting: bool,
    /// Bytes of data so far.
    pub bytes: u64,
}

/// Why a body was not sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It did not come whole.
    Body(BodyError),
    /// The other end took nothing for too long.
    Stalled,
}

impl BodySender {
    /// Nothing to send.
    pub fn done() -> Self {
        Self {
            gathered: true,
            ..Self::plain()
        }
    }

    /// As it comes: its length is declared, or the connection's end is its end.
    pub fn plain() -> Self {
        Self {
            chunks: None,
            trailers: false,
            gathered: false,
            refused: false,
            waiting: false,
            bytes: 0,
        }
    }

    /// In chunks, with trailer fields if the other end takes them.
    pub fn chunked(trailers: bool) -> Self {
        Self {
            chunks: Some(ChunkWriter::default()),
            trailers,
            ..Self::plain()
        }
    }

    /// Whether everything has been sent.
    pub fn is_done(&self, output: &Output) -> bool {
        self.gathered && !self.refused && output.is_empty()
    }

    /// Whether there is nothing more to do: everything is sent, or no more is taken.
    pub fn is_over(&self, output: &Output) -> bool {
        self.refused || self.is_done(output)
    }

    /// Sends until everything is sent or the other end takes no more.
    pub fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        output: &mut Output,
        body: &mut Body,
        (alarm, patience): (&Alarm, Duration),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        while !self.refused {
            let starved = match self.gather(output, body, cx) {
                Ok(starved) => starved,
                Err(error) => {
                    // What came before the error is the other end's; the end it will miss.
                    let _gone = output.poll_flush(stream, cx);
                    return Poll::Ready(Err(SendError::Body(error)));
                }
            };
            let before = output.len();
            match output.poll_flush(stream, cx) {
                Poll::Ready(Ok(())) => {
                    if std::mem::take(&mut self.waiting) {
                        alarm.clear();
                    }
                }
                Poll::Ready(Err(_)) => self.refused = true,
                Poll::Pending => {
                    let progress = output.len() < before;
                    if !std::mem::replace(&mut self.waiting, true) || progress {
                        alarm.set(patience);
                    }
                    ready!(alarm.poll(cx));
                    return Poll::Ready(Err(SendError::Stalled));
                }
            }
            if self.gathered {
                break;
            }
            if starved && !self.refused {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what there is of the body, up to what is worth one write. True if there is no more
    /// at the moment.
    fn gather(
        &mut self,
        output: &mut Output,
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Result<bool, BodyError> {
        while !self.gathered && output.len() < ENOUGH {
            match body.poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Ok(Frame::Data(bytes)))) => {
                    self.bytes += bytes.len() as u64;
                    match &mut self.chunks {
                        Some(chunks) => chunks.data(output, bytes),
                        None => output.put(bytes),
                    }
                    if body.is_end() {
                        self.finish(output);
                    }
                }
                Poll::Ready(Some(Ok(Frame::Trailers(fields)))) => {
                    if let Some(chunks) = self.chunks.as_mut().filter(|_| self.trailers) {
                        chunks.trailers(output, &fields);
                        self.gathered = true;
                    } else {
                        self.finish(output);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) => self.finish(output),
            }
        }
        Ok(false)
    }

    fn finish(&mut self, output: &mut Output) {
        self.gathered = true;
        if self.chunks.is_some() {
            ChunkWriter::end(output);
        }
    }
}

/// Bytes that are gathered before they are written.
const ENOUGH: usize = 256 * 1024;
