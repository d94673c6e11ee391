//! The body of an HTTP/2 request.
//!
//! Apart from HTTP/1's: h2 finds its end and checks its length; here is only how long a client
//! may let us wait.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use http::HeaderMap;
use http_body::Body as _;
use hyper::body::Incoming;

use super::streams::{Progress, Slot};
use crate::{
    alarm::Alarm,
    filter,
    message::{Body, BodyError, Client, Frame, Source, Stream},
};

pub(super) fn request_body(incoming: Incoming, slot: &Slot, client: &Rc<Client>) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    let length = incoming.size_hint().exact();
    let source = RequestBody {
        incoming: RefCell::new(incoming),
        alarm: client.thread.alarms.alarm(),
        client: Rc::clone(client),
        progress: Rc::clone(slot.progress()),
        waiting: Cell::new(false),
        over: Cell::new(false),
    };
    Body::Stream(Stream::new(Rc::new(source), length))
}

#[derive(Debug)]
struct RequestBody {
    incoming: RefCell<Incoming>,
    client: Rc<Client>,
    progress: Rc<Progress>,
    alarm: Alarm,
    waiting: Cell<bool>,
    over: Cell<bool>,
}

impl RequestBody {
    fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut incoming = self.incoming.borrow_mut();
        loop {
            let polled = Pin::new(&mut *incoming).poll_frame(cx);
            return Poll::Ready(match polled {
                Poll::Pending => return self.wait(cx),
                Poll::Ready(None) => None,
                Poll::Ready(Some(Err(_))) => Some(Err(BodyError::Cut)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => {
                        let received = &self.progress.received;
                        received.set(received.get() + bytes.len() as u64);
                        Some(Ok(Frame::Data(bytes)))
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(fields) => Some(Ok(Frame::Trailers(Box::new(trailers(fields))))),
                        Err(_) => continue,
                    },
                },
            });
        }
    }

    fn wait(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if !self.waiting.replace(true) {
            let patience = self.client.thread.limits.client.body_progress;
            self.alarm.set(patience);
        }
        self.alarm.poll(cx).map(|()| Some(Err(BodyError::Stalled)))
    }
}

impl Source for RequestBody {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.poll_incoming(cx);
        if polled.is_ready() && self.waiting.replace(false) {
            self.alarm.clear();
        }
        match &polled {
            Poll::Ready(None | Some(Err(_))) => self.over.set(true),
            Poll::Ready(Some(Ok(_))) => self.over.set(self.incoming.borrow().is_end_stream()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end(&self) -> bool {
        self.over.get()
    }

    fn release(self: Rc<Self>) {
        // Dropped before its end, it makes h2 tell the client to stop.
    }
}

fn trailers(mut fields: HeaderMap) -> HeaderMap {
    let refused: Vec<_> = fields
        .keys()
        .filter(|name| !filter::may_be_trailer(name.as_str()))
        .cloned()
        .collect();
    for name in refused {
        fields.remove(name);
    }
    fields
}
