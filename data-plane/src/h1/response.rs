//! The head of a response, parsed and sorted by what its fields are for.
//!
//! Apart from requests, since what an upstream may say is different: a status may forbid a
//! body, and a body may end with the connection.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Framing, FramingError, MAX_FIELDS, framing::FramingFields};
use crate::{
    filter::{self, ConnectionOptions, ResponseField},
    limits::MessageLimits,
};

/// What an upstream answers.
#[derive(Debug)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    pub framing: Framing,
    /// The length of the body that is not sent: to HEAD, or with 304.
    pub declared_length: Option<u64>,
    /// The connection can be used again after the body.
    pub keep_alive: bool,
    /// Goes on in the WebSocket protocol.
    pub websocket: bool,
}

/// Why a head is not a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("response: malformed")]
    Malformed,
    #[error("response: too many header fields")]
    TooManyFields,
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// Parses a whole head: the answer to a request, HEAD or another. `headers` is used again, for
/// its memory.
pub fn parse_response(
    text: &Bytes,
    mut headers: HeaderMap,
    head: bool,
    limits: &MessageLimits,
) -> Result<ResponseHead, ResponseError> {
    headers.clear();
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, text, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyFields),
        Ok(httparse::Status::Partial) | Err(_) => return Err(ResponseError::Malformed),
    }
    let (Some(code), Some(version)) = (parsed.code, parsed.version) else {
        return Err(ResponseError::Malformed);
    };
    if parsed.headers.len() > limits.header_fields {
        return Err(ResponseError::TooManyFields);
    }
    let status = StatusCode::from_u16(code).map_err(|_| ResponseError::Malformed)?;
    let http10 = version == 0;
    let mut framing = FramingFields::default();
    let mut connection = ConnectionOptions::default();
    let mut websocket = false;
    for field in parsed.headers.iter() {
        let name =
            HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| ResponseError::Malformed)?;
        match filter::response_field(name.as_str()) {
            ResponseField::Forwarded => {
                let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value))
                    .map_err(|_| ResponseError::Malformed)?;
                headers.append(name, value);
            }
            ResponseField::Dropped => {}
            ResponseField::ContentLength => framing.content_length(field.value),
            ResponseField::TransferEncoding => framing.transfer_encoding(field.value),
            ResponseField::Connection => connection.add(field.value),
            ResponseField::Upgrade => websocket |= field.value.eq_ignore_ascii_case(b"websocket"),
        }
    }
    if connection.names_others {
        for field in parsed.headers.iter() {
            if field.name.eq_ignore_ascii_case("connection") {
                filter::remove_named(&mut headers, field.value);
            }
        }
    }
    Ok(ResponseHead {
        status,
        headers,
        framing: framing.response(http10, head, status)?,
        declared_length: framing.declared_length(),
        keep_alive: connection.keeps_alive(http10),
        websocket: websocket && connection.upgrade,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &'static str, head: bool) -> Result<ResponseHead, ResponseError> {
        let text = Bytes::from_static(text.as_bytes());
        parse_response(&text, HeaderMap::new(), head, &MessageLimits::default())
    }

    #[test]
    fn fields_are_sorted() {
        let text = "HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a\r\nset-cookie: b\r\n\
                    Connection: close, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n\
                    Transfer-Encoding: chunked\r\nX-Roadstead-Reason: no-route\r\n\r\n";
        let response = parse(text, false).unwrap();
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.framing, Framing::Chunked);
        assert!(!response.keep_alive);
        let mut names: Vec<_> = response.headers.iter().collect();
        names.sort_by_key(|(_, value)| value.as_bytes().to_owned());
        let names: Vec<_> = names
            .into_iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            [("set-cookie", "a"), ("set-cookie", "b"), ("server", "x")]
        );
    }

    #[test]
    fn an_answer_to_head_keeps_its_length_and_has_no_body() {
        let response = parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true).unwrap();
        assert_eq!(response.framing, Framing::None);
        assert_eq!(response.declared_length, Some(9));
        assert!(response.keep_alive);
    }

    #[test]
    fn what_an_upstream_may_not_say_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 99 Low\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            assert!(parse(text, false).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_as_the_version_has_it() {
        for (text, kept) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", true),
        ] {
            assert_eq!(parse(text, false).unwrap().keep_alive, kept, "{text:?}");
        }
    }
}
