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
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub use request::RequestError;

use self::sniff::{Sniffed, sniff};
use crate::message::{Client, Duplex, Meter, Request, Response, Tunnel};

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

/// A connection of a client, encrypted or not.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Makes the client see that the connection did not end as it should.
    fn reset(&self);
}

impl Transport for TcpStream {
    fn reset(&self) {
        // If it fails, the connection is gone already.
        let _gone = self.set_zero_linger();
    }
}

/// Serves one connection to its end, in the protocol that the client begins with.
pub async fn serve<S: Transport, H: Handler + 'static>(
    mut stream: S,
    client: Rc<Client>,
    handler: Rc<H>,
) {
    let alarm = client.thread.alarms.alarm();
    match sniff(&mut stream, &alarm, &client).await {
        Some(Sniffed::H1(early)) => h1::serve(stream, early, client, handler).await,
        Some(Sniffed::H2(early)) => {
            h2::serve(stream, early.into_bytes(), client, handler).await;
        }
        None => {}
    }
}
