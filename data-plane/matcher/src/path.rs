//! Path patterns: what the path of a rule may say.
//!
//! Apart from `canonical`, through which both patterns and requests pass: a
//! pattern is written by a user, has a kind, and is stricter about dot segments.

use std::fmt;
use std::ops::Deref;

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
pub struct PathText(Box<str>);

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
