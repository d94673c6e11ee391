//! Tests of compiling: what is served by follows what is held, and ids stay.

use prost::Message;
use roadstead_proto::{digest, v1};

use super::*;
use crate::router::UpstreamId;
use crate::snapshot::{Told, Transfer};

/// What is held and compiled, changed resource by resource.
#[derive(Default)]
struct Proxy {
    held: Held,
    compiler: Compiler,
}

enum Change {
    Put(ResourceType, &'static str, Vec<u8>),
    Remove(ResourceType, &'static str),
}

impl Proxy {
    fn change(&mut self, changes: Vec<Change>) -> Active {
        let version = Version {
            lineage: "l".into(),
            epoch: 1,
            seq: 1,
        };
        let mut transfer = Transfer {
            version: version.clone(),
            endpoints_revision: 0,
            digest: self.held.digest().clone(),
            replaced: [].into(),
            changed: vec![],
            removed: vec![],
            trace_parent: None,
        };
        for change in changes {
            match change {
                Change::Put(kind, name, body) => transfer.changed.push(Told {
                    key: Key::new(kind.into(), name),
                    hash: digest::resource_hash(&body, []),
                    body: body.into(),
                    requires: [].into(),
                }),
                Change::Remove(kind, name) => transfer.removed.push(Key::new(kind.into(), name)),
            }
        }
        transfer.digest = self.held.digest_with(&transfer);
        let applied = self.held.apply(transfer).unwrap();
        self.compiler.apply(&applied.touched, &self.held);
        self.compiler.active(version)
    }
}

fn route(name: &'static str, path: &str, upstream: &str) -> Change {
    let route = v1::Route {
        rules: vec![v1::Rule {
            id: "r".to_owned(),
            hostname: "a.example".to_owned(),
            path: Some(v1::PathMatch {
                kind: v1::path_match::Kind::ElementPrefix.into(),
                value: path.to_owned(),
            }),
            fallback: false,
            backends: vec![v1::Backend {
                upstream: upstream.to_owned(),
                weight: 1,
            }],
            https_port: 0,
        }],
        ..v1::Route::default()
    };
    Change::Put(ResourceType::Route, name, route.encode_to_vec())
}

fn upstream(name: &'static str) -> Change {
    let upstream = v1::Upstream {
        source: None,
        target: Some(v1::upstream::Target::Discovered(v1::DiscoveredTarget {})),
    };
    Change::Put(ResourceType::Upstream, name, upstream.encode_to_vec())
}

fn endpoints(name: &'static str, addresses: &[&str]) -> Change {
    let endpoint = |address: &&str| v1::Endpoint {
        address: (*address).to_owned(),
        port: 80,
        condition: v1::endpoint::Condition::Ready.into(),
        uid: String::new(),
    };
    let endpoints = v1::Endpoints {
        endpoints: addresses.iter().map(endpoint).collect(),
    };
    Change::Put(ResourceType::Endpoints, name, endpoints.encode_to_vec())
}

/// One answer: to whoever asks `a.example` for `t`.
fn challenge(name: &'static str) -> Change {
    let challenge = v1::Challenge {
        answers: vec![v1::ChallengeAnswer {
            hostname: "a.example".to_owned(),
            token: "t".to_owned(),
            key_authorization: "t.x".to_owned(),
            r#type: v1::ChallengeType::Http01.into(),
        }],
    };
    Change::Put(ResourceType::Challenge, name, challenge.encode_to_vec())
}

const U: &str = "service/a/u:80";
const V: &str = "service/a/v:80";

fn id(active: &Active, path: &str) -> Option<UpstreamId> {
    let rule = active.router.route("http", "a.example", path)?;
    rule.backends[0].upstream
}

/// Addresses that a request for this path may go to; none if its upstream is not there.
fn addresses(active: &Active, path: &str) -> Option<Vec<String>> {
    let upstream = active.upstreams.find(id(active, path)?)?;
    let addresses = upstream.endpoints.iter().map(|e| e.address.to_string());
    Some(addresses.collect())
}

#[test]
fn route_upstream_and_endpoints_may_come_in_any_order() {
    let changes: [fn() -> Change; 3] = [
        || route("r", "/", U),
        || upstream(U),
        || endpoints(U, &["10.0.0.1"]),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut proxy = Proxy::default();
        let mut active = None;
        for index in order {
            active = Some(proxy.change(vec![changes[index]()]));
        }
        let addresses = addresses(&active.unwrap(), "/");
        assert_eq!(addresses, Some(vec!["10.0.0.1:80".to_owned()]), "{order:?}");
    }
}

#[test]
fn an_upstream_that_vanishes_and_returns_keeps_its_id_while_a_route_names_it() {
    let mut proxy = Proxy::default();
    let before = proxy.change(vec![
        route("r", "/", U),
        upstream(U),
        endpoints(U, &["10.0.0.1"]),
    ]);
    let without = proxy.change(vec![Change::Remove(ResourceType::Upstream, U)]);
    assert_eq!(addresses(&without, "/"), None);
    assert!(
        addresses(&before, "/").is_some(),
        "the version before is untouched"
    );
    let after = proxy.change(vec![upstream(U)]);
    assert_eq!(id(&after, "/"), id(&before, "/"));
    assert_eq!(addresses(&after, "/"), addresses(&before, "/"));
}

#[test]
fn a_change_of_endpoints_compiles_no_route() {
    let mut proxy = Proxy::default();
    let before = proxy.change(vec![
        route("r", "/", U),
        upstream(U),
        endpoints(U, &["10.0.0.1"]),
    ]);
    let after = proxy.change(vec![endpoints(U, &["10.0.0.2"])]);
    let rule = |active: &Active| {
        active
            .router
            .route("http", "a.example", "/")
            .unwrap()
            .clone()
    };
    assert!(Arc::ptr_eq(&rule(&before), &rule(&after)));
    assert_eq!(addresses(&after, "/"), Some(vec!["10.0.0.2:80".to_owned()]));
}

#[test]
fn a_name_that_moves_from_one_route_to_another_keeps_its_id() {
    let mut proxy = Proxy::default();
    let before = proxy.change(vec![route("r", "/", U)]);
    let after = proxy.change(vec![
        Change::Remove(ResourceType::Route, "r"),
        route("s", "/s", U),
    ]);
    assert!(id(&before, "/").is_some());
    assert_eq!(id(&after, "/s"), id(&before, "/"));
    assert_eq!(id(&after, "/"), None);
}

#[test]
fn a_place_in_the_table_is_used_again_under_another_generation() {
    let mut proxy = Proxy::default();
    let before = proxy.change(vec![route("r", "/", U), upstream(U)]);
    proxy.change(vec![
        Change::Remove(ResourceType::Route, "r"),
        Change::Remove(ResourceType::Upstream, U),
    ]);
    let after = proxy.change(vec![route("s", "/", V), upstream(V)]);
    let (old, new) = (id(&before, "/").unwrap(), id(&after, "/").unwrap());
    assert_eq!(old.index, new.index);
    assert_ne!(old.generation, new.generation);
    assert!(after.upstreams.find(old).is_none());
}

#[test]
fn routes_and_upstreams_are_counted() {
    let mut proxy = Proxy::default();
    proxy.change(vec![
        route("r", "/", U),
        route("s", "/s", U),
        upstream(U),
        upstream(V),
    ]);
    proxy.change(vec![
        route("r", "/r", V),
        Change::Remove(ResourceType::Upstream, V),
    ]);
    let counted = (proxy.compiler.routes(), proxy.compiler.upstreams());
    assert_eq!(counted, (2, 1));
    proxy.change(vec![Change::Remove(ResourceType::Route, "r")]);
    assert_eq!(proxy.compiler.routes(), 1);
}

#[test]
fn an_answer_that_goes_from_one_challenge_to_another_is_given_all_the_time() {
    let mut proxy = Proxy::default();
    let answer = |active: &Active| active.challenges.by_http("a.example", "t").cloned();
    let first = answer(&proxy.change(vec![challenge("b")]));
    assert_eq!(first.as_deref(), Some("t.x"));
    for (before, after) in [("b", "a"), ("a", "c")] {
        let both = proxy.change(vec![challenge(after)]);
        assert_eq!(answer(&both), first);
        let one = proxy.change(vec![Change::Remove(ResourceType::Challenge, before)]);
        assert_eq!(answer(&one), first);
    }
    let moved = proxy.change(vec![
        Change::Remove(ResourceType::Challenge, "c"),
        challenge("a"),
    ]);
    assert_eq!(answer(&moved), first);
    let none = proxy.change(vec![Change::Remove(ResourceType::Challenge, "a")]);
    assert_eq!(answer(&none), None);
}
