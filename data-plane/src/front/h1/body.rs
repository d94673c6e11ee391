//! The body of a client's request, read when somebody asks for it.
//!
//! Apart from the connection, which outlives it: one that is held for too long must not read
//! from the next request.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use super::connection::Connection;
use crate::message::{BodyError, Frame, Source, Transport};

/// The body of one request.
#[derive(Debug)]
pub(super) struct RequestBody<S> {
    connection: Rc<Connection<S>>,
    serial: u64,
}

impl<S> RequestBody<S> {
    pub(super) fn new(connection: Rc<Connection<S>>, serial: u64) -> Self {
        Self { connection, serial }
    }
}

impl<S: Transport> Source for RequestBody<S> {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut wire = self.connection.wire();
        let wire = &mut *wire;
        if wire.serial != self.serial {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut wire.expects_continue) && wire.input.is_empty() {
            wire.output.put_slice(CONTINUE);
            // What does not go at once goes before the answer.
            let _sent = wire.output.poll_flush(&mut wire.stream, cx);
        }
        let patience = self.connection.client().thread.limits.client.body_progress;
        wire.reader.poll(
            &mut wire.stream,
            &mut wire.input,
            &wire.read_alarm,
            patience,
            cx,
        )
    }

    fn is_end(&self) -> bool {
        let wire = self.connection.wire();
        wire.serial != self.serial || wire.reader.is_done()
    }

    fn release(self: Rc<Self>) {
        // What is left unread is seen when the answer is written: the connection closes then.
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
