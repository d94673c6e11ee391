//! Writes heads. What frames a message is always written here, anew, and never passed on.
//!
//! Apart from parsing: the two share no code, and what is written must be the one form that
//! every reader reads alike.

use http::{HeaderMap, Method, StatusCode};

use super::{Framing, framing::may_have_body};
use crate::message::{Client, Head};

/// Writes the head of a request to an upstream.
pub fn request_head(out: &mut Vec<u8>, head: &Head, client: &Client, length: Option<u64>) {
    put(
        out,
        &[
            head.method.as_str().as_bytes(),
            b" ",
            head.target.as_bytes(),
            b" HTTP/1.1\r\n",
        ],
    );
    put(out, &[b"host: ", head.authority.as_bytes(), b"\r\n"]);
    put_fields(out, &head.headers);
    out.extend_from_slice(&client.forwarded);
    if !head.authority.is_empty() {
        put(
            out,
            &[b"x-forwarded-host: ", head.authority.as_bytes(), b"\r\n"],
        );
    }
    match length {
        None => out.extend_from_slice(CHUNKED),
        Some(0) if !expects_body(&head.method) => {}
        Some(length) => put_length(out, length),
    }
    // `TE` holds for this connection alone, and has to say so (RFC 9110, 10.1.4).
    out.extend_from_slice(match (head.upgrade, head.takes_trailers) {
        (false, false) => b"",
        (true, false) => UPGRADE,
        (false, true) => b"connection: te\r\nte: trailers\r\n",
        (true, true) => b"connection: upgrade, te\r\nupgrade: websocket\r\nte: trailers\r\n",
    });
    out.extend_from_slice(b"\r\n");
}

/// How a response to a client ends, and what becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFraming {
    pub framing: Framing,
    /// Declared although there is no body.
    pub declared_length: Option<u64>,
    pub close: bool,
    /// The client speaks HTTP/1.0 and is told that the connection stays.
    pub keep_alive: bool,
}

/// Writes the head of a response to a client.
pub fn response_head(
    out: &mut Vec<u8>,
    status: StatusCode,
    headers: &HeaderMap,
    framing: ResponseFraming,
    date: &[u8],
) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let reason = status.canonical_reason().unwrap_or_default().as_bytes();
        put(
            out,
            &[
                b"HTTP/1.1 ",
                status.as_str().as_bytes(),
                b" ",
                reason,
                b"\r\n",
            ],
        );
    }
    put_fields(out, headers);
    if !headers.contains_key(http::header::DATE) && status != StatusCode::SWITCHING_PROTOCOLS {
        put(out, &[b"date: ", date, b"\r\n"]);
    }
    match framing.framing {
        Framing::Chunked => out.extend_from_slice(CHUNKED),
        Framing::Length(length) => put_length(out, length),
        Framing::None => match framing.declared_length {
            Some(length) if may_declare_length(status) => put_length(out, length),
            Some(_) | None => {}
        },
        Framing::UntilClose => {}
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        out.extend_from_slice(UPGRADE);
    } else if framing.close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if framing.keep_alive {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn put_fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        put(
            out,
            &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"],
        );
    }
}

fn put_length(out: &mut Vec<u8>, length: u64) {
    let mut digits = itoa::Buffer::new();
    put(
        out,
        &[
            b"content-length: ",
            digits.format(length).as_bytes(),
            b"\r\n",
        ],
    );
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Whether a response of this status may say how long a body would be.
fn may_declare_length(status: StatusCode) -> bool {
    status == StatusCode::NOT_MODIFIED || may_have_body(status)
}

/// Methods whose empty body is said to be empty (RFC 9110, 8.6).
fn expects_body(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    )
}

const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";

const UPGRADE: &[u8] = b"connection: upgrade\r\nupgrade: websocket\r\n";
