//! What an Ingress asks for, rule by rule.
//!
//! Apart from the claims, because projection lays an Ingress out in the same way.

use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;

use crate::model::ingress::{BackendRef, Ingress};

/// A place in a host's table that one rule can hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Path(PathPattern),
    /// What no rule of any host claims (`spec.defaultBackend`).
    Fallback,
}

/// Where in an Ingress a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// `spec.rules[rule].http.paths[path]`
    Path { rule: usize, path: usize },
    /// `spec.rules[rule]`, a rule without `http`
    Rule { rule: usize },
    /// `spec.defaultBackend`
    DefaultBackend,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path { rule, path } => write!(f, "spec.rules[{rule}].http.paths[{path}]"),
            Self::Rule { rule } => write!(f, "spec.rules[{rule}]"),
            Self::DefaultBackend => f.write_str("spec.defaultBackend"),
        }
    }
}

/// A rule of an Ingress, laid out as a claim: where it stands, what it wants, where it sends.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    pub position: Position,
    pub host: HostPattern,
    pub slot: Slot,
    pub backend: &'a BackendRef,
}

/// The wishes of an Ingress, in order of its text. A rule without `http` sends its whole
/// host to the default backend; without one of these it wishes for nothing.
pub fn wishes(ingress: &Ingress) -> impl Iterator<Item = Wish<'_>> {
    let rules = ingress.rules.iter().enumerate();
    let of_rules = rules.flat_map(move |(rule, of_host)| {
        let whole_host = match (&of_host.paths, &ingress.default_backend) {
            (None, Some(backend)) => Some(Wish {
                position: Position::Rule { rule },
                host: of_host.host.clone(),
                slot: Slot::Path(PathPattern::root()),
                backend,
            }),
            (None, None) | (Some(_), _) => None,
        };
        let paths = of_host.paths.iter().flatten().enumerate();
        whole_host
            .into_iter()
            .chain(paths.map(move |(path, of_path)| Wish {
                position: Position::Path { rule, path },
                host: of_host.host.clone(),
                slot: Slot::Path(of_path.path.clone()),
                backend: &of_path.backend,
            }))
    });
    let fallback = ingress.default_backend.iter().map(|backend| Wish {
        position: Position::DefaultBackend,
        host: HostPattern::Any,
        slot: Slot::Fallback,
        backend,
    });
    of_rules.chain(fallback)
}
