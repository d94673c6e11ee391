//! One HTTP/1 connection of a client: request after request, each answered before the next.
//!
//! Apart from the state of the connection, which the request's body shares with this loop.

mod body;
mod connection;
mod head;
mod raw;
mod respond;

use std::{pin::pin, rc::Rc, task::Poll};

use futures::future::poll_fn;

use self::{
    connection::Connection,
    head::{Asked, read_head},
    raw::Raw,
    respond::After,
};
use super::{Handler, RequestError};
use crate::h1::{Input, parse_request};
use crate::message::{Client, Meter, Request, Response, Transport};
use crate::protocol::Protocol;

/// Serves a connection to its end. `early` has been read from it already.
pub(super) async fn serve<S: Transport, H: Handler>(
    stream: S,
    early: Input,
    client: Rc<Client>,
    handler: Rc<H>,
) {
    let connection = Connection::new(stream, early, client);
    loop {
        let (response, asked) = match next_request(&connection).await {
            None => return,
            Some(Ok((request, asked))) => match answer(&connection, &*handler, request).await {
                None => return,
                Some(response) => (response, asked),
            },
            Some(Err(error)) => {
                let meter = Meter::begin_unread(connection.client(), Protocol::Http11);
                (handler.refuse(error, meter), Asked::nothing())
            }
        };
        match connection.respond(response, asked).await {
            After::Next => {}
            After::Close => return connection.close().await,
            After::Cut => return,
            After::Broken => return connection.reset(),
            After::Joined(tunnel, meter) => {
                let early = connection.take_input();
                let stream = Box::new(Raw::new(connection));
                return handler.join((stream, early), tunnel, meter).await;
            }
        }
    }
}

/// The next request; `None` at the end of the connection.
async fn next_request<S: Transport>(
    connection: &Rc<Connection<S>>,
) -> Option<Result<(Request, Asked), RequestError>> {
    let text = match connection.head_text().await? {
        Ok(text) => text,
        Err(error) => return Some(Err(error)),
    };
    let client = connection.client();
    let limits = &client.thread.limits.message;
    let parsed = parse_request(&text, connection.spare_headers(), limits)
        .map_err(RequestError::from)
        .and_then(|parsed| {
            let framing = parsed.framing;
            let (head, asked) = read_head(parsed, client.listener.scheme)?;
            Ok((head, asked, framing))
        });
    Some(parsed.map(|(head, asked, framing)| {
        let meter = Meter::begin(client, &head);
        let body = connection.body(framing, asked);
        (Request { head, body, meter }, asked)
    }))
}

/// Waits for the response; `None` if the client goes away meanwhile.
async fn answer<S: Transport, H: Handler>(
    connection: &Rc<Connection<S>>,
    handler: &H,
    request: Request,
) -> Option<Response> {
    let mut handling = pin!(handler.handle(request));
    poll_fn(|cx| match handling.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => connection.poll_gone(cx).map(|()| None),
    })
    .await
}
