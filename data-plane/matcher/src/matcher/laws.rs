//! What holds for all rules and all requests.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The rules of each route: what a matcher is made from.
type Routes = BTreeMap<Arc<str>, Vec<Rule<u32>>>;

type Found = Vec<(Score, String, usize, u32)>;

/// By definition: every rule is asked, and those that match are sorted.
fn model(routes: &Routes, host: &str, path: &str) -> Found {
    let mut found = Vec::new();
    for (route, rules) in routes {
        for (index, rule) in rules.iter().enumerate() {
            if rule.host.matches(host) && rule.path.matches(path) {
                let score = Score::new(rule.tier, rule.priority, &rule.host, &rule.path);
                found.push((score, String::from(&**route), index, rule.payload));
            }
        }
    }
    found.sort_by_key(|(score, route, index, _)| (Reverse(*score), route.clone(), *index));
    found
}

fn found(matcher: &Matcher<u32>, host: &str, path: &str) -> Found {
    let candidates = matcher.candidates(host, path);
    candidates
        .map(|c| (c.score, c.route.to_owned(), c.index, *c.payload))
        .collect()
}

fn built(routes: &Routes) -> Matcher<u32> {
    let rules = routes
        .iter()
        .map(|(name, rules)| (Arc::clone(name), rules.clone()));
    Matcher::default().with_changes(rules)
}

fn rule() -> impl Strategy<Value = Rule<u32>> {
    let host = prop_oneof![
        Just(""),
        Just("*.b"),
        Just("*.a.b"),
        Just("b"),
        Just("a.b"),
        Just("a.bb"),
        Just("c.a.b"),
    ];
    let tier = prop_oneof![4 => Just(Tier::Rule), 1 => Just(Tier::Fallback)];
    let priority = prop_oneof![4 => Just(0), 1 => -1..3];
    (host, path(), 0..3, tier, priority, any::<u32>()).prop_map(
        |(host, path, kind, tier, priority, payload)| Rule {
            host: HostPattern::parse(host).unwrap(),
            path: match kind {
                0 => PathPattern::exact(&path).unwrap(),
                1 => PathPattern::element_prefix(&path).unwrap(),
                _ => PathPattern::byte_prefix(&path).unwrap(),
            },
            tier,
            priority,
            payload,
        },
    )
}

fn path() -> impl Strategy<Value = String> {
    "/((aa|a|b)/){0,2}(aa|a|b)?"
}

fn route() -> impl Strategy<Value = Arc<str>> {
    "ingress/[xy]/r[0-3]".prop_map(Into::into)
}

fn request() -> impl Strategy<Value = (String, String)> {
    ("((c|a|z)\\.)?(a\\.)?(b|bb|z)", path())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_matcher_finds_what_asking_every_rule_finds(
        routes in proptest::collection::btree_map(route(), vec(rule(), 0..8), 0..8),
        requests in vec(request(), 8),
    ) {
        let matcher = built(&routes);
        for (host, path) in &requests {
            let expected = model(&routes, host, path);
            prop_assert_eq!(matcher.lookup(host, path), expected.first().map(|f| &f.3));
            prop_assert_eq!(found(&matcher, host, path), expected);
        }
    }

    #[test]
    fn a_lookup_allocates_nothing(
        routes in proptest::collection::btree_map(route(), vec(rule(), 0..8), 0..8),
        requests in vec(request(), 8),
    ) {
        let matcher = built(&routes);
        for (host, path) in &requests {
            let counted = allocation_counter::measure(|| {
                std::hint::black_box(matcher.lookup(host, path));
                std::hint::black_box(matcher.candidates(host, path).count());
            });
            prop_assert_eq!(counted.count_total, 0, "{}{}", host, path);
        }
    }

    #[test]
    fn changes_one_by_one_equal_a_rebuild(
        changes in vec(vec((route(), vec(rule(), 0..4)), 1..3), 1..16),
    ) {
        let mut routes = Routes::new();
        let mut matcher = Matcher::default();
        for changes in changes {
            let before = format!("{matcher:?}");
            let next = matcher.with_changes(changes.clone());
            prop_assert_eq!(format!("{matcher:?}"), before, "an older version changed");
            matcher = next;
            routes.extend(changes);
            routes.retain(|_, rules| !rules.is_empty());
            prop_assert_eq!(format!("{matcher:?}"), format!("{:?}", built(&routes)));
        }
    }
}
