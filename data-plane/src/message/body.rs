//! The body of a message: nothing, some bytes, or a stream that a codec feeds.
//!
//! Apart from the codecs: whoever takes a body cannot tell which protocol brought it.

use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;

/// A body on its way.
#[derive(Debug)]
pub enum Body {
    Empty,
    Full(Bytes),
    Stream(Stream),
}

impl Body {
    /// Nothing, if `bytes` is nothing.
    pub fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }

    /// Bytes still to come, if that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Stream(stream) => stream.length,
        }
    }

    /// Whether the whole body can be sent again.
    pub fn is_untouched(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => true,
            Self::Stream(stream) => !stream.touched,
        }
    }

    /// The next piece; `None` at the end, and from then on.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::replace(self, Self::Stream(Stream::ended())) {
                Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::Data(bytes)))),
                Self::Empty | Self::Stream(_) => Poll::Ready(None),
            },
            Self::Stream(stream) => stream.poll_frame(cx),
        }
    }

    /// Whether nothing more will come. May be false at the end of a stream that has not
    /// noticed yet.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Stream(stream) => stream.source.is_none(),
        }
    }
}

/// A piece of a body.
#[derive(Debug)]
pub enum Frame {
    Data(Bytes),
    /// The last piece, if there is one.
    Trailers(Box<HeaderMap>),
}

/// Why a body did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("body: its sender closed the connection before the end")]
    Cut,
    #[error("body: its framing is malformed")]
    Malformed,
    #[error("body: too many bytes of chunk extensions or trailers")]
    TooLarge,
    #[error("body: nothing came for too long")]
    Stalled,
}

/// A body that a codec feeds. Dropped before its end, it lets the codec know.
pub struct Stream {
    source: Option<Rc<dyn Source>>,
    length: Option<u64>,
    touched: bool,
}

impl Stream {
    /// `length` is what the sender declares.
    pub fn new(source: Rc<dyn Source>, length: Option<u64>) -> Self {
        Self {
            source: Some(source),
            length,
            touched: false,
        }
    }

    /// What is left of a body that was handed over whole.
    fn ended() -> Self {
        Self {
            source: None,
            length: Some(0),
            touched: true,
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.touched = true;
        let Some(source) = &self.source else {
            return Poll::Ready(None);
        };
        let polled = source.poll_frame(cx);
        if source.is_end() && polled.is_ready() {
            self.release();
        }
        polled
    }

    fn release(&mut self) {
        if let Some(source) = self.source.take() {
            source.release();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("ended", &self.source.is_none())
            .field("length", &self.length)
            .field("touched", &self.touched)
            .finish()
    }
}

/// Where a codec puts out the body of a message that it reads.
pub trait Source {
    /// The next piece. An error is the last that comes.
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;

    /// Whether the end, or an error, has been put out.
    fn is_end(&self) -> bool;

    /// Nobody will ask again: after the end, or before.
    fn release(self: Rc<Self>);
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_body_that_was_handed_over_is_touched_and_at_its_end() {
        let mut body = Body::full(Bytes::from_static(b"x"));
        assert!(body.is_untouched());
        assert!(!body.is_end());
        let mut nobody = Context::from_waker(Waker::noop());
        let piece = body.poll_frame(&mut nobody);
        assert!(matches!(piece, Poll::Ready(Some(Ok(Frame::Data(_))))));
        assert!(!body.is_untouched());
        assert!(body.is_end());
        assert_eq!(body.length(), Some(0));
        assert!(matches!(body.poll_frame(&mut nobody), Poll::Ready(None)));
    }
}
