//! Path patterns: what the path of a rule may say.
//!
//! Apart from `canonical`, through which both patterns and requests pass: a
//! pattern is written by a user, has a kind, and is stricter about dot segments.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::canonical::{Dots, PathError, PathPolicy, canonicalise};

/// Longest path of a pattern. Far above what rules say; it bounds the depth of
/// the tree that patterns are compiled into.
pub const MAX_PATTERN: usize = 1024;

/// The paths that a rule serves. The text is canonical: see
/// [`canonical_path`](crate::canonical::canonical_path).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// This path and no other; a trailing slash counts.
    Exact(PathText),
    /// This path and all below it by whole elements: `/a` serves `/a`, `/a/` and
    /// `/a/b`, not `/ab`. A trailing slash is ignored, as Kubernetes does.
    ElementPrefix(PathText),
    /// All paths that begin with these bytes: `/a` serves `/ab`.
    BytePrefix(PathText),
}

impl PathPattern {
    /// Every path.
    pub fn root() -> Self {
        Self::ElementPrefix(PathText("/".into()))
    }

    pub fn exact(text: &str) -> Result<Self, PathError> {
        PathText::read(text, Dots::Refuse).map(Self::Exact)
    }

    pub fn element_prefix(text: &str) -> Result<Self, PathError> {
        let PathText(path) = PathText::read(text, Dots::Refuse)?;
        Ok(Self::ElementPrefix(match path.strip_suffix('/') {
            Some(parent) if !parent.is_empty() => PathText(parent.into()),
            _ => PathText(path),
        }))
    }

    pub fn byte_prefix(text: &str) -> Result<Self, PathError> {
        PathText::read(text, Dots::RefuseButLast).map(Self::BytePrefix)
    }

    /// The path, without the kind.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::ElementPrefix(text) | Self::BytePrefix(text) => text,
        }
    }

    /// Whether this pattern serves `path`, which is canonical.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *path,
            Self::ElementPrefix(text) => {
                let folder = text.strip_suffix('/').unwrap_or(text);
                let rest = path.strip_prefix(folder);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::BytePrefix(text) => path.starts_with(&**text),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Exact(_) => "exact",
            Self::ElementPrefix(_) => "prefix",
            Self::BytePrefix(_) => "byte prefix",
        };
        write!(f, "{kind} {}", self.as_str())
    }
}

/// A path in canonical form. Made by the constructors of [`PathPattern`] only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathText(Arc<str>);

impl PathText {
    fn read(text: &str, dots: Dots) -> Result<Self, PathError> {
        // What a request may contain is its route's policy to say; a pattern
        // may name it in any case. Empty segments are merged as in requests.
        let policy = PathPolicy {
            empty_segments: false,
            ..PathPolicy::ALL
        };
        let path = canonicalise(text, policy, dots)?.into_path();
        if path.len() > MAX_PATTERN {
            return Err(PathError::TooLong);
        }
        Ok(Self(path.into()))
    }
}

impl Deref for PathText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canonical::canonical_path;

    type Constructor = fn(&str) -> Result<PathPattern, PathError>;

    const EXACT: Constructor = PathPattern::exact;
    const ELEMENTS: Constructor = PathPattern::element_prefix;
    const BYTES: Constructor = PathPattern::byte_prefix;

    #[test]
    fn patterns_are_read_into_one_form() {
        for (new, text, shown) in [
            (EXACT, "/", "exact /"),
            (EXACT, "/foo/", "exact /foo/"),
            (EXACT, "/café", "exact /caf%C3%A9"),
            (EXACT, "/%7Euser/a%2fb", "exact /~user/a%2Fb"),
            (EXACT, "/a//b", "exact /a/b"),
            (ELEMENTS, "/", "prefix /"),
            (ELEMENTS, "//", "prefix /"),
            (ELEMENTS, "/foo", "prefix /foo"),
            (ELEMENTS, "/foo/", "prefix /foo"),
            (ELEMENTS, "/foo//", "prefix /foo"),
            (BYTES, "/foo/", "byte prefix /foo/"),
            (BYTES, "/.", "byte prefix /."),
            (BYTES, "/a/..", "byte prefix /a/.."),
        ] {
            assert_eq!(new(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_no_request_could_match_is_refused() {
        let long = format!("/{}", "a".repeat(MAX_PATTERN));
        for (text, reason) in [
            ("", PathError::NotAbsolute),
            ("foo", PathError::NotAbsolute),
            ("/a\0", PathError::Control),
            ("/a\nb", PathError::Control),
            ("/a?b", PathError::Query),
            ("/a%zz", PathError::Escape),
            ("/a/./b", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/%2e%2e/b", PathError::DotSegment),
            ("/a/..;/b", PathError::HiddenDotSegment),
            (&long, PathError::TooLong),
        ] {
            for new in [EXACT, ELEMENTS, BYTES] {
                assert_eq!(new(text), Err(reason), "{text:?}");
            }
        }
        for new in [EXACT, ELEMENTS] {
            assert_eq!(new("/a/."), Err(PathError::DotSegment));
            assert_eq!(new("/.."), Err(PathError::DotSegment));
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["/([ab./]|%2e|%2F|%41){0,8}", any::<String>()]
    }

    proptest! {
        #[test]
        fn a_pattern_is_its_own_canonical_form(text in text()) {
            for new in [EXACT, ELEMENTS, BYTES] {
                if let Ok(pattern) = new(&text) {
                    prop_assert_eq!(new(pattern.as_str()), Ok(pattern));
                }
            }
        }

        #[test]
        fn a_request_for_the_text_of_a_pattern_matches_it(text in text()) {
            let policy = PathPolicy { empty_segments: false, ..PathPolicy::ALL };
            for new in [EXACT, ELEMENTS] {
                if let Ok(pattern) = new(&text) {
                    let request = canonical_path(&text, policy).unwrap();
                    prop_assert!(pattern.matches(request.as_str()));
                }
            }
        }

        #[test]
        fn an_element_prefix_never_splits_an_element(
            prefix in "(/[ab]{1,2}){1,3}/?|/",
            path in "(/[ab]{1,3}){1,4}/?",
        ) {
            let elements = |text: &str| -> Vec<String> {
                text.split('/').filter(|part| !part.is_empty()).map(Into::into).collect()
            };
            let expected = elements(&path).starts_with(&elements(&prefix));
            let pattern = PathPattern::element_prefix(&prefix).unwrap();
            prop_assert_eq!(pattern.matches(&path), expected);
        }
    }
}
