//! The head of a request, parsed and sorted by what its fields are for.
//!
//! Apart from what the request means: this file knows syntax only. What frames the message or
//! speaks of the connection never enters the header map, so nobody can forward it by mistake.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Framing, FramingError, MAX_FIELDS, framing::FramingFields};
use crate::{
    filter::{self, ConnectionOptions, RequestField},
    limits::MessageLimits,
};

/// What a client asks for, as it said it.
#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    pub target: Bytes,
    pub http10: bool,
    /// End-to-end fields.
    pub headers: HeaderMap,
    pub hosts: Hosts,
    pub framing: Framing,
    pub connection: ConnectionOptions,
    pub expects_continue: bool,
    pub takes_trailers: bool,
    /// Asks to go on in the WebSocket protocol.
    pub websocket: bool,
}

/// `Host` fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    #[default]
    None,
    One(Bytes),
    Many,
}

/// Why a head is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("request: malformed")]
    Malformed,
    #[error("request: neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    #[error("request: too many header fields")]
    TooManyFields,
    #[error("request: its target is too long")]
    TargetTooLong,
    #[error("request: an expectation other than 100-continue")]
    Expectation,
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// Parses a whole head. `headers` is used again, for its memory.
pub fn parse_request(
    head: &Bytes,
    mut headers: HeaderMap,
    limits: &MessageLimits,
) -> Result<RequestHead, RequestError> {
    headers.clear();
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(RequestError::Malformed),
        Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooManyFields),
        Err(httparse::Error::Version) if names_a_version(head) => {
            return Err(RequestError::Version);
        }
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version,
        ) => return Err(RequestError::Malformed),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(RequestError::Malformed);
    };
    if target.len() > limits.target {
        return Err(RequestError::TargetTooLong);
    }
    if parsed.headers.len() > limits.header_fields {
        return Err(RequestError::TooManyFields);
    }
    let http10 = version == 0;
    let mut sorted = Sorted::default();
    for field in parsed.headers.iter() {
        sorted.add(head, field, &mut headers)?;
    }
    if sorted.connection.names_others {
        for field in parsed.headers.iter() {
            if field.name.eq_ignore_ascii_case("connection") {
                filter::remove_named(&mut headers, field.value);
            }
        }
    }
    let framing = sorted.framing.request(http10)?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestError::Malformed)?;
    Ok(RequestHead {
        target: head.slice_ref(target.as_bytes()),
        http10,
        headers,
        hosts: sorted.hosts,
        framing,
        expects_continue: sorted.expects_continue && !http10,
        takes_trailers: sorted.takes_trailers,
        websocket: sorted.websocket
            && sorted.connection.upgrade
            && !http10
            && method == Method::GET
            && framing == Framing::None,
        connection: sorted.connection,
        method,
    })
}

/// Parses header fields that stand alone, as trailers do.
pub(super) fn parse_fields(
    text: &Bytes,
    mut take: impl FnMut(HeaderName, HeaderValue),
) -> Result<(), RequestError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    match httparse::parse_headers(text, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => {
            for field in fields {
                take(name(field)?, value(text, field)?);
            }
            Ok(())
        }
        Ok(httparse::Status::Partial) | Err(_) => Err(RequestError::Malformed),
    }
}

/// What was found among the fields and is not passed on as it is.
#[derive(Debug, Default)]
struct Sorted {
    hosts: Hosts,
    framing: FramingFields,
    connection: ConnectionOptions,
    expects_continue: bool,
    takes_trailers: bool,
    websocket: bool,
}

impl Sorted {
    fn add(
        &mut self,
        head: &Bytes,
        field: &httparse::Header<'_>,
        headers: &mut HeaderMap,
    ) -> Result<(), RequestError> {
        let name = name(field)?;
        match filter::request_field(name.as_str()) {
            RequestField::Forwarded => {
                headers.append(name, value(head, field)?);
            }
            RequestField::Dropped => {}
            RequestField::Host => {
                self.hosts = match self.hosts {
                    Hosts::None => Hosts::One(head.slice_ref(field.value)),
                    Hosts::One(_) | Hosts::Many => Hosts::Many,
                };
            }
            RequestField::ContentLength => self.framing.content_length(field.value),
            RequestField::TransferEncoding => self.framing.transfer_encoding(field.value),
            RequestField::Connection => self.connection.add(field.value),
            RequestField::Expect => {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(RequestError::Expectation);
                }
                self.expects_continue = true;
            }
            RequestField::Te => self.takes_trailers |= filter::lists(field.value, "trailers"),
            RequestField::Upgrade => {
                self.websocket |= field.value.eq_ignore_ascii_case(b"websocket");
            }
        }
        Ok(())
    }
}

/// Whether the first line has the form of a request, in whatever version of HTTP.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.splitn(4, |byte| *byte == b' ').collect();
    let version = match words[..] {
        [_, _, version] => version.strip_prefix(b"HTTP/"),
        _ => None,
    };
    matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn name(field: &httparse::Header<'_>) -> Result<HeaderName, RequestError> {
    HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| RequestError::Malformed)
}

fn value(head: &Bytes, field: &httparse::Header<'_>) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| RequestError::Malformed)
}

/// Trailer fields that there is room for.
const MAX_TRAILERS: usize = 32;

#[cfg(test)]
mod tests;
