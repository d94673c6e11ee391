//! The forms of names that Kubernetes has.
//!
//! Checked here too, because a folder has no API server in front of it.

/// A DNS label (RFC 1123), as namespaces are named.
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// A DNS subdomain (RFC 1123), as most objects are named.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|byte| alphanumeric(*byte) || *byte == b'-')
}

const MAX_LABEL: usize = 63;
const MAX_SUBDOMAIN: usize = 253;
