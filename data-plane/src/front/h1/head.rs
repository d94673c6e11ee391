//! From the head of an HTTP/1 request to ours.
//!
//! Apart from the connection: pure, and the place where HTTP/1's several forms of a target and
//! its `Host` field become one authority and one path.

use crate::{
    front::request::{Authority, RequestError, Target, check_method, split_absolute},
    h1::{Hosts, RequestHead},
    message::{Head, Protocol, Scheme, Text},
};

use http::Method;

/// What has to be known of a request when its answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) http10: bool,
    /// HEAD: the answer has no body.
    pub(super) head: bool,
    pub(super) keep_alive: bool,
    pub(super) takes_trailers: bool,
    pub(super) expects_continue: bool,
}

impl Asked {
    /// What was sent could not be read.
    pub(super) fn nothing() -> Self {
        Self {
            http10: false,
            head: false,
            keep_alive: false,
            takes_trailers: false,
            expects_continue: false,
        }
    }
}

pub(super) fn read_head(
    request: RequestHead,
    scheme: Scheme,
) -> Result<(Head, Asked), RequestError> {
    check_method(&request.method)?;
    let raw = Text::new(request.target).ok_or(crate::h1::RequestError::Malformed)?;
    let (named, raw) = match split_absolute(&raw) {
        Some((authority, rest)) => (Some(authority), rest),
        None => (None, raw),
    };
    let host = match request.hosts {
        Hosts::None if request.http10 => None,
        Hosts::None => return Err(RequestError::NoHost),
        Hosts::One(host) => Some(Text::new(host).ok_or(crate::h1::RequestError::Malformed)?),
        Hosts::Many => return Err(RequestError::ManyHosts),
    };
    let authority = match named.or(host) {
        Some(authority) => Authority::new(authority)?,
        None => Authority::none(),
    };
    let target = Target::new(raw)?;
    let asked = Asked {
        http10: request.http10,
        head: request.method == Method::HEAD,
        keep_alive: request.connection.keeps_alive(request.http10),
        takes_trailers: request.takes_trailers,
        expects_continue: request.expects_continue,
    };
    let head = Head {
        method: request.method,
        protocol: match request.http10 {
            true => Protocol::Http10,
            false => Protocol::Http11,
        },
        scheme,
        authority: authority.text,
        host_len: authority.host_len,
        target: target.text,
        path_len: target.path_len,
        headers: request.headers,
        takes_trailers: request.takes_trailers,
        upgrade: request.websocket,
    };
    Ok((head, asked))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::{h1::parse_request, limits::MessageLimits};

    fn read(text: &str) -> Result<Head, RequestError> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        let request = parse_request(&text, HeaderMap::new(), &MessageLimits::default())?;
        read_head(request, Scheme::Http).map(|(head, _)| head)
    }

    #[test]
    fn a_request_has_one_authority() {
        for (text, authority, path) in [
            (
                "GET /a HTTP/1.1\r\nHost: A.example:80\r\n\r\n",
                "a.example:80",
                "/a",
            ),
            (
                "GET http://b.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n",
                "b.example",
                "/a",
            ),
            ("GET http://b.example HTTP/1.0\r\n\r\n", "b.example", "/"),
            ("GET /a HTTP/1.0\r\n\r\n", "", "/a"),
        ] {
            let head = read(text).unwrap();
            assert_eq!(
                (head.authority.as_str(), head.path()),
                (authority, path),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_request_without_one_authority_is_refused() {
        use RequestError::{Authority, ManyHosts, Method, NoHost, Path};
        let kinds = |error| match error {
            NoHost => "no-host",
            ManyHosts => "many-hosts",
            Method => "method",
            Authority(_) => "authority",
            Path(_) => "path",
            RequestError::Syntax(_) | RequestError::HeadTooLarge | RequestError::TimedOut => {
                "other"
            }
        };
        for (text, kind) in [
            ("GET /a HTTP/1.1\r\n\r\n", "no-host"),
            (
                "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                "many-hosts",
            ),
            (
                "GET http://b/a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                "many-hosts",
            ),
            ("GET http://b/a HTTP/1.1\r\n\r\n", "no-host"),
            ("GET /a HTTP/1.1\r\nHost:\r\n\r\n", "authority"),
            ("GET /a HTTP/1.1\r\nHost: a,b\r\n\r\n", "authority"),
            ("GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n", "authority"),
            ("GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "authority"),
            ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", "authority"),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "method"),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "path"),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "path"),
            ("GET /%2e%2e%2fa HTTP/1.1\r\nHost: a\r\n\r\n", "path"),
        ] {
            assert_eq!(read(text).map_err(kinds).unwrap_err(), kind, "{text:?}");
        }
    }
}
