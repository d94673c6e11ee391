//! Which files the compiler sees, and which of them are the product.
//!
//! A file that no `mod` line reaches is dead: it was perhaps never compiled, and its tests never
//! ran. What is reached by way of tests only is exempt from the rules about the product.

use std::collections::BTreeMap;

use super::{
    Fault, Files,
    source::{Source, Token, begins, is_name},
};

/// The files that are reached from the roots of crates.
pub(super) struct Modules<'a> {
    all: Files<'a>,
    /// Reached without passing through tests, benchmarks or examples.
    pub(super) product: Files<'a>,
}

impl<'a> Modules<'a> {
    /// `crates` are the folders of manifests, each empty or with a slash at its end.
    pub(super) fn new(sources: &BTreeMap<&'a str, Source>, crates: &[&str]) -> Self {
        let roots = |kinds: &[Root]| -> Vec<&'a str> {
            let is_root = |path: &&str| {
                let in_crate = |folder: &&&str| {
                    let rest = path.strip_prefix(**folder);
                    rest.is_some_and(|rest| kinds.iter().any(|kind| kind.holds(rest)))
                };
                crates.iter().find(in_crate).is_some()
            };
            sources.keys().copied().filter(is_root).collect()
        };
        let of_product = [
            Root::File("src/lib.rs"),
            Root::File("src/main.rs"),
            Root::Folder("src/bin/"),
            Root::File("build.rs"),
        ];
        let others = [
            Root::Folder("tests/"),
            Root::Folder("benches/"),
            Root::Folder("examples/"),
            Root::Folder("fuzz_targets/"),
        ];
        let product_roots = roots(&of_product);
        let mut all_roots = product_roots.clone();
        all_roots.extend(roots(&others));
        Self {
            all: reach(sources, &all_roots, |source| &source.code),
            product: reach(sources, &product_roots, |source| &source.product),
        }
    }

    pub(super) fn check(&self, sources: &BTreeMap<&str, Source>, faults: &mut Vec<Fault>) {
        for path in sources.keys().filter(|path| !self.all.contains(**path)) {
            faults.push(Fault::new(path, 0, "no `mod` line reaches this file"));
        }
    }
}

/// What Cargo takes for the root of a target.
enum Root {
    File(&'static str),
    /// Every file in it, and `main.rs` of every folder in it.
    Folder(&'static str),
}

impl Root {
    fn holds(&self, path: &str) -> bool {
        match self {
            Self::File(file) => path == *file,
            Self::Folder(folder) => path.strip_prefix(folder).is_some_and(|rest| {
                rest.split_once('/')
                    .is_none_or(|(_, below)| below == "main.rs")
            }),
        }
    }
}

fn reach<'a>(
    sources: &BTreeMap<&'a str, Source>,
    roots: &[&'a str],
    text: impl Fn(&Source) -> &Vec<Token>,
) -> Files<'a> {
    let mut reached = Files::new();
    let mut left: Vec<(&str, bool)> = roots.iter().map(|root| (*root, true)).collect();
    while let Some((path, is_root)) = left.pop() {
        let Some(source) = sources.get(path) else {
            continue;
        };
        if !reached.insert(path) {
            continue;
        }
        for child in children(path, is_root, source, text(source)) {
            left.extend(
                sources
                    .get_key_value(child.as_str())
                    .map(|(child, _)| (*child, false)),
            );
        }
    }
    reached
}

/// Where the modules may lie that a file declares.
fn children(path: &str, is_root: bool, source: &Source, tokens: &[Token]) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = path.strip_suffix(".rs").unwrap_or(path);
    let base = if is_root || path.ends_with("/mod.rs") {
        folder
    } else {
        own
    };
    let below = |folder: &str, name: &str| match folder {
        "" => name.to_owned(),
        _ => format!("{folder}/{name}"),
    };
    let mut children = Vec::new();
    for window in tokens.windows(3) {
        let [_, name, _] = window else { continue };
        if !begins(window, &["mod", "", ";"]) || !is_name(&name.text) {
            continue;
        }
        match path_attribute(source, name.line) {
            Some(given) => children.push(below(folder, given)),
            None => {
                children.push(below(base, &format!("{}.rs", name.text)));
                children.push(below(base, &format!("{}/mod.rs", name.text)));
            }
        }
    }
    children
}

/// The file that a `#[path = "…"]` above the line names.
fn path_attribute(source: &Source, line: usize) -> Option<&str> {
    let above: Vec<&str> = source.raw.lines().take(line).collect();
    let mut near = above.iter().rev();
    let own = near.next();
    own.into_iter()
        .chain(near.take_while(|line| line.trim_start().starts_with("#[")))
        .find_map(|line| line.split_once("#[path = \"")?.1.split_once('"'))
        .map(|(path, _)| path)
}
