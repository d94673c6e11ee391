//! From what a client says to what it means: one method, one authority, one path.
//!
//! Apart from the codecs, since every protocol must come to the same result, and apart from
//! routing, which never sees anything that is not canonical.

use std::borrow::Cow;

use http::Method;
use roadstead_matcher::{
    authority::{AuthorityError, canonical_host},
    canonical::{PathError, PathPolicy, canonical_path},
};

use crate::h1;
use crate::message::Text;

/// Why something is not a request that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Syntax(#[from] h1::RequestError),
    #[error("request: first line and header fields are too large")]
    HeadTooLarge,
    #[error("request: its head did not come in time")]
    TimedOut,
    #[error("request: a method that is not served")]
    Method,
    #[error("request: no host")]
    NoHost,
    #[error("request: more than one host")]
    ManyHosts,
    #[error("request: {0}")]
    Authority(#[from] AuthorityError),
    #[error("request: {0}")]
    Path(#[from] PathError),
}

/// CONNECT would make a tunnel past all routes, and TRACE shows what others have added.
pub(super) fn check_method(method: &Method) -> Result<(), RequestError> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(RequestError::Method);
    }
    Ok(())
}

/// Host and port in canonical form, and bytes of it that are the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub text: Text,
    pub host_len: usize,
}

impl Authority {
    /// None was named, as an HTTP/1.0 client may.
    pub(super) fn none() -> Self {
        Self {
            text: Text::default(),
            host_len: 0,
        }
    }

    pub(super) fn new(raw: Text) -> Result<Self, RequestError> {
        let canonical = canonical_host(raw.as_str())?;
        let host_len = canonical.as_str().len();
        let mut digits = itoa::Buffer::new();
        let port = canonical.port().map(|port| digits.format(port));
        let len = host_len + port.map_or(0, |port| port.len() + 1);
        let text = match (canonical.into_host(), port) {
            (Cow::Borrowed(_), _) if len == raw.len() => raw,
            (host, None) => Text::from(host.into_owned()),
            (host, Some(port)) => Text::from(format!("{host}:{port}")),
        };
        Ok(Self { text, host_len })
    }
}

/// Canonical path and the query as it came, and bytes of it that are the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub text: Text,
    pub path_len: usize,
}

impl Target {
    /// Reads a target that begins with its path.
    pub(super) fn new(raw: Text) -> Result<Self, RequestError> {
        let mark = memchr::memchr(b'?', raw.as_bytes()).unwrap_or(raw.len());
        let (path, query) = raw.as_str().split_at_checked(mark).unwrap_or_default();
        // A fragment is for the client alone, and where it begins is a matter of dispute.
        if memchr::memchr(b'#', query.as_bytes()).is_some() {
            return Err(PathError::Fragment.into());
        }
        let canonical = canonical_path(path, PathPolicy::default())?.into_path();
        let path_len = canonical.len();
        let text = match canonical {
            Cow::Borrowed(_) => raw,
            Cow::Owned(path) => Text::from(path + query),
        };
        Ok(Self { text, path_len })
    }
}

/// Splits `http://authority/path` into authority and the rest.
pub(super) fn split_absolute(target: &Text) -> Option<(Text, Text)> {
    let text = target.as_str();
    if text.starts_with('/') {
        return None;
    }
    let scheme = ["http://", "https://"].iter().find(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let begin = scheme.len();
    let len = text
        .get(begin..)?
        .find(['/', '?', '#'])
        .unwrap_or(text.len() - begin);
    let authority = target.slice(begin..begin + len);
    let rest = target.slice(begin + len..text.len());
    let rest = match rest.as_str().starts_with('/') {
        true => rest,
        false => Text::from(format!("/{rest}")),
    };
    Some((authority, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_keeps_its_port_and_nothing_else() {
        for (raw, text, host) in [
            ("a.example", "a.example", "a.example"),
            ("A.Example.:080", "a.example:80", "a.example"),
            ("a.example:8080", "a.example:8080", "a.example"),
            ("[2001:DB8::1]:80", "[2001:db8::1]:80", "[2001:db8::1]"),
        ] {
            let authority = Authority::new(raw.into()).unwrap();
            assert_eq!(authority.text.as_str(), text, "{raw}");
            assert_eq!(&text[..authority.host_len], host, "{raw}");
        }
    }

    #[test]
    fn the_path_that_is_matched_is_the_one_that_is_sent() {
        for (raw, text, path) in [
            ("/a/b?c=/../d", "/a/b?c=/../d", "/a/b"),
            ("/a/../b?c", "/b?c", "/b"),
            ("/%61", "/a", "/a"),
            ("/?", "/?", "/"),
        ] {
            let target = Target::new(raw.into()).unwrap();
            assert_eq!(target.text.as_str(), text, "{raw}");
            assert_eq!(&text[..target.path_len], path, "{raw}");
        }
        for raw in ["", "*", "a", "/a#b", "/a?b#c", "/%2f", "/a\\b", "/..;/a"] {
            assert!(Target::new(raw.into()).is_err(), "{raw}");
        }
    }

    #[test]
    fn an_absolute_target_has_authority_and_path() {
        for (raw, authority, rest) in [
            ("http://a.example/b?c", "a.example", "/b?c"),
            ("HTTP://a.example:80", "a.example:80", "/"),
            ("https://a.example?c", "a.example", "/?c"),
            ("http:///b", "", "/b"),
        ] {
            let (found, target) = split_absolute(&raw.into()).unwrap();
            assert_eq!(
                (found.as_str(), target.as_str()),
                (authority, rest),
                "{raw}"
            );
        }
        for raw in ["/a", "ftp://a.example/", "http:/a", "//a"] {
            assert!(split_absolute(&raw.into()).is_none(), "{raw}");
        }
    }
}
