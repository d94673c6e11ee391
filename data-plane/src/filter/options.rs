//! What a `Connection` field asks for.
//!
//! Apart from the table of names: it is the one field by which a client can name others.

use http::HeaderMap;

/// The options of all `Connection` fields of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
    /// Fields that are not passed on. Ours are not among the client's and cannot be named.
    pub names_others: bool,
}

impl ConnectionOptions {
    pub fn add(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_others = true;
            }
        }
    }

    /// Whether the connection stays open after a message that says this.
    pub fn keeps_alive(self, http10: bool) -> bool {
        !self.close && (!http10 || self.keep_alive)
    }
}

/// Removes the fields that a `Connection` field names.
pub fn remove_named(headers: &mut HeaderMap, value: &[u8]) {
    for token in tokens(value) {
        if let Ok(name) = http::HeaderName::from_bytes(token) {
            headers.remove(name);
        }
    }
}

/// Whether a list has this member, without regard to case and parameters.
pub fn lists(value: &[u8], member: &str) -> bool {
    tokens(value).any(|token| {
        let name = token.split(|byte| *byte == b';').next();
        name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    })
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_lists_in_any_case() {
        let mut options = ConnectionOptions::default();
        options.add(b"Keep-Alive");
        options.add(b", UPGRADE ,,");
        assert_eq!(
            options,
            ConnectionOptions {
                keep_alive: true,
                upgrade: true,
                ..ConnectionOptions::default()
            }
        );
        options.add(b"x-private");
        assert!(options.names_others);
    }

    #[test]
    fn named_fields_go_and_others_stay() {
        let mut headers = HeaderMap::new();
        for name in ["x-a", "x-b", "x-c"] {
            headers.append(name, "1".parse().unwrap());
        }
        remove_named(&mut headers, b"close, X-A ,x-c, not a name");
        let left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(left, ["x-b"]);
    }

    #[test]
    fn a_list_has_members_with_parameters() {
        assert!(lists(b"gzip, Trailers;q=0.5", "trailers"));
        assert!(!lists(b"trailersx, x", "trailers"));
    }
}
