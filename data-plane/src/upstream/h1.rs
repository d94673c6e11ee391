//! One HTTP/1.1 connection to an upstream, and one request at a time on it.
//!
//! Apart from the pools: this file knows what may be said next, and whether the connection can
//! be used again. It is shared between whoever reads the answer and, while a long request body
//! is still being sent, the task that sends it.

mod wire;

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    task::{Context, Poll},
};

use futures::future::poll_fn;
use http::{HeaderMap, StatusCode};
use tokio::{net::TcpStream, task::AbortHandle};

use self::wire::{Received, Wire};
use super::{raw::Raw, socket::Socket};
use crate::h1::{ResponseError, ResponseHead};
use crate::message::{Body, BodyError, Client, Frame, Head, Source, Stream, Tunnel};
use crate::thread::Thread;

/// An open connection, for one request: its socket goes on to the next.
#[derive(Debug)]
pub struct Connection {
    wire: RefCell<Wire>,
    thread: Rc<Thread>,
    /// Sends the rest of a request body.
    upload: RefCell<Option<AbortHandle>>,
}

/// What an upstream answers.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    pub declared_length: Option<u64>,
    pub tunnel: Option<Tunnel>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The client's body did not come whole.
    #[error("exchange: the request's {0}")]
    Request(BodyError),
    /// Not a byte came back.
    #[error("exchange: closed without an answer")]
    Unanswered,
    #[error("exchange: closed in the middle of an answer")]
    Cut,
    #[error("exchange: the answer's header fields are too large")]
    TooLarge,
    #[error("exchange: {0}")]
    Malformed(#[from] ResponseError),
    #[error("exchange: changes the protocol unasked")]
    Upgrade,
    #[error("exchange: no answer in time")]
    TimedOut,
}

impl Connection {
    pub(super) fn new(socket: Socket, thread: &Rc<Thread>) -> Rc<Self> {
        Rc::new(Self {
            wire: RefCell::new(Wire::new(socket, thread)),
            thread: Rc::clone(thread),
            upload: RefCell::new(None),
        })
    }

    /// Sends a request and waits for the head of its answer. The header map of `head` is used
    /// for the answer once the request cannot be repeated any more.
    pub async fn exchange(
        self: Rc<Self>,
        head: &mut Head,
        client: &Client,
        body: &mut Body,
    ) -> Result<Answer, ExchangeError> {
        self.wire.borrow_mut().begin(head, client, body);
        let response = poll_fn(|cx| {
            let mut wire = self.wire.borrow_mut();
            wire.poll_answer(&mut head.headers, body, &self.thread.limits, cx)
        })
        .await?;
        self.answer(response, body)
    }

    fn answer(
        self: Rc<Self>,
        response: ResponseHead,
        body: &mut Body,
    ) -> Result<Answer, ExchangeError> {
        let mut answer = Answer {
            status: response.status,
            headers: response.headers,
            body: Body::Empty,
            declared_length: response.declared_length,
            tunnel: None,
        };
        let mut wire = self.wire.borrow_mut();
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            if !(response.websocket && wire.asked_upgrade()) {
                return Err(ExchangeError::Upgrade);
            }
            let early = wire.take_input();
            drop(wire);
            let stream = Box::new(Raw::new(self));
            answer.tunnel = Some(Tunnel { stream, early });
            return Ok(answer);
        }
        let limits = &self.thread.limits.message;
        let received = wire.receive(response.framing, response.keep_alive, limits)?;
        let sent = wire.is_sent();
        drop(wire);
        if !sent {
            self.send_rest(std::mem::replace(body, Body::Empty));
        }
        match received {
            Received::Whole(bytes) => {
                answer.body = Body::full(bytes);
                self.settle();
            }
            Received::Begun(length) => {
                answer.body = Body::Stream(Stream::new(self, length));
            }
        }
        Ok(answer)
    }

    /// Goes on sending the request's body while its answer is passed on.
    fn send_rest(self: &Rc<Self>, mut body: Body) {
        let connection = Rc::clone(self);
        let abort = self.thread.tasks.spawn(async move {
            let sent = poll_fn(|cx| {
                let mut wire = connection.wire.borrow_mut();
                wire.poll_upload(&mut body, &connection.thread.limits.upstream, cx)
            });
            match sent.await {
                Ok(()) => connection.settle(),
                // Both ends have to see that the request did not come whole.
                Err(_) => connection.wire.borrow().shut_down(),
            }
        });
        self.upload.replace(Some(abort));
    }

    /// Puts the socket back once request and answer are over, if it can be used again.
    fn settle(self: &Rc<Self>) {
        let mut wire = self.wire.borrow_mut();
        if !wire.is_over() {
            return;
        }
        if wire.is_reusable() {
            if let Some(socket) = wire.finish() {
                socket.put_back();
            }
        } else if let Some(upload) = self.upload.take() {
            upload.abort();
        }
    }

    /// Bytes as they come, once the protocol has changed.
    pub(super) fn poll_raw<T>(
        &self,
        poll: impl FnOnce(&mut TcpStream) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.wire.borrow_mut().stream() {
            Some(stream) => poll(stream),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Source for Connection {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let patience = self.thread.limits.upstream.progress;
        self.wire.borrow_mut().poll_frame(patience, cx)
    }

    fn is_end(&self) -> bool {
        self.wire.borrow().is_over()
    }

    fn release(self: Rc<Self>) {
        self.wire.borrow_mut().end();
        self.settle();
    }
}
