//! Rules on one file's shape: its length, its name, hollow statements, reasons.
//!
//! They need no table and hold for every file, tests included.

use super::{
    Fault,
    source::{Source, Token, begins, group},
};

pub(super) fn check(path: &str, source: &Source, faults: &mut Vec<Fault>) {
    let length = source.raw.lines().count();
    if length > LONGEST {
        let text = format!("{length} lines: split it at one idea a file ({LONGEST} at most)");
        faults.push(Fault::new(path, 0, text));
    }
    if path.rsplit('/').next() == Some("mod.rs") {
        faults.push(Fault::new(
            path,
            0,
            "`foo.rs` beside `foo/`, not `foo/mod.rs`",
        ));
    }
    for at in 0..source.code.len() {
        let (before, here) = source.code.split_at(at);
        if is_hollow(before, here) {
            let text = "a statement that begins with `matches!(` checks nothing: `assert!` it";
            faults.push(Fault::new(path, line(here), text));
        }
        if is_exception(before, here) && !has_reason(here) {
            faults.push(Fault::new(
                path,
                line(here),
                "a lint's exception without a reason",
            ));
        }
    }
}

fn is_hollow(before: &[Token], here: &[Token]) -> bool {
    let begins_statement = before
        .last()
        .is_none_or(|token| [";", "{", "}"].contains(&token.text.as_str()));
    let Some(arguments) = here.get(2..) else {
        return false;
    };
    begins_statement
        && begins(here, &["matches", "!", "("])
        && arguments
            .get(group(arguments))
            .is_some_and(|token| token.text == ";")
}

/// `#[allow(`, `#![allow(`, `#[expect(`, `#![expect(`.
fn is_exception(before: &[Token], here: &[Token]) -> bool {
    let in_attribute = |marks: &[&str]| {
        let start = before.len().checked_sub(marks.len());
        start
            .and_then(|start| before.get(start..))
            .is_some_and(|tail| begins(tail, marks))
    };
    (begins(here, &["allow", "("]) || begins(here, &["expect", "("]))
        && (in_attribute(&["#", "["]) || in_attribute(&["#", "!", "["]))
}

fn has_reason(here: &[Token]) -> bool {
    let arguments = here.get(1..).unwrap_or_default();
    let arguments = arguments.get(..group(arguments)).unwrap_or_default();
    arguments
        .windows(2)
        .any(|pair| begins(pair, &["reason", "="]))
}

fn line(here: &[Token]) -> usize {
    here.first().map_or(0, |token| token.line)
}

const LONGEST: usize = 500;
