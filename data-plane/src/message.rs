//! HTTP as the proxy sees it, whatever the protocol on the wire.
//!
//! Apart from the codecs and below them: routing, filters, retry and forwarding know these
//! types and no other, so that a codec can be replaced without their noticing.

mod body;
mod client;
mod head;
mod meter;
mod text;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub use body::{Body, BodyError, Frame, Source, Stream};
pub use client::{Client, Listener};
pub use head::Head;
pub use meter::Meter;
pub use text::Text;

/// A request, canonical, and who sent it.
#[derive(Debug)]
pub struct Request {
    pub head: Head,
    pub body: Body,
    pub meter: Meter,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    /// Without what frames the message: the codec writes that anew.
    pub headers: HeaderMap,
    pub body: Body,
    /// The length that a response without a body declares: to HEAD, or 304.
    pub declared_length: Option<u64>,
    /// The client's connection is not to be used again.
    pub close: bool,
    /// Status 101: what the client's connection is joined to.
    pub tunnel: Option<Tunnel>,
    pub meter: Meter,
}

/// The upstream's end of an upgraded connection.
pub struct Tunnel {
    pub stream: Box<dyn Duplex>,
    /// What the upstream sent after its 101.
    pub early: Bytes,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel")
            .field("early", &self.early.len())
            .finish_non_exhaustive()
    }
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

/// A connection without any protocol.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}
