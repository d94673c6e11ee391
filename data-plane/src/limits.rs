//! Every limit of the request path, in one place.
//!
//! Apart from the code that keeps them, so that they can be read, set and reviewed together.
//! Whatever comes from outside is bounded in size, number and time.

mod check;

use std::time::Duration;

pub use check::LimitError;
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as duration;
use serde::{Deserialize, Serialize};

/// Limits of clients, upstreams and memory. Each thread keeps them for itself, but for what is
/// said to be of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    pub client: ClientLimits,
    pub http2: Http2Limits,
    pub upstream: UpstreamLimits,
    pub message: MessageLimits,
}

/// What one client may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientLimits {
    /// Open connections of one thread; one more is closed as soon as it is accepted.
    pub connections_per_thread: usize,
    /// From an accepted connection of an HTTPS listener to the end of its TLS handshake, however
    /// the bytes come: also the time that a first certificate is waited for.
    #[serde(with = "duration")]
    pub handshake: Duration,
    /// From a connection's beginning, or the end of its TLS handshake, to its first byte; where it
    /// has to begin with a header of the PROXY protocol, from its beginning to the end of that, and
    /// from there to what comes next.
    #[serde(with = "duration")]
    pub first_byte: Duration,
    /// From the first byte of a request to the end of its header fields, however the bytes come.
    #[serde(with = "duration")]
    pub header: Duration,
    /// Between two requests of an HTTP/1 connection.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// From when the proxy or the listener is to end: for a client that has nothing open to ask
    /// once more. If its connection were closed at once, it might just be asking. At most half of
    /// gracePeriod.
    #[serde(with = "duration")]
    pub last_request: Duration,
    /// Without a byte of a request body that is asked for.
    #[serde(with = "duration")]
    pub body_progress: Duration,
    /// Without a byte of a response being taken.
    #[serde(with = "duration")]
    pub write_progress: Duration,
    /// Without a byte either way on an upgraded connection.
    #[serde(with = "duration")]
    pub tunnel_idle: Duration,
    /// For the client to take the last response after which the connection closes.
    #[serde(with = "duration")]
    pub linger: Duration,
}

/// What one HTTP/2 connection may take, besides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Http2Limits {
    /// Requests at a time.
    pub streams: u32,
    /// Bytes of one request body that the client may send ahead.
    pub stream_window: u32,
    /// Bytes of all request bodies that the client may send ahead.
    pub connection_window: u32,
    /// Bytes of one response body held for a client that does not take them.
    pub send_buffer: usize,
    /// Requests that the client has reset and that are not yet cleared away (Rapid Reset).
    pub pending_resets: usize,
    /// Requests that we were made to reset (MadeYouReset).
    pub local_resets: usize,
    /// Without a request.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// Age at which a connection is asked to end, so that clients spread anew.
    #[serde(with = "duration")]
    pub age: Duration,
}

/// What one upstream may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct UpstreamLimits {
    /// For a connection to be made.
    #[serde(with = "duration")]
    pub connect: Duration,
    /// From the last byte of a request to the end of the response's header fields.
    #[serde(with = "duration")]
    pub response_header: Duration,
    /// Without a byte of a response body that is asked for, or of a request body being taken.
    #[serde(with = "duration")]
    pub progress: Duration,
    /// For which an unused connection is kept.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// Connections of one thread to all endpoints, open or being made; those that nobody uses
    /// are closed for others.
    pub connections_per_thread: usize,
    /// Connections of all threads to all endpoints, open or being made; those that nobody uses are
    /// closed for others, of other threads within about a second.
    pub connections_per_process: usize,
    /// Connections of one thread to one endpoint, open or being made.
    pub connections_per_endpoint: usize,
    /// Unused connections of one thread to one endpoint.
    pub idle_per_endpoint: usize,
    /// Endpoints tried for one request.
    pub tries: usize,
    /// For a name of an external upstream that is not resolved yet.
    #[serde(with = "duration")]
    pub resolve: Duration,
}

/// What one message may take, in either direction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MessageLimits {
    /// Bytes of a request's target.
    pub target: usize,
    /// Bytes of first line and header fields.
    pub header_bytes: usize,
    /// Header fields, at most 128; crumbs of a cookie count.
    pub header_fields: usize,
    /// Bytes of chunk extensions in one body.
    pub chunk_extensions: usize,
    /// Bytes of trailer fields.
    pub trailer_bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections_per_thread: 16_384,
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            last_request: Duration::from_secs(5),
            body_progress: Duration::from_secs(60),
            write_progress: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
            linger: Duration::from_secs(2),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 128,
            stream_window: 64 * 1024,
            connection_window: 256 * 1024,
            send_buffer: 64 * 1024,
            pending_resets: 20,
            local_resets: 500,
            idle: Duration::from_secs(180),
            age: Duration::from_secs(3600),
        }
    }
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response_header: Duration::from_secs(60),
            progress: Duration::from_secs(300),
            idle: Duration::from_secs(60),
            connections_per_thread: 16_384,
            connections_per_process: 65_536,
            connections_per_endpoint: 4096,
            idle_per_endpoint: 256,
            tries: 3,
            resolve: Duration::from_secs(5),
        }
    }
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            target: 8 * 1024,
            header_bytes: 32 * 1024,
            header_fields: 128,
            chunk_extensions: 16 * 1024,
            trailer_bytes: 8 * 1024,
        }
    }
}
