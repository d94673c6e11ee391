//! Writes the answer to a request, and decides what becomes of the connection.
//!
//! Apart from reading: the framing of what a client gets is decided here and nowhere else.

use std::{pin::Pin, task::Poll};

use futures::future::poll_fn;
use http::{HeaderMap, StatusCode};

use super::{connection::Connection, head::Asked};
use crate::h1::{self, BodySender, Fill, Framing, ResponseFraming, SendError, response_head};
use crate::message::{Body, Meter, Response, Transport, Tunnel};
use crate::reason::Reason;

/// What becomes of the connection after an answer.
#[derive(Debug)]
pub(super) enum After {
    /// Another request may come.
    Next,
    /// It ends well.
    Close,
    /// The answer did not come to its end, as its framing shows.
    Cut,
    /// The answer did not come to its end.
    Broken,
    /// It has changed the protocol.
    Joined(Tunnel, Meter),
}

impl<S: Transport> Connection<S> {
    pub(super) async fn respond(&self, response: Response, asked: Asked) -> After {
        let Response {
            status,
            headers,
            body,
            declared_length,
            close,
            tunnel,
            mut meter,
        } = response;
        meter.status(status);
        // The last owner of a body that is not sent lets its source go.
        let mut body = match asked.head {
            true => Body::Empty,
            false => body,
        };
        let framing = framing(&body, status, asked);
        let close = close
            || !asked.keep_alive
            || framing == Framing::UntilClose
            || !self.wire().reader.is_done()
            || self.client().is_leaving();
        let mut sender = match framing {
            Framing::None | Framing::Length(0) => BodySender::done(),
            Framing::Length(_) | Framing::UntilClose => BodySender::plain(),
            Framing::Chunked => BodySender::chunked(asked.takes_trailers),
        };
        let fields = ResponseFraming {
            framing,
            declared_length,
            close,
            keep_alive: asked.http10,
        };
        self.write_head(status, headers, fields);
        let sent = poll_fn(|cx| {
            let mut wire = self.wire();
            let wire = &mut *wire;
            let patience = self.client().thread.limits.client.write_progress;
            let alarm = (&wire.write_alarm, patience);
            match sender.poll(&mut wire.stream, &mut wire.output, &mut body, alarm, cx) {
                Poll::Ready(sent) => Poll::Ready(Some(sent)),
                Poll::Pending => wire.poll_gone(cx).map(|()| None),
            }
        })
        .await;
        meter.sent(sender.bytes);
        let mut wire = self.wire();
        meter.received(wire.reader.bytes);
        let whole = sender.is_done(&wire.output);
        wire.output.rest();
        drop(wire);
        match sent {
            None => {
                meter.fail(Reason::ClientGone);
                After::Broken
            }
            Some(Ok(())) if !whole => {
                meter.fail(Reason::ClientGone);
                After::Broken
            }
            Some(Err(SendError::Stalled)) => {
                meter.fail(Reason::ClientTimeout);
                After::Broken
            }
            Some(Err(SendError::Body(error))) => {
                meter.cut(error);
                match framing {
                    // Nothing else tells this client that more should have come.
                    Framing::UntilClose => After::Broken,
                    Framing::None | Framing::Length(_) | Framing::Chunked => After::Cut,
                }
            }
            Some(Ok(())) => match tunnel {
                Some(tunnel) => After::Joined(tunnel, meter),
                None if close => After::Close,
                None => After::Next,
            },
        }
    }

    fn write_head(&self, status: StatusCode, mut headers: HeaderMap, framing: ResponseFraming) {
        let date = self.client().thread.clock.date();
        let mut wire = self.wire();
        response_head(wire.output.head(), status, &headers, framing, &date);
        // Its values are parts of what was read from the upstream.
        headers.clear();
        wire.spare = headers;
    }

    /// Ends the connection so that the client gets the last answer: what it still sends is read
    /// for a while, since bytes that nobody reads would reset the connection.
    pub(super) async fn close(&self) {
        let limits = &self.client().thread.limits.client;
        self.wire().read_alarm.set(limits.linger);
        let mut budget = LINGER_BYTES;
        poll_fn(|cx| {
            let mut wire = self.wire();
            let wire = &mut *wire;
            let stream = Pin::new(&mut wire.stream);
            if stream.poll_shutdown(cx).is_pending() {
                return wire.read_alarm.poll(cx);
            }
            if wire.reader.is_done() {
                return Poll::Ready(());
            }
            loop {
                wire.input.clear();
                match wire.input.poll_fill(&mut wire.stream, LINGER_ROOM, cx) {
                    Poll::Ready(Ok(Fill::Bytes)) if wire.input.len() < budget => {
                        budget -= wire.input.len();
                    }
                    Poll::Ready(Ok(Fill::Bytes | Fill::Closed) | Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return wire.read_alarm.poll(cx),
                }
            }
        })
        .await;
    }
}

/// How the client finds the end of a body.
fn framing(body: &Body, status: StatusCode, asked: Asked) -> Framing {
    if asked.head || !h1::may_have_body(status) {
        return Framing::None;
    }
    match body.length() {
        Some(length) => Framing::Length(length),
        None if asked.http10 => Framing::UntilClose,
        None => Framing::Chunked,
    }
}

/// Bytes read after the last answer.
const LINGER_BYTES: usize = 256 * 1024;

/// Room for each read of them.
const LINGER_ROOM: usize = 16 * 1024;
