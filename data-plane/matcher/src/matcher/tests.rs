use super::*;

fn rule(host: &str, path: PathPattern, payload: &'static str) -> Rule<&'static str> {
    Rule {
        host: HostPattern::parse(host).unwrap(),
        path,
        tier: Tier::Rule,
        priority: 0,
        payload,
    }
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::element_prefix(path).unwrap()
}

fn exact(path: &str) -> PathPattern {
    PathPattern::exact(path).unwrap()
}

fn matcher(rules: impl IntoIterator<Item = Rule<&'static str>>) -> Matcher<&'static str> {
    Matcher::default().with_changes([("route".into(), rules.into_iter().collect())])
}

/// The table under "Examples" of path types in the Kubernetes documentation of
/// Ingress, row by row: paths of one host, a request, and the path that serves it.
#[test]
fn paths_match_as_kubernetes_documents() {
    for (paths, request, served) in [
        (vec![("Prefix", "/")], "/", Some("/")),
        (vec![("Prefix", "/")], "/any/path", Some("/")),
        (vec![("Exact", "/foo")], "/foo", Some("/foo")),
        (vec![("Exact", "/foo")], "/bar", None),
        (vec![("Exact", "/foo")], "/foo/", None),
        (vec![("Exact", "/foo/")], "/foo", None),
        (vec![("Prefix", "/foo")], "/foo", Some("/foo")),
        (vec![("Prefix", "/foo")], "/foo/", Some("/foo")),
        (vec![("Prefix", "/foo/")], "/foo", Some("/foo/")),
        (vec![("Prefix", "/foo/")], "/foo/", Some("/foo/")),
        (vec![("Prefix", "/aaa/bb")], "/aaa/bbb", None),
        (vec![("Prefix", "/aaa/bbb")], "/aaa/bbb", Some("/aaa/bbb")),
        (vec![("Prefix", "/aaa/bbb/")], "/aaa/bbb", Some("/aaa/bbb/")),
        (vec![("Prefix", "/aaa/bbb")], "/aaa/bbb/", Some("/aaa/bbb")),
        (
            vec![("Prefix", "/aaa/bbb")],
            "/aaa/bbb/ccc",
            Some("/aaa/bbb"),
        ),
        (vec![("Prefix", "/aaa/bbb")], "/aaa/bbbxyz", None),
        (
            vec![("Prefix", "/"), ("Prefix", "/aaa")],
            "/aaa/ccc",
            Some("/aaa"),
        ),
        (
            vec![("Prefix", "/"), ("Prefix", "/aaa"), ("Prefix", "/aaa/bbb")],
            "/aaa/bbb",
            Some("/aaa/bbb"),
        ),
        (
            vec![("Prefix", "/"), ("Prefix", "/aaa"), ("Prefix", "/aaa/bbb")],
            "/ccc",
            Some("/"),
        ),
        (vec![("Prefix", "/aaa")], "/ccc", None),
        (
            vec![("Prefix", "/foo"), ("Exact", "/foo")],
            "/foo",
            Some("/foo exactly"),
        ),
    ] {
        let matcher = matcher(paths.iter().map(|(kind, path)| match *kind {
            "Exact" if *path == "/foo" && paths.len() > 1 => {
                rule("a.example", exact(path), "/foo exactly")
            }
            "Exact" => rule("a.example", exact(path), path),
            _ => rule("a.example", prefix(path), path),
        }));
        let found = matcher.lookup("a.example", request).copied();
        assert_eq!(found, served, "{paths:?} {request}");
    }
}

/// The table under "Hostname wildcards" of the same page.
#[test]
fn wildcards_match_as_kubernetes_documents() {
    let matcher = matcher([rule("*.foo.com", prefix("/"), "wildcard")]);
    assert_eq!(matcher.lookup("bar.foo.com", "/"), Some(&"wildcard"));
    assert_eq!(matcher.lookup("baz.bar.foo.com", "/"), None);
    assert_eq!(matcher.lookup("foo.com", "/"), None);
}

#[test]
fn a_host_that_does_not_serve_the_path_leaves_it_to_less_specific_ones() {
    let fallback = Rule {
        tier: Tier::Fallback,
        ..rule("", prefix("/"), "fallback")
    };
    let matcher = matcher([
        fallback,
        rule("", prefix("/any/longer/than/others"), "any"),
        rule("*.example", prefix("/wild"), "wildcard"),
        rule("a.example", prefix("/own"), "own"),
        rule("a.example", prefix("/any/longer"), "own longer"),
    ]);
    for (host, path, expected) in [
        ("a.example", "/own", "own"),
        ("a.example", "/wild", "wildcard"),
        ("b.example", "/wild", "wildcard"),
        ("a.example", "/any/longer/than/others", "own longer"),
        ("b.example", "/any/longer/than/others", "any"),
        ("b.example", "/any/longer", "fallback"),
        ("[::1]", "/", "fallback"),
    ] {
        assert_eq!(matcher.lookup(host, path), Some(&expected), "{host}{path}");
    }
    let order: Vec<_> = matcher
        .candidates("a.example", "/any/longer/than/others")
        .map(|candidate| *candidate.payload)
        .collect();
    assert_eq!(order, ["own longer", "any", "fallback"]);
}

#[test]
fn a_priority_orders_rules_across_hosts() {
    let preferred = Rule {
        priority: 1,
        ..rule("", prefix("/a"), "preferred")
    };
    let matcher = matcher([rule("a.example", prefix("/a/b"), "host"), preferred]);
    assert_eq!(matcher.lookup("a.example", "/a/b"), Some(&"preferred"));

    let without = matcher.with_changes([(
        "route".into(),
        vec![
            rule("a.example", prefix("/a/b"), "host"),
            rule("", prefix("/a"), "any"),
        ],
    )]);
    assert_eq!(without.lookup("a.example", "/a/b"), Some(&"host"));
}

#[test]
fn equal_rules_are_ordered_by_the_names_of_their_routes() {
    for names in [["a", "b"], ["b", "a"]] {
        let changes = names.map(|name: &'static str| {
            (
                name.into(),
                vec![rule("", prefix("/"), name), rule("", prefix("/"), "later")],
            )
        });
        let matcher = Matcher::default().with_changes(changes);
        assert_eq!(matcher.lookup("a.example", "/"), Some(&"a"));
        let order: Vec<_> = matcher
            .candidates("a.example", "/")
            .map(|c| (c.route, c.index))
            .collect();
        assert_eq!(order, [("a", 0), ("a", 1), ("b", 0), ("b", 1)]);
    }
}

#[test]
fn ten_thousand_hosts_change_nothing_for_one() {
    let mut changes = vec![("one".into(), vec![rule("one.example", prefix("/a"), "one")])];
    let small = Matcher::default().with_changes(changes.clone());
    changes.extend((0..10_000).map(|n| {
        let host = format!("h{n}.example");
        (
            format!("r{n}").into(),
            vec![rule(&host, prefix("/a"), "other")],
        )
    }));
    let large = Matcher::default().with_changes(changes);
    for (host, path) in [
        ("one.example", "/a"),
        ("one.example", "/b"),
        ("on.example", "/a"),
        ("one.examples", "/a"),
        ("a.one.example", "/a"),
    ] {
        assert_eq!(
            small.lookup(host, path),
            large.lookup(host, path),
            "{host}{path}"
        );
    }
    assert_eq!(large.lookup("h9999.example", "/a/b"), Some(&"other"));
}

#[test]
fn a_host_is_named_by_itself_or_by_its_wildcard_and_not_by_any_host() {
    let rules = ["a.example", "*.b.example", ""].map(|host| rule(host, prefix("/x"), "rule"));
    let matcher = matcher(rules);
    for (host, named) in [
        ("a.example", true),
        ("c.b.example", true),
        ("b.example", false),
        ("d.c.b.example", false),
        ("c.a.example", false),
        ("example", false),
        ("", false),
    ] {
        assert_eq!(matcher.names_host(host), named, "{host}");
    }
    let without = matcher.with_changes([("route".into(), vec![])]);
    assert!(!without.names_host("a.example"));
}
