//! Who may name what of other crates and of the standard library.
//!
//! Purity and the seams around hyper, sled and Kubernetes are all of this form: these paths, in
//! these modules, with these exceptions, each with its reason.

use super::{Fault, Product, belongs, source::Named};

/// Paths that certain modules do not name.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    pub because: &'a str,
    /// Paths and all below them, such as `tokio` or `std::fs`; `*::now` is any function `now`.
    pub paths: &'a [&'a str],
    /// Modules (`control-plane/src/state`) or folders of crates (`control-plane/src`).
    pub within: &'a [&'a str],
    /// Modules that may all the same, each with its reason.
    pub except: &'a [(&'a str, &'a str)],
}

impl Naming<'_> {
    pub(super) fn check(&self, product: &Product<'_>, faults: &mut Vec<Fault>) {
        for (path, source) in product {
            let within = self.within.iter().any(|module| belongs(path, module));
            let excepted = self.except.iter().any(|(module, _)| belongs(path, module));
            if !within || excepted {
                continue;
            }
            for named in source.named() {
                if self.paths.iter().any(|pattern| names(&named, pattern)) {
                    let text = format!("`{}`: {}", named.text(), self.because);
                    faults.push(Fault::new(path, named.line, text));
                }
            }
        }
    }
}

/// At most one file names the crate.
pub(super) fn check_one_file(name: &str, product: &Product<'_>, faults: &mut Vec<Fault>) {
    let naming = product.iter().filter_map(|(path, source)| {
        let line = source.named().iter().find(|named| names(named, name))?.line;
        Some((*path, line))
    });
    let naming: Vec<_> = naming.collect();
    if naming.len() > 1 {
        for (path, line) in naming {
            let text = format!("`{name}` is named in more than one file, of which this is one");
            faults.push(Fault::new(path, line, text));
        }
    }
}

fn names(named: &Named, pattern: &str) -> bool {
    let pattern: Vec<&str> = pattern.split("::").collect();
    if let ["*", last] = pattern.as_slice() {
        return named.segments.last().is_some_and(|segment| segment == last);
    }
    // An import of a module or of all that is in it reaches what is forbidden there.
    let imported = || {
        let whole = named
            .segments
            .iter()
            .filter(|segment| *segment != "*" && *segment != "self");
        named.imported
            && named.segments.last().is_none_or(|segment| segment != "{")
            && whole.clone().count() < pattern.len()
            && whole.zip(&pattern).all(|(segment, part)| segment == part)
    };
    named.starts_with(&pattern) || imported()
}
