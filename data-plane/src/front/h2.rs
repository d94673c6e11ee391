//! One HTTP/2 connection of a client, by hyper: many requests at a time.
//!
//! Apart from HTTP/1 in everything but what a request means. Frames, windows and the floods
//! that can be made of them are hyper's and h2's; how long anything may take is kept here.

mod answer;
mod body;
mod head;
mod replay;
mod streams;

use std::{
    convert::Infallible,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::BytesMut;
use futures::future::poll_fn;
use http::Method;
use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::TokioIo;

use self::{
    answer::{Outgoing, outgoing},
    body::request_body,
    head::read_head,
    replay::Replay,
    streams::{End, Executor, Slot, Streams},
};
use super::Handler;
use crate::message::{Client, Meter, Request, Transport};
use crate::protocol::Protocol;

/// Serves a connection to its end. `early` has been read from it already.
pub(super) async fn serve<S: Transport, H: Handler + 'static>(
    stream: S,
    early: BytesMut,
    client: Rc<Client>,
    handler: Rc<H>,
) {
    let streams = Rc::new(Streams::new(&client));
    let service = {
        let (streams, client) = (Rc::clone(&streams), Rc::clone(&client));
        service_fn(move |request: http::Request<Incoming>| {
            let slot = streams.begin();
            let (client, handler) = (Rc::clone(&client), Rc::clone(&handler));
            async move { Ok::<_, Infallible>(answer(request, slot, &client, &*handler).await) }
        })
    };
    let limits = &client.thread.limits;
    let mut builder = Builder::new(Executor::new(Rc::clone(&streams)));
    builder
        .auto_date_header(false)
        .initial_connection_window_size(limits.http2.connection_window)
        .initial_stream_window_size(limits.http2.stream_window)
        .max_concurrent_streams(limits.http2.streams)
        .max_header_list_size(u32::try_from(limits.message.header_bytes).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(limits.http2.local_resets)
        .max_pending_accept_reset_streams(limits.http2.pending_resets)
        .max_send_buf_size(limits.http2.send_buffer);
    let io = TokioIo::new(Replay::new(stream, early));
    let mut connection = pin!(builder.serve_connection(io, service));
    poll_fn(|cx: &mut Context<'_>| {
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match streams.poll_end(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(End::Shutdown) => connection.as_mut().graceful_shutdown(),
                Poll::Ready(End::Cut) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

async fn answer<H: Handler>(
    request: http::Request<Incoming>,
    slot: Slot,
    client: &Rc<Client>,
    handler: &H,
) -> http::Response<Outgoing> {
    let (parts, body) = request.into_parts();
    let to_head = parts.method == Method::HEAD;
    let response = match read_head(parts, client) {
        Ok(head) => {
            let meter = Meter::begin(client, &head);
            let body = request_body(body, &slot, client);
            handler.handle(Request { head, body, meter }).await
        }
        Err(error) => handler.refuse(error, Meter::begin_unread(client, Protocol::Http2)),
    };
    outgoing(response, to_head, slot, client)
}
