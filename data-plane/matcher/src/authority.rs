//! The one form in which a request's host is looked up, compared and forwarded.
//!
//! Apart from `host`, which reads what users write: a request may name hosts
//! that no rule could (addresses, underscores) and still reach a rule that serves
//! every host.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::host::MAX_HOST;

/// A host, a trailing dot, a colon and five digits.
const MAX_AUTHORITY: usize = MAX_HOST + 7;

/// Longest label of a host name.
const MAX_LABEL: usize = 63;

/// Splits and canonicalises the `Host` or `:authority` of a request. Allocates
/// only if the host differs from what came.
///
/// What is not exactly one host with at most one port is refused: user
/// information, lists, spaces and escapes are how two readers of one request are
/// brought to see two hosts.
pub fn canonical_host(authority: &str) -> Result<CanonicalHost<'_>, AuthorityError> {
    if authority.len() > MAX_AUTHORITY {
        return Err(AuthorityError::TooLong);
    }
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(AuthorityError::Ipv6)? + 1;
        let (host, port) = authority.split_at(end);
        return Ok(CanonicalHost {
            host: ipv6(host)?,
            port: match port {
                "" => None,
                _ => Some(self::port(port.strip_prefix(':').unwrap_or_default())?),
            },
        });
    }
    let colon = authority.bytes().position(|byte| byte == b':');
    let (host, port) = match colon.and_then(|colon| authority.split_at_checked(colon)) {
        Some((host, port)) => (host, Some(self::port(port.get(1..).unwrap_or_default())?)),
        None => (authority, None),
    };
    let host = name(host)?;
    Ok(CanonicalHost { host, port })
}

/// A request's host in canonical form, and the port beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalHost<'a> {
    host: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> CanonicalHost<'a> {
    /// A name in lower case without trailing dot, an IPv4 address, or an IPv6
    /// address in brackets.
    pub fn as_str(&self) -> &str {
        &self.host
    }

    pub fn into_host(self) -> Cow<'a, str> {
        self.host
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Why a text is not the authority of a request. All are the client's fault (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("authority: no host")]
    NoHost,
    #[error("authority: too long")]
    TooLong,
    #[error("authority: {0:?} is not allowed in a host")]
    Character(char),
    #[error("authority: a label is empty or longer than {MAX_LABEL} bytes")]
    Label,
    #[error("authority: not an IPv6 address in brackets")]
    Ipv6,
    #[error("authority: not a port")]
    Port,
}

fn name(text: &str) -> Result<Cow<'_, str>, AuthorityError> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(AuthorityError::NoHost);
    }
    if name.len() > MAX_HOST {
        return Err(AuthorityError::TooLong);
    }
    if is_plain(name.as_bytes()) {
        return Ok(Cow::Borrowed(name));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(other) = name.chars().find(|c| !allowed(*c)) {
        return Err(AuthorityError::Character(other));
    }
    if name
        .split('.')
        .any(|label| label.is_empty() || label.len() > MAX_LABEL)
    {
        return Err(AuthorityError::Label);
    }
    Ok(Cow::Owned(name.to_ascii_lowercase()))
}

/// Whether `name` is a canonical name, as nearly all are: found in one pass.
fn is_plain(name: &[u8]) -> bool {
    let mut label = 0;
    let well_made = |label| (1..=MAX_LABEL).contains(&label);
    let plain = name.iter().all(|byte| match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {
            label += 1;
            true
        }
        b'.' => well_made(std::mem::take(&mut label)),
        _ => false,
    });
    plain && well_made(label)
}

fn ipv6(text: &str) -> Result<Cow<'_, str>, AuthorityError> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address: Ipv6Addr = inner
        .and_then(|inner| inner.parse().ok())
        .ok_or(AuthorityError::Ipv6)?;
    let canonical = format!("[{address}]");
    Ok(if canonical == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(canonical)
    })
}

fn port(text: &str) -> Result<u16, AuthorityError> {
    // u16 reads "+80" too.
    if text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    text.parse().map_err(|_| AuthorityError::Port)
}

#[cfg(test)]
mod tests;
