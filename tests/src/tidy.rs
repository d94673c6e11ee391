//! Rules that the sources keep and the compiler cannot hold.
//!
//! A library, so that each rule is shown to catch a planted fault; the tables that say who may
//! name what are data of `tests/tidy.rs`, which feeds this with the repository. It reads text and
//! knows no more of Rust than it needs: comments, literals, paths, `use` trees and `mod` lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use anyhow::Context;

mod modules;
mod names;
mod ranks;
mod shape;
mod source;

pub use names::Naming;
pub use ranks::Ranks;
use source::Source;

/// What is held, beside the rules that need no table.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub ranks: &'a [Ranks<'a>],
    pub names: &'a [Naming<'a>],
    /// Crates that at most one file may name.
    pub one_file: &'a [&'a str],
}

/// Where a rule is broken, and how.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    pub file: String,
    /// From 1; 0 if the fault is of the whole file.
    pub line: usize,
    pub text: String,
}

/// The files of a repository, by path from its top.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// A tree of given files.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter();
        Self {
            files: files
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .collect(),
        }
    }

    /// Reads what the rules look at: Rust sources and manifests, not what is built or hidden.
    pub fn read(top: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(top, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, top: &Path, folder: &str) -> anyhow::Result<()> {
        let path = top.join(folder);
        let entries = fs::read_dir(&path).with_context(|| format!("list {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    self.read_folder(top, &below)?;
                }
            } else if name.ends_with(".rs") || name == "Cargo.toml" {
                let text =
                    fs::read_to_string(entry.path()).with_context(|| format!("read {below}"))?;
                self.files.insert(below, text);
            }
        }
        Ok(())
    }

    /// Every fault, in the order of the files.
    pub fn faults(&self, rules: &Rules<'_>) -> Vec<Fault> {
        let sources: BTreeMap<&str, Source> = self
            .files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| (path.as_str(), Source::new(text)))
            .collect();
        let crates: Vec<&str> = self
            .files
            .keys()
            .filter_map(|path| path.strip_suffix("Cargo.toml"))
            .collect();
        let modules = modules::Modules::new(&sources, &crates);

        let mut faults = Vec::new();
        for (path, source) in &sources {
            shape::check(path, source, &mut faults);
        }
        modules.check(&sources, &mut faults);
        let product: BTreeMap<&str, &Source> = sources
            .iter()
            .filter(|(path, _)| modules.product.contains(**path))
            .map(|(path, source)| (*path, source))
            .collect();
        for ranks in rules.ranks {
            ranks.check(&product, &mut faults);
        }
        for naming in rules.names {
            naming.check(&product, &mut faults);
        }
        for name in rules.one_file {
            names::check_one_file(name, &product, &mut faults);
        }
        faults.sort();
        faults
    }
}

impl Fault {
    fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

/// Whether a file belongs to a module: `a/b` has `a/b.rs` and what lies in `a/b/`.
fn belongs(file: &str, module: &str) -> bool {
    let rest = file.strip_prefix(module);
    rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

type Product<'a> = BTreeMap<&'a str, &'a Source>;
type Files<'a> = BTreeSet<&'a str>;

#[cfg(test)]
mod tests;
