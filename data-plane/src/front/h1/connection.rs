//! The state of a client's HTTP/1 connection, and the reading of heads from it.
//!
//! Apart from the loop that serves it: whoever reads a request's body, perhaps another task,
//! shares this with the loop, and only one of them at a time touches it.

use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures::future::poll_fn;
use http::HeaderMap;

use super::{body::RequestBody, head::Asked};
use crate::alarm::Alarm;
use crate::buffers::INPUT;
use crate::front::RequestError;
use crate::h1::{self, BodyReader, Decoder, Fill, Framing, HeadScanner, Input, Output, Scan};
use crate::message::{Body, Client, Stream, Transport};

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    wire: RefCell<Wire<S>>,
    client: Rc<Client>,
}

/// What is read and written, and how far.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    pub(super) input: Input,
    pub(super) output: Output,
    /// Two, because reading a body and writing an answer may be waited for by two tasks.
    pub(super) read_alarm: Alarm,
    pub(super) write_alarm: Alarm,
    scanner: HeadScanner,
    /// A byte of the next head has come.
    begun: bool,
    /// It waits for the last request.
    last: bool,
    /// A header map that nobody uses at the moment.
    pub(super) spare: HeaderMap,
    pub(super) reader: BodyReader,
    /// The request whose body `reader` reads.
    pub(super) serial: u64,
    /// The client waits for leave to send its body.
    pub(super) expects_continue: bool,
}

impl<S: Transport> Connection<S> {
    pub(super) fn new(stream: S, early: Input, client: Rc<Client>) -> Rc<Self> {
        let alarms = &client.thread.alarms;
        let wire = Wire {
            stream,
            input: early,
            output: Output::new(&client.thread.buffers),
            read_alarm: alarms.alarm(),
            write_alarm: alarms.alarm(),
            scanner: HeadScanner::default(),
            begun: false,
            last: false,
            spare: HeaderMap::new(),
            reader: BodyReader::default(),
            serial: 0,
            expects_continue: false,
        };
        Rc::new(Self {
            wire: RefCell::new(wire),
            client,
        })
    }

    pub(super) fn client(&self) -> &Rc<Client> {
        &self.client
    }

    pub(super) fn wire(&self) -> RefMut<'_, Wire<S>> {
        self.wire.borrow_mut()
    }

    pub(super) fn spare_headers(&self) -> HeaderMap {
        std::mem::take(&mut self.wire().spare)
    }

    /// What has been read and belongs to no request.
    pub(super) fn take_input(&self) -> Bytes {
        self.wire().input.split().freeze()
    }

    /// Bytes up to the empty line after a request's header fields; `None` at the end of the
    /// connection.
    pub(super) async fn head_text(&self) -> Option<Result<Bytes, RequestError>> {
        self.wire()
            .read_alarm
            .set(self.client.thread.limits.client.idle);
        poll_fn(|cx| self.wire().poll_head(&self.client, cx)).await
    }

    /// Makes ready to read the body of the request whose head has been read.
    pub(super) fn body(self: &Rc<Self>, framing: Framing, asked: Asked) -> Body {
        let mut wire = self.wire();
        let limits = &self.client.thread.limits.message;
        wire.reader = BodyReader::new(Decoder::new(framing, limits));
        wire.serial += 1;
        wire.expects_continue = asked.expects_continue;
        if wire.reader.is_done() {
            return Body::Empty;
        }
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        };
        let source = RequestBody::new(Rc::clone(self), wire.serial);
        Body::Stream(Stream::new(Rc::new(source), length))
    }

    /// Ready if the client has gone.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire().poll_gone(cx)
    }

    /// The connection is not to look as if it had ended well.
    pub(super) fn reset(&self) {
        self.wire().stream.reset();
    }
}

impl<S: Transport> Wire<S> {
    /// Ready if the client has gone. Only to be seen while nobody reads a body. A client that
    /// closes for writing alone looks the same, and upstreams are not to work for nobody.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.reader.is_done() {
            return Poll::Pending;
        }
        // Requests that are sent ahead wait here, and no more of them than this.
        while self.input.len() < INPUT {
            match self.input.poll_fill(&mut self.stream, INPUT, cx) {
                Poll::Ready(Ok(Fill::Bytes)) => {}
                Poll::Ready(Ok(Fill::Closed) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    fn poll_head(
        &mut self,
        client: &Client,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RequestError>>> {
        loop {
            match self.head(client) {
                Ok(None) => {}
                Ok(Some(text)) => return Poll::Ready(Some(Ok(text))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match self.input.poll_fill(&mut self.stream, INPUT, cx) {
                Poll::Ready(Ok(Fill::Bytes)) => {}
                Poll::Ready(Ok(Fill::Closed) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    if client.is_leaving()
                        && !self.begun
                        && !std::mem::replace(&mut self.last, true)
                    {
                        self.read_alarm
                            .set(client.thread.limits.client.last_request);
                    }
                    let begun = self.begun;
                    let late = self.read_alarm.poll(cx);
                    return late.map(|()| begun.then_some(Err(RequestError::TimedOut)));
                }
            }
        }
    }

    /// The head, if it is there whole.
    fn head(&mut self, client: &Client) -> Result<Option<Bytes>, RequestError> {
        // An empty line before a request is what old clients send after a body.
        while self.input.starts_with(b"\r\n") {
            self.input.advance(2);
        }
        let Some(first) = self.input.first() else {
            return Ok(None);
        };
        if !std::mem::replace(&mut self.begun, true) {
            self.read_alarm.set(client.thread.limits.client.header);
        }
        if !first.is_ascii_graphic() && **self.input != *b"\r" {
            return Err(h1::RequestError::Malformed.into());
        }
        let limit = client.thread.limits.message.header_bytes;
        match self.scanner.scan(&self.input) {
            Scan::Complete(end) if end <= limit => {
                self.read_alarm.clear();
                self.begun = false;
                Ok(Some(self.input.split_to(end).freeze()))
            }
            Scan::Partial if self.input.len() <= limit => Ok(None),
            Scan::Complete(_) | Scan::Partial => Err(RequestError::HeadTooLarge),
            Scan::BareLineFeed => Err(h1::RequestError::Malformed.into()),
        }
    }
}
