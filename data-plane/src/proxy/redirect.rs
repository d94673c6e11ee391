//! Sends whoever comes unencrypted to HTTPS.
//!
//! Apart from forwarding: it is the one answer that a route gives without an upstream.

use std::num::NonZero;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Held, rescue::REASON};
use crate::message::{Body, Client, Head};
use crate::protocol::Scheme;
use crate::router::RouteRule;
use crate::upstream::Answer;

/// The answer to a request that came unencrypted and is to come by HTTPS: not before there is a
/// certificate for its host.
pub(super) fn to_https(
    held: &Held,
    rule: &RouteRule,
    head: &Head,
    client: &Client,
) -> Option<Answer> {
    let port = rule.https_port?;
    if client.listener.scheme == Scheme::Https || !held.active.certificates.has(head.host()) {
        return None;
    }
    let location = location(head.host(), port, head.target.as_str());
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(REASON, HeaderValue::from_static("redirect-to-https"));
    // It is so only while there is a certificate.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What is canonical has no byte that a field cannot have.
    headers.insert(header::LOCATION, HeaderValue::try_from(location).ok()?);
    headers.insert(header::CONTENT_TYPE, TEXT);
    Some(Answer {
        // Of any method: it is asked again as it was.
        status: StatusCode::PERMANENT_REDIRECT,
        headers,
        body: Body::Full(Bytes::from_static(b"308 use HTTPS\n")),
        declared_length: None,
        tunnel: None,
    })
}

fn location(host: &str, port: NonZero<u16>, target: &str) -> String {
    match port.get() {
        HTTPS => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    }
}

/// Of the scheme `https` (RFC 9110, section 4.2.2).
const HTTPS: u16 = 443;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
