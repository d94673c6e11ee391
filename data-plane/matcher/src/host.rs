//! Host patterns: what the host of a rule may say.
//!
//! Apart from `authority`, which reads the host of a request: a pattern is
//! written by a user and told what is wrong with it, a request is only refused.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

/// Longest host name, as DNS has it, without a trailing dot.
pub const MAX_HOST: usize = 253;

/// Longest label of a host name.
const MAX_LABEL: usize = 63;

/// The hosts that a rule serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host and no other.
    Exact(HostName),
    /// `*.` and this suffix: hosts with exactly one label before the suffix.
    OneLabel(HostName),
    /// Every host; written as the empty string.
    Any,
}

impl HostPattern {
    /// Reads `""`, `a.example` or `*.example`, in any case, with or without a
    /// trailing dot.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err(HostError::IpAddress);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_HOST {
            return Err(HostError::TooLong);
        }
        match name.strip_prefix("*.") {
            Some(suffix) => HostName::parse(suffix).map(Self::OneLabel),
            None => HostName::parse(name).map(Self::Exact),
        }
    }

    /// Less than every pattern that can be read; it serves nothing.
    pub fn before_all() -> Self {
        Self::Exact(HostName(Arc::default()))
    }

    /// Whether this pattern serves `host`, which is canonical.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::OneLabel(suffix) => parent(host).is_some_and(|parent| **suffix == *parent),
            Self::Any => true,
        }
    }

    /// Whether this pattern serves every host that the other does.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Exact(name)) => self.matches(name),
            (Self::OneLabel(suffix), Self::OneLabel(other)) => suffix == other,
            (Self::Exact(_), _) | (Self::OneLabel(_), Self::Any) => false,
        }
    }

    /// The wildcard that serves this exact host among others.
    pub fn wildcard(&self) -> Option<Self> {
        match self {
            Self::Exact(name) => parent(name).map(|suffix| Self::OneLabel(HostName(suffix.into()))),
            Self::OneLabel(_) | Self::Any => None,
        }
    }
}

impl fmt::Display for HostPattern {
    /// As [`HostPattern::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::OneLabel(suffix) => write!(f, "*.{}", &**suffix),
            Self::Any => Ok(()),
        }
    }
}

/// A DNS name in lower case, without a trailing dot. Made by
/// [`HostPattern::parse`] only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    fn parse(name: &str) -> Result<Self, HostError> {
        if name.parse::<IpAddr>().is_ok() {
            return Err(HostError::IpAddress);
        }
        for label in name.split('.') {
            check_label(label)?;
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

impl Deref for HostName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// So that a name is found by the host of a request.
impl Borrow<str> for HostName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("host: longer than {MAX_HOST} bytes")]
    TooLong,
    #[error("host: a label is empty")]
    EmptyLabel,
    #[error("host: a label is longer than {MAX_LABEL} bytes")]
    LongLabel,
    #[error("host: a label begins or ends with a hyphen")]
    Hyphen,
    #[error("host: {0:?} is not allowed; other scripts are written as xn--…")]
    Character(char),
    #[error("host: a wildcard stands only for the whole first label, as in *.example.com")]
    Wildcard,
    #[error("host: an IP address cannot be a rule's host")]
    IpAddress,
}

/// The host without its first label.
pub(crate) fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent)
}

fn check_label(label: &str) -> Result<(), HostError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match label.chars().find(|c| !allowed(*c)) {
        Some('*') => Err(HostError::Wildcard),
        Some(other) => Err(HostError::Character(other)),
        None if label.is_empty() => Err(HostError::EmptyLabel),
        None if label.len() > MAX_LABEL => Err(HostError::LongLabel),
        None if label.starts_with('-') || label.ends_with('-') => Err(HostError::Hyphen),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_into_one_form() {
        let long = format!("{}.examples", ["a".repeat(48).as_str(); 5].join("."));
        for (text, shown) in [
            ("", ""),
            ("a.example", "a.example"),
            ("A.Example.", "a.example"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.example", "1.example"),
            ("*.Example", "*.example"),
            ("*.a.example.", "*.a.example"),
            (&long, &long),
        ] {
            let pattern = HostPattern::parse(text).unwrap();
            assert_eq!(pattern.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let long = "a.".repeat(126) + "ab";
        let label = "a".repeat(64);
        for (text, reason) in [
            (".", HostError::EmptyLabel),
            ("a..b", HostError::EmptyLabel),
            (".a", HostError::EmptyLabel),
            ("a.example..", HostError::EmptyLabel),
            ("*.", HostError::Wildcard),
            ("*..a", HostError::EmptyLabel),
            ("*", HostError::Wildcard),
            ("a.*.example", HostError::Wildcard),
            ("*.*.example", HostError::Wildcard),
            ("a*.example", HostError::Wildcard),
            ("-a.example", HostError::Hyphen),
            ("a-.example", HostError::Hyphen),
            ("a_b.example", HostError::Character('_')),
            ("a.example:80", HostError::Character(':')),
            ("a example", HostError::Character(' ')),
            ("a.example/x", HostError::Character('/')),
            ("bücher.example", HostError::Character('ü')),
            ("a\0.example", HostError::Character('\0')),
            ("192.0.2.1", HostError::IpAddress),
            ("*.192.0.2.1", HostError::IpAddress),
            ("192.0.2.1.", HostError::IpAddress),
            ("2001:db8::1", HostError::IpAddress),
            ("[::1]", HostError::Character('[')),
            (&label, HostError::LongLabel),
            (&long, HostError::TooLong),
        ] {
            assert_eq!(HostPattern::parse(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let pattern = HostPattern::parse("*.foo.com").unwrap();
        assert!(pattern.matches("bar.foo.com"));
        assert!(!pattern.matches("baz.bar.foo.com"));
        assert!(!pattern.matches("foo.com"));
    }

    #[test]
    fn the_wildcard_of_an_exact_host_covers_it_and_its_siblings() {
        let pattern = |text| HostPattern::parse(text).unwrap();
        let wildcard = pattern("b.a.example").wildcard().unwrap();
        assert_eq!(wildcard, pattern("*.a.example"));
        assert!(wildcard.covers(&pattern("c.a.example")));
        for text in ["", "localhost", "*.a.example"] {
            assert_eq!(pattern(text).wildcard(), None, "{text}");
        }
    }

    fn pattern() -> impl Strategy<Value = HostPattern> {
        r"((\*\.)?[ab](\.[ab]){0,2})?".prop_map(|text| HostPattern::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn a_pattern_covers_what_serves_no_host_that_it_does_not(
            one in pattern(),
            other in pattern(),
            host in r"[ab](\.[ab]){0,3}",
        ) {
            if one.covers(&other) && other.matches(&host) {
                prop_assert!(one.matches(&host));
            }
            if let HostPattern::Exact(name) = &other {
                prop_assert_eq!(one.covers(&other), one.matches(name));
            }
        }

        #[test]
        fn what_is_shown_reads_back(text in r"(\*\.)?([a-zA-Z0-9-]{1,5}\.){0,4}[a-z0-9]{1,3}\.?") {
            if let Ok(pattern) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Ok(pattern) = HostPattern::parse(&text) {
                prop_assert_eq!(HostPattern::parse(&pattern.to_string()), Ok(pattern));
            }
        }
    }
}
