//! Precedence: which of several rules that match a request serves it.
//!
//! Apart because this is the specification: the greatest [`Score`] wins, its
//! derived order says what greater means, and nothing else decides.
//!
//! | source | tier | priority | host and path |
//! |---|---|---|---|
//! | Ingress rule | `Rule` | 0 | of the rule |
//! | Ingress default backend | `Fallback` | 0 | any host, prefix `/` |
//! | Træfik 1.x rule | `Rule` | the annotation's, else the length of the rule's text | of the rule |
//!
//! For Ingress the host thus decides first, then the longer path, then `Exact`
//! over `Prefix`. A host whose rules do not match the path does not end the
//! search: the rules of the wildcard above it are asked next, then those of any
//! host, and default backends last of all. A source with priorities orders its
//! rules across hosts.

use crate::host::HostPattern;
use crate::path::PathPattern;

/// How much a rule that matches is to be preferred. Fields weigh in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score {
    pub tier: Tier,
    pub priority: i32,
    pub host: HostRank,
    pub path_length: u16,
    pub path: PathRank,
}

impl Score {
    pub fn new(tier: Tier, priority: i32, host: &HostPattern, path: &PathPattern) -> Self {
        Self {
            tier,
            priority,
            host: HostRank::of(host),
            path_length: u16::try_from(path.as_str().len()).unwrap_or(u16::MAX),
            path: PathRank::of(path),
        }
    }
}

/// Whether a rule was written for its requests or for what remains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Serves only what no rule of any host claims.
    Fallback,
    Rule,
}

/// How closely a host pattern names its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostRank {
    Any,
    OneLabel { suffix_length: u8 },
    Exact,
}

impl HostRank {
    fn of(pattern: &HostPattern) -> Self {
        match pattern {
            HostPattern::Any => Self::Any,
            HostPattern::OneLabel(suffix) => Self::OneLabel {
                suffix_length: u8::try_from(suffix.len()).unwrap_or(u8::MAX),
            },
            HostPattern::Exact(_) => Self::Exact,
        }
    }
}

/// How closely a path pattern names its paths, among patterns of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathRank {
    BytePrefix,
    ElementPrefix,
    Exact,
}

impl PathRank {
    fn of(pattern: &PathPattern) -> Self {
        match pattern {
            PathPattern::BytePrefix(_) => Self::BytePrefix,
            PathPattern::ElementPrefix(_) => Self::ElementPrefix,
            PathPattern::Exact(_) => Self::Exact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_more_is_listed_first() {
        let falling = [
            (Tier::Rule, 7, "", PathPattern::byte_prefix("/")),
            (Tier::Rule, 0, "a.b.example", PathPattern::exact("/aa")),
            (
                Tier::Rule,
                0,
                "a.b.example",
                PathPattern::element_prefix("/aa"),
            ),
            (
                Tier::Rule,
                0,
                "a.b.example",
                PathPattern::byte_prefix("/aa"),
            ),
            (Tier::Rule, 0, "z.example", PathPattern::exact("/a")),
            (Tier::Rule, 0, "*.b.example", PathPattern::exact("/aaa")),
            (Tier::Rule, 0, "*.example", PathPattern::exact("/aaaa")),
            (Tier::Rule, 0, "", PathPattern::exact("/aaaaa")),
            (Tier::Rule, -1, "a.example", PathPattern::exact("/aa")),
            (Tier::Fallback, 9, "a.example", PathPattern::exact("/aa")),
            (Tier::Fallback, 0, "", PathPattern::element_prefix("/")),
        ];
        let scores = falling.map(|(tier, priority, host, path)| {
            let host = HostPattern::parse(host).unwrap();
            Score::new(tier, priority, &host, &path.unwrap())
        });
        assert!(
            scores.is_sorted_by(|higher, lower| higher > lower),
            "{scores:#?}"
        );
    }
}
