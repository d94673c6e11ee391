//! What is being said on a connection to an upstream: the state of one exchange.
//!
//! Apart from the connection's sharing and keeping, so that this part has one owner at a time
//! and no task, channel or pool in it.

use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::net::TcpStream;

use super::ExchangeError;
use crate::alarm::Alarm;
use crate::buffers::INPUT;
use crate::h1::{
    BodyReader, BodySender, Decoder, Fill, Framing, HeadScanner, Input, Output, ResponseError,
    ResponseHead, Scan, SendError, parse_response, request_head,
};
use crate::limits::{Limits, MessageLimits, UpstreamLimits};
use crate::message::{Body, BodyError, Client, Frame, Head};
use crate::thread::Thread;
use crate::upstream::socket::Socket;

/// One connection's stream, buffers and place in the conversation.
#[derive(Debug)]
pub(super) struct Wire {
    /// None once it has gone back to its pool.
    socket: Option<Socket>,
    input: Input,
    output: Output,
    /// Two, because sending and reading may be waited for by two tasks.
    send_alarm: Alarm,
    read_alarm: Alarm,
    upload: BodySender,
    asked_head: bool,
    asked_upgrade: bool,
    scanner: HeadScanner,
    /// Heads of interim answers so far.
    interim: usize,
    reader: BodyReader,
    /// A piece of the body that came with the head.
    ahead: Option<Frame>,
    /// The head of the answer has come.
    answered: bool,
    /// The answer has been read whole, or will not be read further.
    over: bool,
    keep_alive: bool,
}

/// What came with the head of an answer.
#[derive(Debug)]
pub(super) enum Received {
    /// All of the body.
    Whole(Bytes),
    /// A part, or nothing yet; the length in all if it is declared.
    Begun(Option<u64>),
}

impl Wire {
    pub(super) fn new(socket: Socket, thread: &Rc<Thread>) -> Self {
        Self {
            socket: Some(socket),
            input: Input::new(&thread.buffers),
            output: Output::new(&thread.buffers),
            send_alarm: thread.alarms.alarm(),
            read_alarm: thread.alarms.alarm(),
            upload: BodySender::done(),
            asked_head: false,
            asked_upgrade: false,
            scanner: HeadScanner::default(),
            interim: 0,
            reader: BodyReader::default(),
            ahead: None,
            answered: true,
            over: true,
            keep_alive: false,
        }
    }

    /// Makes ready to send a request.
    pub(super) fn begin(&mut self, head: &Head, client: &Client, body: &Body) {
        let length = body.length();
        request_head(self.output.head(), head, client, length);
        self.upload = match length {
            Some(0) => BodySender::done(),
            Some(_) => BodySender::plain(),
            None => BodySender::chunked(true),
        };
        self.asked_head = head.method == Method::HEAD;
        self.asked_upgrade = head.upgrade;
        self.scanner.reset();
        self.interim = 0;
        self.answered = false;
        self.over = false;
        self.keep_alive = false;
    }

    /// Sends the request, and is ready with the head of the answer.
    pub(super) fn poll_answer(
        &mut self,
        headers: &mut HeaderMap,
        body: &mut Body,
        limits: &Limits,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, ExchangeError>> {
        if !self.upload.is_over(&self.output)
            && let Poll::Ready(Err(error)) = self.poll_upload(body, &limits.upstream, cx)
        {
            return Poll::Ready(Err(error));
        }
        loop {
            match self.head(headers, &limits.message) {
                Ok(None) => {}
                Ok(Some(response)) => {
                    self.answered = true;
                    self.read_alarm.clear();
                    return Poll::Ready(Ok(response));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            let Some(socket) = &mut self.socket else {
                return Poll::Ready(Err(ExchangeError::Cut));
            };
            match self.input.poll_fill(&mut socket.stream, INPUT, cx) {
                Poll::Ready(Ok(Fill::Bytes)) => {}
                Poll::Ready(Ok(Fill::Closed) | Err(_)) => {
                    let silent = self.input.is_empty() && self.interim == 0;
                    return Poll::Ready(Err(match silent {
                        true => ExchangeError::Unanswered,
                        false => ExchangeError::Cut,
                    }));
                }
                Poll::Pending => {
                    let late = self.read_alarm.poll(cx);
                    return late.map(|()| Err(ExchangeError::TimedOut));
                }
            }
        }
    }

    /// Sends what is left of the request; the wait for the answer begins with its end.
    pub(super) fn poll_upload(
        &mut self,
        body: &mut Body,
        limits: &UpstreamLimits,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ExchangeError>> {
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(Ok(()));
        };
        let alarm = (&self.send_alarm, limits.progress);
        let polled = self
            .upload
            .poll(&mut socket.stream, &mut self.output, body, alarm, cx);
        polled.map(|result| match result {
            Ok(()) => {
                if !self.answered {
                    self.read_alarm.set(limits.response_header);
                }
                Ok(())
            }
            Err(SendError::Body(error)) => Err(ExchangeError::Request(error)),
            Err(SendError::Stalled) => Err(ExchangeError::TimedOut),
        })
    }

    /// Begins with the body whose head has come.
    pub(super) fn receive(
        &mut self,
        framing: Framing,
        keep_alive: bool,
        limits: &MessageLimits,
    ) -> Result<Received, ExchangeError> {
        self.keep_alive = keep_alive;
        self.reader = BodyReader::new(Decoder::new(framing, limits));
        let first = self
            .reader
            .take(&mut self.input)
            .map_err(|_| ResponseError::Malformed)?;
        self.over = self.reader.is_done();
        Ok(match first {
            None if self.over => Received::Whole(Bytes::new()),
            Some(Frame::Data(bytes)) if self.over => Received::Whole(bytes),
            first => {
                // Trailers alone: a body without data that does have an end to tell of.
                self.over = false;
                self.ahead = first;
                Received::Begun(match framing {
                    Framing::Length(length) => Some(length),
                    Framing::None | Framing::Chunked | Framing::UntilClose => None,
                })
            }
        })
    }

    /// The next piece of the body.
    pub(super) fn poll_frame(
        &mut self,
        patience: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some(socket) = self.socket.as_mut().filter(|_| !self.over) else {
            return Poll::Ready(None);
        };
        let polled = match self.ahead.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.reader.poll(
                &mut socket.stream,
                &mut self.input,
                &self.read_alarm,
                patience,
                cx,
            ),
        };
        match &polled {
            Poll::Ready(Some(Err(_))) => self.end(),
            Poll::Ready(_) => self.over = self.reader.is_done(),
            Poll::Pending => {}
        }
        polled
    }

    /// Reads no further. The connection can be used again only if this was the end anyway.
    pub(super) fn end(&mut self) {
        if !self.over {
            self.over = true;
            self.keep_alive = false;
        }
        self.read_alarm.clear();
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn is_sent(&self) -> bool {
        self.upload.is_over(&self.output)
    }

    /// Whether another request may follow. What came after the answer belongs to no request.
    pub(super) fn is_reusable(&self) -> bool {
        self.over && self.keep_alive && self.upload.is_done(&self.output) && self.input.is_empty()
    }

    pub(super) fn asked_upgrade(&self) -> bool {
        self.asked_upgrade
    }

    /// What came after a head that changed the protocol.
    pub(super) fn take_input(&mut self) -> Bytes {
        self.input.split().freeze()
    }

    pub(super) fn stream(&mut self) -> Option<&mut TcpStream> {
        self.socket.as_mut().map(|socket| &mut socket.stream)
    }

    /// Ends the connection for whoever reads from it.
    pub(super) fn shut_down(&self) {
        if let Some(socket) = &self.socket {
            socket.shut_down();
        }
    }

    /// Gives back memory, and the socket.
    pub(super) fn finish(&mut self) -> Option<Socket> {
        self.input.rest();
        self.output.rest();
        self.socket.take()
    }

    /// The head of the final answer, if it is there.
    fn head(
        &mut self,
        headers: &mut HeaderMap,
        limits: &MessageLimits,
    ) -> Result<Option<ResponseHead>, ExchangeError> {
        loop {
            let end = match self.scanner.scan(&self.input) {
                Scan::Complete(end) if end <= limits.header_bytes => end,
                Scan::Partial if self.input.len() <= limits.header_bytes => return Ok(None),
                Scan::Complete(_) | Scan::Partial => return Err(ExchangeError::TooLarge),
                Scan::BareLineFeed => return Err(ResponseError::Malformed.into()),
            };
            let text = self.input.split_to(end).freeze();
            // From here on the request is not repeated: its header map may be used again.
            let spare = std::mem::take(headers);
            let response = parse_response(&text, spare, self.asked_head, limits)?;
            let interim = response.status.is_informational()
                && response.status != StatusCode::SWITCHING_PROTOCOLS;
            if !interim {
                return Ok(Some(response));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(ExchangeError::TooLarge);
            }
        }
    }
}

/// Interim answers before the final one.
const MAX_INTERIM: usize = 16;
