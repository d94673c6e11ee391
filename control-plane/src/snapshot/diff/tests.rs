use super::*;
use crate::event::{Epoch, Seq};
use crate::snapshot::{Change, Version};

/// A snapshot of lines such as `route shop@1 a.example/cart=cart:80 fallback=web:80`,
/// `upstream web:80 9` and `listener http 80`. The number after `@` is a uid.
fn snapshot(seq: u64, lines: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let version = Version {
        epoch: Epoch(1),
        seq: Seq(seq),
    };
    snapshot.configure(version, lines.iter().map(|line| parse(line)).collect());
    snapshot
}

fn parse(line: &str) -> Change {
    let mut words = line.split_whitespace();
    let (kind, name) = (words.next().unwrap(), words.next().unwrap());
    let (id, body) = match kind {
        "route" => {
            let (name, uid) = name.split_once('@').unwrap();
            let route = v1::Route {
                source: Some(v1::Source {
                    kind: "Ingress".into(),
                    namespace: "default".into(),
                    name: name.into(),
                    uid: uid.into(),
                }),
                listeners: Vec::new(),
                rules: words.enumerate().map(rule).collect(),
            };
            let id = ResourceId::new(ResourceType::Route, name);
            (id, route.encode_to_vec())
        }
        "upstream" => (
            ResourceId::new(ResourceType::Upstream, name),
            words.next().unwrap().into(),
        ),
        "listener" => (
            ResourceId::new(ResourceType::Listener, name),
            words.next().unwrap().into(),
        ),
        other => panic!("no kind {other}"),
    };
    Change {
        id,
        body: Some((body, &[])),
    }
}

fn rule((position, text): (usize, &str)) -> v1::Rule {
    let (place, upstream) = text.split_once('=').unwrap();
    let fallback = place == "fallback";
    let (host, path) = place.split_once('/').unwrap_or(("", ""));
    v1::Rule {
        id: format!("rules[{position}]"),
        hostname: host.into(),
        path: Some(v1::PathMatch {
            kind: v1::path_match::Kind::ElementPrefix.into(),
            value: format!("/{path}"),
        }),
        fallback,
        backends: vec![v1::Backend {
            upstream: upstream.into(),
            weight: 1,
        }],
        https_port: 0,
    }
}

/// The diff as lines: `+host`, `-host`, `place: before -> after`, `+name`, `-name`, `~name`.
fn lines(diff: &Diff) -> Vec<String> {
    let owner = |owner: &Option<v1::RouteOwner>| match owner {
        Some(owner) => format!(
            "{} {}",
            owner.source.as_ref().unwrap().name,
            owner.backends[0].upstream
        ),
        None => "nobody".into(),
    };
    let mut lines: Vec<String> = Vec::new();
    lines.extend(diff.hosts_added.iter().map(|host| format!("+{host}")));
    lines.extend(diff.hosts_removed.iter().map(|host| format!("-{host}")));
    for change in &diff.routes {
        let path = match &change.path {
            Some(path) => path.value.as_str(),
            None => " fallback",
        };
        let (before, after) = (owner(&change.before), owner(&change.after));
        lines.push(format!("{}{path}: {before} -> {after}", change.hostname));
    }
    for change in diff.upstreams.iter().chain(&diff.listeners) {
        let sign = match change.kind() {
            v1::resource_change::Kind::Added => '+',
            v1::resource_change::Kind::Removed => '-',
            v1::resource_change::Kind::Changed => '~',
            v1::resource_change::Kind::Unspecified => '?',
        };
        lines.push(format!("{sign}{}", change.name));
    }
    lines
}

#[test]
fn a_diff_says_what_changed_for_requests() {
    const SHOP: &str = "route shop@1 a.example/=web:80 a.example/cart=cart:80";
    type Lines = &'static [&'static str];
    let cases: [(&str, Lines, Lines, Lines); 10] = [
        ("nothing", &[SHOP], &[SHOP], &[]),
        (
            "a first route",
            &[],
            &["route shop@1 a.example/=web:80", "upstream web:80 1"],
            &["+a.example", "a.example/: nobody -> shop web:80", "+web:80"],
        ),
        (
            "an object written anew with the same rules",
            &[SHOP],
            &["route shop@2 a.example/=web:80 a.example/cart=cart:80"],
            &[],
        ),
        (
            "rules in another order",
            &[SHOP],
            &["route shop@2 a.example/cart=cart:80 a.example/=web:80"],
            &[],
        ),
        (
            "one backend of two",
            &[SHOP],
            &["route shop@2 a.example/=web:80 a.example/cart=new:80"],
            &["a.example/cart: shop cart:80 -> shop new:80"],
        ),
        (
            "a path that another route takes over",
            &[SHOP],
            &[
                "route shop@1 a.example/=web:80",
                "route next@1 a.example/cart=cart:80",
            ],
            &["a.example/cart: shop cart:80 -> next cart:80"],
        ),
        (
            "a route less, of a host that another route still has",
            &["route a@1 a.example/x=x:80", "route b@1 a.example/y=y:80"],
            &["route a@1 a.example/x=x:80"],
            &["a.example/y: b y:80 -> nobody"],
        ),
        (
            "a default backend",
            &[],
            &["route shop@1 fallback=web:80"],
            &[" fallback: nobody -> shop web:80"],
        ),
        (
            "a route of any host",
            &[],
            &["route shop@1 /=web:80"],
            &["/: nobody -> shop web:80"],
        ),
        (
            "upstreams and listeners",
            &["upstream a 1", "upstream b 1", "listener http 80"],
            &["upstream b 2", "upstream c 1", "listener https 443"],
            &["-a", "~b", "+c", "-http", "+https"],
        ),
    ];
    for (name, before, after, expected) in cases {
        let diff = diff(&snapshot(1, before), &snapshot(2, after));
        assert_eq!(lines(&diff), expected, "{name}");
    }
}
