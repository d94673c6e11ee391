//! Answers a CA that asks whether a host is ours (ACME, RFC 8555, section 8.3, and RFC 8737).
//!
//! Apart from forwarding, and before it: no route decides about what a CA asks of us. What it asks
//! of another ACME client, such as one that a route leads to, passes.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{Held, Proxy};
use crate::challenge::Question;
use crate::message::{Body, Head, Meter, Response};
use crate::snapshot::{KeyAuthorization, Token};

/// The token that a request asks for, if it may be one.
pub(super) fn token(head: &Head) -> Option<&str> {
    let token = head.path().strip_prefix(PATH)?;
    matches!(head.method, Method::GET | Method::HEAD).then_some(token)
}

impl Proxy {
    /// What a request for this token of this host is answered by. What the version does not say is
    /// asked of the control plane, for hosts that are routed here.
    pub(super) async fn challenge(
        &self,
        held: &Held,
        host: &str,
        token: &str,
    ) -> Option<KeyAuthorization> {
        if let Some(found) = held.active.challenges.by_http(host, token) {
            return Some(found.clone());
        }
        let token = Token::parse(token).ok()?;
        self.ask(held, host, Some(token)).await
    }

    /// What a handshake for this host is answered by, by which a CA asks.
    pub(super) async fn challenge_by_tls(&self, host: &str) -> Option<KeyAuthorization> {
        let held = Rc::clone(&self.active.borrow());
        if let Some(found) = held.active.challenges.by_tls(host) {
            return Some(found.clone());
        }
        self.ask(&held, host, None).await
    }

    async fn ask(&self, held: &Held, host: &str, token: Option<Token>) -> Option<KeyAuthorization> {
        let active = &held.active;
        if !active.router.names_host(host) && !active.challenges.names_host(host) {
            return None;
        }
        let host = host.into();
        self.asking.ask(Question { host, token }).await
    }
}

pub(super) fn response(found: &KeyAuthorization, method: &Method, mut meter: Meter) -> Response {
    meter.challenge();
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, TYPE);
    let length = (*method == Method::HEAD).then_some(found.len() as u64);
    Response {
        status: StatusCode::OK,
        headers,
        body: Body::Full(Bytes::copy_from_slice(found.as_bytes())),
        declared_length: length,
        close: false,
        tunnel: None,
        meter,
    }
}

const PATH: &str = "/.well-known/acme-challenge/";

/// As the standard has it; CAs do not look.
const TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");
