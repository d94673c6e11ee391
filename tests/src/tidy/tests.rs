//! Every rule catches the fault that is planted for it, and passes what is right beside it.

use super::*;

const RULES: Rules<'_> = Rules {
    ranks: &[Ranks {
        sources: "plane/src",
        levels: &[
            &["model"],
            &["event", "snapshot"],
            &["state"],
            &["log", "watch"],
            &["app"],
        ],
    }],
    names: &[
        Naming {
            because: "pure",
            paths: &[
                "tokio",
                "std::fs",
                "std::net::TcpStream",
                "std::time::Instant",
                "*::now",
            ],
            within: &["plane/src/model", "plane/src/state"],
            except: &[("plane/src/state/clock", "it is handed the clock")],
        },
        Naming {
            because: "seam",
            paths: &["hyper"],
            within: &["plane/src"],
            except: &[],
        },
    ],
    one_file: &["sled"],
};

/// The faults of a crate `plane` whose modules are `files`, as `path:line` below its sources.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let mods: String = ["app", "event", "log", "model", "snapshot", "state", "watch"]
        .iter()
        .filter(|name| files.iter().any(|(path, _)| belongs(path, name)))
        .map(|name| format!("mod {name};\n"))
        .collect();
    let mut all = vec![
        ("plane/Cargo.toml".to_owned(), String::new()),
        ("plane/src/lib.rs".to_owned(), mods),
    ];
    for (path, text) in files {
        let folder = if path.starts_with("../") {
            "plane/"
        } else {
            "plane/src/"
        };
        all.push((
            format!("{folder}{}", path.trim_start_matches("../")),
            (*text).to_owned(),
        ));
    }
    let tree = Tree::of(
        all.iter()
            .map(|(path, text)| (path.as_str(), text.as_str())),
    );
    let faults = tree.faults(&RULES).into_iter().map(|fault| {
        let file = fault.file.trim_start_matches("plane/src/");
        format!("{file}:{}", fault.line)
    });
    faults.collect()
}

#[track_caller]
fn caught(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(faults(files), expected, "{files:?}");
}

#[test]
fn a_module_names_only_lower_ranks() {
    caught(
        &[
            (
                "state.rs",
                "use crate::event::E;\nfn f() { crate::model::g() }",
            ),
            ("event.rs", "use crate::model::M;"),
            ("model.rs", ""),
        ],
        &[],
    );
    for (module, line) in [
        ("model", "use crate::state::S;"),
        ("model", "fn f() { crate::state::g() }"),
        ("event", "use crate::snapshot::V;"),
        ("log", "use crate::watch::W;"),
        ("state", "use crate::{event::E, model::M};"),
        ("state", "use crate::*;"),
        ("state", "use crate::nowhere::N;"),
        ("model", "pub use super::state;"),
    ] {
        let file = format!("{module}.rs");
        let expected: Vec<String> = vec![format!("{file}:2")];
        let mut found = faults(&[(&file, &format!("\n{line}"))]);
        found.dedup();
        assert_eq!(found, expected, "{line}");
    }
}

#[test]
fn a_submodule_has_the_rank_of_its_module() {
    let model = ("model.rs", "mod key;");
    caught(
        &[
            model,
            ("model/key.rs", "use super::M;\nuse crate::model::N;"),
        ],
        &[],
    );
    caught(
        &[model, ("model/key.rs", "use crate::event::E;")],
        &["model/key.rs:1"],
    );
    caught(
        &[model, ("model/key.rs", "use super::super::event::E;")],
        &["model/key.rs:1"],
    );
}

#[test]
fn a_module_without_a_rank_is_caught() {
    caught(&[("app.rs", "mod below;"), ("app/below.rs", "")], &[]);
    let tree = Tree::of([
        ("plane/Cargo.toml", ""),
        ("plane/src/lib.rs", "mod other;"),
        ("plane/src/other.rs", ""),
    ]);
    let faults = tree.faults(&RULES);
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].text.contains("`other` has no rank"),
        "{}",
        faults[0]
    );
}

#[test]
fn a_pure_module_names_nothing_that_acts() {
    caught(
        &[(
            "model.rs",
            "use std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;",
        )],
        &[],
    );
    caught(&[("log.rs", "use tokio::time;\nuse std::fs;")], &[]);
    for line in [
        "use tokio::sync::watch;",
        "fn f() { tokio::task::yield_now() }",
        "use std::{fmt, fs};",
        "use std::fs::File;",
        "use std::net::TcpStream;",
        "use std::net::*;",
        "use std::time::{self, Duration};",
        "fn f() { std::time::Instant::elapsed() }",
        "fn f() { jiff::Timestamp::now() }",
    ] {
        caught(&[("model.rs", line)], &["model.rs:1"]);
    }
    let state = ("state.rs", "mod clock;\nmod other;");
    let clock = "fn f() -> u64 { Clock::now() }";
    caught(
        &[state, ("state/clock.rs", clock), ("state/other.rs", clock)],
        &["state/other.rs:1"],
    );
}

#[test]
fn a_seam_and_a_crate_of_one_file_hold() {
    caught(
        &[("watch.rs", "fn f(body: hyper::body::Incoming) {}")],
        &["watch.rs:1"],
    );
    caught(
        &[("log.rs", "use sled::Db;\nfn f() -> sled::Error {}")],
        &[],
    );
    let two = [
        ("log.rs", "\nuse sled::Db;"),
        ("watch.rs", "fn f() -> sled::Error {}"),
    ];
    caught(&two, &["log.rs:2", "watch.rs:1"]);
}

#[test]
fn tests_are_free_of_the_rules_about_the_product() {
    let test = "use crate::app::A;\nuse tokio::time;\nuse sled::Db;\nuse super::super::x;";
    let inline = format!("#[cfg(test)]\nmod tests {{ {test} }}");
    let declared = "#[cfg(test)]\nmod laws;";
    caught(&[("model.rs", &inline), ("log.rs", "use sled::Db;")], &[]);
    caught(
        &[
            ("model.rs", declared),
            ("model/laws.rs", test),
            ("log.rs", "use sled::Db;"),
        ],
        &[],
    );
    caught(
        &[("log.rs", "use sled::Db;"), ("../tests/whole.rs", test)],
        &[],
    );
}

#[test]
fn hollow_statements_are_caught() {
    let right =
        "fn f() -> bool { assert!(matches!(a, B)); let c = matches!(a, B);\nmatches!(a, B) }";
    caught(&[("app.rs", right)], &[]);
    caught(
        &[("app.rs", "fn f() { g();\nmatches!(a, B(_) if c[0]);\n}")],
        &["app.rs:2"],
    );
    let test = "#[test]\nfn f() {\nmatches!(a, B); }";
    caught(&[("../tests/whole.rs", test)], &["plane/tests/whole.rs:3"]);
}

#[test]
fn files_that_nothing_reaches_are_caught() {
    caught(
        &[("app.rs", "mod a { }\n// mod b;"), ("app/b.rs", "")],
        &["app/b.rs:0"],
    );
    caught(
        &[("app.rs", ""), ("app.rs.rs", ""), ("../tests/a/b.rs", "")],
        &["app.rs.rs:0", "plane/tests/a/b.rs:0"],
    );
    let by_path = "#[path = \"a/b.rs\"]\n#[rustfmt::skip]\nmod b;";
    caught(
        &[
            ("../tests/a.rs", by_path),
            ("../tests/a/b.rs", "mod c;"),
            ("../tests/a/b/c.rs", ""),
        ],
        &[],
    );
    caught(
        &[
            ("../build.rs", ""),
            ("../benches/a.rs", ""),
            ("../tests/a/main.rs", "mod b;"),
            ("../tests/a/b.rs", ""),
            ("bin/a.rs", ""),
        ],
        &[],
    );
}

#[test]
fn long_files_and_mod_rs_are_caught() {
    let (most, more) = ("\n".repeat(500), "\n".repeat(501));
    caught(&[("app.rs", &most), ("log.rs", &more)], &["log.rs:0"]);
    caught(&[("app/mod.rs", "")], &["app/mod.rs:0"]);
}

#[test]
fn exceptions_without_a_reason_are_caught() {
    let right = "#![allow(a, reason = \"b\")]\n#[expect(\n c,\n reason = \"d\",\n)]\nfn e() { f.expect(\"g\"); }";
    caught(&[("app.rs", right)], &[]);
    for wrong in [
        "#[allow(a)]",
        "#![allow(a)]",
        "#[expect(a, b)]",
        "#[allow(a_reason)] // reason = 1",
    ] {
        caught(
            &[("app.rs", &format!("{wrong}\nfn b() {{}}"))],
            &["app.rs:1"],
        );
    }
}
