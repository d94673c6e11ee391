//! Modules in ranks: each names only modules of lower rank.
//!
//! Within one crate Cargo lets every module name every other; the one way round that the design
//! draws holds only if something reads the `crate::` paths.

use super::{Fault, Product, belongs, source::Named};

/// The ranks of one crate.
#[derive(Clone, Copy, Debug)]
pub struct Ranks<'a> {
    /// The folder of its sources, such as `control-plane/src`.
    pub sources: &'a str,
    /// Modules at the top of the crate, low to high; those of one rank do not name each other.
    pub levels: &'a [&'a [&'a str]],
}

impl Ranks<'_> {
    pub(super) fn check(&self, product: &Product<'_>, faults: &mut Vec<Fault>) {
        for (path, source) in product
            .iter()
            .filter(|(path, _)| belongs(path, self.sources))
        {
            let Some((module, at_top)) = self.module(path) else {
                continue;
            };
            let Some(rank) = self.rank(module) else {
                let text = format!("module `{module}` has no rank: give it one in tests/tidy.rs");
                faults.push(Fault::new(path, 0, text));
                continue;
            };
            for named in source.named() {
                if let Some(text) = self.judge(module, rank, at_top, &named) {
                    faults.push(Fault::new(path, named.line, text));
                }
            }
        }
    }

    /// What is wrong with a path in a module, if anything.
    fn judge(&self, module: &str, rank: usize, at_top: bool, named: &Named) -> Option<String> {
        let text = named.text();
        if named.starts_with(&["super", "super"]) {
            return Some(format!("`{text}`: say `crate::` and the module"));
        }
        let root = if at_top { "super" } else { "crate" };
        if !named.starts_with(&["crate"]) && !named.starts_with(&[root]) {
            return None;
        }
        let Some(other) = named
            .segments
            .get(1)
            .filter(|name| *name != "{" && *name != "*")
        else {
            return Some(format!("`{text}`: one import for each module, by its name"));
        };
        if other == module {
            return None;
        }
        match self.rank(other) {
            None => Some(format!("`{text}`: `{other}` is no module that has a rank")),
            Some(theirs) if theirs >= rank => Some(format!(
                "`{text}`: `{module}` does not rank above `{other}`"
            )),
            Some(_) => None,
        }
    }

    /// The module at the top of the crate that a file belongs to, and whether the file is that
    /// module itself and not one below it; none for a crate's root.
    fn module<'p>(&self, path: &'p str) -> Option<(&'p str, bool)> {
        let rest = path.strip_prefix(self.sources)?.strip_prefix('/')?;
        let (module, at_top) = match rest.split_once('/') {
            Some((module, _)) => (module, false),
            None => (rest.strip_suffix(".rs")?, true),
        };
        (!["lib", "main", "bin"].contains(&module)).then_some((module, at_top))
    }

    fn rank(&self, module: &str) -> Option<usize> {
        self.levels.iter().position(|level| level.contains(&module))
    }
}
