//! A body on the wire, in any framing, taken piece by piece.
//!
//! Apart from the reading of bytes, so that every framing can be tested without a connection.

use bytes::BytesMut;

use super::{
    Framing,
    chunked::{Chunked, Piece},
};
use crate::{
    limits::MessageLimits,
    message::{BodyError, Frame},
};

/// Finds the pieces of one body, and its end.
#[derive(Debug, Default)]
pub struct Decoder(State);

#[derive(Debug, Default)]
enum State {
    Length(u64),
    Chunked(Box<Chunked>),
    UntilClose,
    #[default]
    Done,
}

impl Decoder {
    pub fn new(framing: Framing, limits: &MessageLimits) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Box::new(Chunked::new(limits))),
            Framing::UntilClose => State::UntilClose,
        })
    }

    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Bytes that may still come, so that the buffer can be made to fit.
    pub fn wants(&self) -> usize {
        match &self.0 {
            State::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            State::Chunked(_) | State::UntilClose => usize::MAX,
            State::Done => 0,
        }
    }

    /// The next piece of `input`; `None` when it is done or more bytes are needed.
    pub fn take(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, BodyError> {
        match &mut self.0 {
            State::Length(left) => {
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                if here == 0 {
                    return Ok(None);
                }
                *left -= here as u64;
                if *left == 0 {
                    self.0 = State::Done;
                }
                Ok(Some(Frame::Data(input.split_to(here).freeze())))
            }
            State::Chunked(chunked) => {
                let piece = chunked.read(input)?;
                if chunked.is_done() {
                    self.0 = State::Done;
                }
                Ok(match piece {
                    Piece::Data(bytes) => Some(Frame::Data(bytes)),
                    Piece::Trailers(fields) => Some(Frame::Trailers(Box::new(fields))),
                    Piece::Nothing => None,
                })
            }
            State::UntilClose if input.is_empty() => Ok(None),
            State::UntilClose => Ok(Some(Frame::Data(input.split().freeze()))),
            State::Done => Ok(None),
        }
    }

    /// The sender has closed the connection.
    pub fn close(&mut self) -> Result<(), BodyError> {
        match self.0 {
            State::UntilClose | State::Done => {
                self.0 = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(BodyError::Cut),
        }
    }
}
