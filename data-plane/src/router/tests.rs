//! Tests of the router: listeners, and that changes come to the same as the whole.
//! Hosts, paths and precedence are the matcher's.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roadstead_matcher::{host::HostPattern, path::PathPattern};

use super::*;
use crate::snapshot::Backend;

const LISTENERS: [&str; 3] = ["http", "internal", "admin"];
const HOSTS: [&str; 3] = ["a.example", "*.example", ""];
const PATHS: [&str; 3] = ["/", "/x", "/x/y"];

fn rule(id: &str, host: &str, path: &str) -> Rule {
    Rule {
        id: id.into(),
        host: HostPattern::parse(host).unwrap(),
        path: PathPattern::element_prefix(path).unwrap(),
        fallback: false,
        backends: [Backend {
            upstream: Some("service/a/b:80".into()),
            weight: 1,
        }]
        .into(),
        https_port: None,
    }
}

fn route(listeners: &[&str], rules: Vec<Rule>) -> Route {
    Route {
        listeners: listeners.iter().map(|&name| name.into()).collect(),
        rules: rules.into(),
    }
}

fn names() -> Names {
    let mut names = Names::default();
    names.acquire(&"service/a/b:80".into());
    names
}

/// The router after these changes, each a route's name and what it is now.
fn follow(router: &Router, routes: &mut BTreeMap<Arc<str>, Route>, changes: &[Change]) -> Router {
    let before = routes.clone();
    for (name, after) in changes {
        match after {
            Some(route) => routes.insert(name.clone(), route.clone()),
            None => routes.remove(name),
        };
    }
    let changed = changes
        .iter()
        .map(|(name, _)| name)
        .collect::<BTreeSet<_>>();
    let changes: Vec<_> = changed
        .into_iter()
        .map(|name| RouteChange {
            name,
            before: before.get(name),
            after: routes.get(name),
        })
        .collect();
    router.with_changes(&changes, &names())
}

type Change = (Arc<str>, Option<Route>);

fn served(router: &Router) -> Vec<Option<String>> {
    let mut answers = Vec::new();
    for listener in LISTENERS {
        for host in ["a.example", "b.example", "other"] {
            for path in ["/", "/x", "/x/y/z", "/xy"] {
                let rule = router.route(listener, host, path);
                answers.push(rule.map(|rule| rule.id.to_string()));
            }
        }
    }
    answers
}

fn change() -> impl Strategy<Value = Change> {
    let listeners = prop::sample::subsequence(&LISTENERS[..], 0..=2);
    let rules = prop::collection::vec((0..3usize, 0..3usize), 1..3);
    let after = prop::option::weighted(0.8, (listeners, rules));
    (0..5u8, after).prop_map(|(name, after)| {
        let after = after.map(|(listeners, rules)| {
            let rules = rules
                .into_iter()
                .enumerate()
                .map(|(i, (host, path))| rule(&format!("{name}#{i}"), HOSTS[host], PATHS[path]));
            route(&listeners, rules.collect())
        });
        (name.to_string().into(), after)
    })
}

proptest! {
    #[test]
    fn changes_come_to_the_same_as_the_whole(
        changes in prop::collection::vec(prop::collection::vec(change(), 0..4), 0..6),
    ) {
        let (mut router, mut routes) = (Router::default(), BTreeMap::new());
        for changes in &changes {
            router = follow(&router, &mut routes, changes);
        }
        let all: Vec<_> = routes.iter().map(|(name, route)| (name.clone(), Some(route.clone()))).collect();
        let whole = follow(&Router::default(), &mut BTreeMap::new(), &all);
        prop_assert_eq!(served(&router), served(&whole));
        let named = |router: &Router| router.named.keys().cloned().collect::<Vec<_>>();
        prop_assert_eq!(named(&router), named(&whole));
    }
}

#[test]
fn a_route_serves_only_the_listeners_that_it_names() {
    let rules = |id: &str, path: &str| vec![rule(id, "a.example", path)];
    let router = follow(
        &Router::default(),
        &mut BTreeMap::new(),
        &[
            ("all".into(), Some(route(&[], rules("all#0", "/")))),
            (
                "one".into(),
                Some(route(&["internal"], rules("one#0", "/x"))),
            ),
        ],
    );
    for (listener, path, id) in [
        ("http", "/", "all#0"),
        ("http", "/x", "all#0"),
        ("internal", "/", "all#0"),
        ("internal", "/x", "one#0"),
    ] {
        let rule = router.route(listener, "a.example", path).unwrap();
        assert_eq!(&*rule.id, id, "{listener} {path}");
    }
}

#[test]
fn a_change_compiles_no_other_rule() {
    let mut routes = BTreeMap::new();
    let first = (
        "a".into(),
        Some(route(&[], vec![rule("a#0", "a.example", "/")])),
    );
    let router = follow(&Router::default(), &mut routes, &[first]);
    let second = (
        "b".into(),
        Some(route(&[], vec![rule("b#0", "a.example", "/x")])),
    );
    let changed = follow(&router, &mut routes, &[second]);
    let rule = |router: &Router| router.route("http", "a.example", "/").unwrap().clone();
    assert!(Arc::ptr_eq(&rule(&router), &rule(&changed)));
    assert_eq!(
        &*changed.route("http", "a.example", "/x").unwrap().id,
        "b#0"
    );
    assert_eq!(&*router.route("http", "a.example", "/x").unwrap().id, "a#0");
}

/// What a request needs until its route is known, from the canonical forms on. Hosts with few
/// rules and with many, which the matcher keeps apart; hits and misses of each kind.
#[test]
fn a_lookup_allocates_nothing() {
    let many = (0..40).map(|i| rule(&format!("many#{i}"), "many.example", &format!("/{i}/x")));
    let mut fallback = rule("default#0", "", "/");
    fallback.fallback = true;
    let rules = vec![
        rule("few#0", "a.example", "/"),
        rule("few#1", "a.example", "/x/y"),
        rule("wild#0", "*.wild.example", "/x"),
        fallback,
    ];
    let router = follow(
        &Router::default(),
        &mut BTreeMap::new(),
        &[
            ("all".into(), Some(route(&[], rules))),
            ("many".into(), Some(route(&["internal"], many.collect()))),
        ],
    );
    for (listener, host, path, found) in [
        ("http", "a.example", "/", Some("few#0")),
        ("http", "a.example", "/x/y/z", Some("few#1")),
        ("http", "a.example", "/x/yz", Some("few#0")),
        ("http", "b.wild.example", "/x", Some("wild#0")),
        ("http", "b.wild.example", "/y", Some("default#0")),
        ("http", "a.b.wild.example", "/x", Some("default#0")),
        ("http", "nobody.example", "/", Some("default#0")),
        ("http", "", "/", Some("default#0")),
        ("internal", "many.example", "/39/x/y", Some("many#39")),
        ("internal", "many.example", "/40/x", Some("default#0")),
        ("http", "many.example", "/39/x", Some("default#0")),
    ] {
        let lookup = |router: &Router| {
            let mut id = None;
            let counted = allocation_counter::measure(|| {
                id = router.route(listener, host, path).map(|rule| &*rule.id);
            });
            assert_eq!(counted.count_total, 0, "{listener} {host}{path}");
            id.map(str::to_owned)
        };
        assert_eq!(lookup(&router).as_deref(), found, "{listener} {host}{path}");
        assert_eq!(lookup(&Router::default()), None);
    }
    // What counts can count.
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8])));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn a_host_is_named_by_a_route_of_whichever_listener() {
    let mut routes = BTreeMap::new();
    let changes = [
        (
            "shared".into(),
            Some(route(&[], vec![rule("s", "a.example", "/")])),
        ),
        (
            "named".into(),
            Some(route(&["admin"], vec![rule("n", "b", "/")])),
        ),
    ];
    let router = follow(&Router::default(), &mut routes, &changes);
    let named = ["a.example", "b", "c"].map(|host| router.names_host(host));
    assert_eq!(named, [true, true, false]);
}
