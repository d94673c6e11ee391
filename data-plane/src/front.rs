//! Connections of clients: what they ask is read into our `Head` and `Body`, and the answer is
//! written in their protocol.
//!
//! Apart from the proxy, which gets a request and gives a response and cannot tell the
//! protocols apart.

mod h1;
mod h2;
mod request;
mod sniff;

use std::rc::Rc;

use bytes::Bytes;

pub use request::RequestError;

use self::sniff::{Sniffed, sniff};
use crate::message::{Client, Duplex, Meter, Request, Response, Transport, Tunnel};
use crate::protocol::Agreed;

/// What answers requests.
pub trait Handler {
    fn handle(&self, request: Request) -> impl Future<Output = Response>;

    /// Answers what is not a request.
    fn refuse(&self, error: RequestError, meter: Meter) -> Response;

    /// Joins a client that has changed the protocol with its upstream. `early` is what the
    /// client has sent already.
    fn join(
        &self,
        client: (Box<dyn Duplex>, Bytes),
        tunnel: Tunnel,
        meter: Meter,
    ) -> impl Future<Output = ()>;
}

/// Serves one connection to its end, in the protocol that was agreed on or, if none was, in the one
/// that the client begins with.
pub async fn serve<S: Transport, H: Handler + 'static>(
    mut stream: S,
    agreed: Option<Agreed>,
    client: Rc<Client>,
    handler: Rc<H>,
) {
    let alarm = client.thread.alarms.alarm();
    match sniff(&mut stream, agreed, &alarm, &client).await {
        Some(Sniffed::H1(early)) => h1::serve(stream, early, client, handler).await,
        Some(Sniffed::H2(early)) => {
            h2::serve(stream, early.into_bytes(), client, handler).await;
        }
        None => {}
    }
}
