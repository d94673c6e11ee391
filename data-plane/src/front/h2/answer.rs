//! The answer to an HTTP/2 request, in hyper's form.
//!
//! Apart from the request: it lives as long as the answer is being sent, and with it what is
//! counted and watched.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::SizeHint;

use super::streams::Slot;
use crate::h1::may_have_body;
use crate::message::{Body, BodyError, Client, Frame, Meter, Response};
use crate::reason::Reason;

pub(super) fn outgoing(
    response: Response,
    to_head: bool,
    slot: Slot,
    client: &Client,
) -> http::Response<Outgoing> {
    let Response {
        status,
        mut headers,
        body,
        declared_length,
        mut meter,
        ..
    } = response;
    meter.status(status);
    let body = match to_head {
        true => Body::Empty,
        false => body,
    };
    if let Some(length) = declared_length.filter(|_| to_head || !may_have_body(status)) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if !headers.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::from_bytes(&client.thread.clock.date())
    {
        headers.insert(header::DATE, date);
    }
    let mut answer = http::Response::new(Outgoing {
        body,
        rest: Bytes::new(),
        ended: false,
        meter,
        slot,
    });
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The body of an answer, with what ends with it.
#[derive(Debug)]
pub(super) struct Outgoing {
    body: Body,
    /// Of a piece that was larger than a frame.
    rest: Bytes,
    /// The end, or an error, has been handed over.
    ended: bool,
    meter: Meter,
    slot: Slot,
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.meter.received(self.slot.received());
        if !self.ended && !http_body::Body::is_end_stream(self) {
            match self.slot.is_late() {
                true => self.meter.fail(Reason::ClientTimeout),
                false => self.meter.abandon(),
            }
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            self.slot.wait_for_upstream();
            let frame = match ready!(self.body.poll_frame(cx)) {
                None => None,
                Some(Ok(Frame::Data(bytes))) => {
                    self.rest = bytes;
                    Some(Ok(()))
                }
                Some(Ok(Frame::Trailers(fields))) => {
                    self.ended = true;
                    return Poll::Ready(Some(Ok(http_body::Frame::trailers(*fields))));
                }
                Some(Err(error)) => {
                    self.meter.cut(error);
                    Some(Err(error))
                }
            };
            match frame {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
        self.slot.wait_for_client();
        // In small pieces, because h2 holds what goes beyond a closed window.
        let piece = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(piece);
        self.meter.sent(piece.len() as u64);
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.length() {
            Some(length) if self.rest.is_empty() => SizeHint::with_exact(length),
            Some(_) | None => SizeHint::default(),
        }
    }
}

/// Bytes handed over at a time: one frame.
const PIECE: usize = 16 * 1024;
