//! From the head of an HTTP/2 request to ours.
//!
//! Apart from HTTP/1's: the pseudo-header fields say plainly what a request line and `Host` say
//! in several ways, but fields come in the client's own map and have to be cleared out of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use crate::{
    filter::{self, RequestField},
    front::request::{Authority, RequestError, Target, check_method},
    h1,
    message::{Client, Head, Protocol, Text},
};

pub(super) fn read_head(parts: Parts, client: &Client) -> Result<Head, RequestError> {
    let Parts {
        method,
        uri,
        mut headers,
        ..
    } = parts;
    let limits = &client.thread.limits.message;
    check_method(&method)?;
    if headers.len() > limits.header_fields {
        return Err(h1::RequestError::TooManyFields.into());
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    if target.len() > limits.target {
        return Err(h1::RequestError::TargetTooLong.into());
    }
    let authority = authority(uri.authority().map(|name| name.as_str()), &headers)?;
    let target = Target::new(text(target.as_bytes())?)?;
    let takes_trailers = headers
        .get_all(header::TE)
        .iter()
        .any(|value| filter::lists(value.as_bytes(), "trailers"));
    clear(&mut headers);
    join_cookies(&mut headers);
    Ok(Head {
        method,
        protocol: Protocol::Http2,
        scheme: client.listener.scheme,
        authority: authority.text,
        host_len: authority.host_len,
        target: target.text,
        path_len: target.path_len,
        headers,
        takes_trailers,
        upgrade: false,
    })
}

/// The one authority of `:authority` and `Host`, which must not disagree.
fn authority(named: Option<&str>, headers: &HeaderMap) -> Result<Authority, RequestError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(RequestError::ManyHosts),
        (Some(host), None) => Some(Authority::new(text(host.as_bytes())?)?),
        (None, None) => None,
    };
    let named = match named {
        Some(named) => Some(Authority::new(text(named.as_bytes())?)?),
        None => None,
    };
    match (named, host) {
        (Some(named), Some(host)) if named != host => Err(RequestError::ManyHosts),
        (Some(authority), _) | (None, Some(authority)) => Ok(authority),
        (None, None) => Err(RequestError::NoHost),
    }
}

/// Removes what is not passed on.
fn clear(headers: &mut HeaderMap) {
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| filter::request_field(name.as_str()) != RequestField::Forwarded)
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// HTTP/2 clients may send a cookie in crumbs; HTTP/1 knows one field (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut cookie = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(cookie) = HeaderValue::from_maybe_shared(Bytes::from(cookie)) {
        headers.insert(header::COOKIE, cookie);
    }
}

fn text(bytes: &[u8]) -> Result<Text, RequestError> {
    Text::new(Bytes::copy_from_slice(bytes)).ok_or_else(|| h1::RequestError::Malformed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn authority_and_host_must_agree() {
        for (named, hosts, authority) in [
            (Some("A.example:80"), &[][..], Some("a.example:80")),
            (
                Some("a.example"),
                &[("host", "A.example.")],
                Some("a.example"),
            ),
            (None, &[("host", "a.example")], Some("a.example")),
            (Some("a.example"), &[("host", "b.example")], None),
            (Some("a.example"), &[("host", "a.example:81")], None),
            (
                Some("a.example"),
                &[("host", "a.example"), ("host", "a.example")],
                None,
            ),
            (Some("u@a.example"), &[], None),
            (None, &[], None),
        ] {
            let found = super::authority(named, &fields(hosts));
            let found = found.ok().map(|found| found.text.as_str().to_owned());
            assert_eq!(found.as_deref(), authority, "{named:?} {hosts:?}");
        }
    }

    #[test]
    fn what_is_not_passed_on_is_cleared_and_crumbs_are_joined() {
        let mut headers = fields(&[
            ("cookie", "a=1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("te", "trailers"),
            ("cookie", "b=2"),
            ("host", "a"),
            ("x-id", "7"),
            ("content-length", "5"),
            ("cookie", "c=3"),
        ]);
        clear(&mut headers);
        join_cookies(&mut headers);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        assert_eq!(left, [("cookie", "a=1; b=2; c=3"), ("x-id", "7")]);
    }
}
