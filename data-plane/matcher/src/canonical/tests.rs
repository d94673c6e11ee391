use proptest::prelude::*;

use super::*;

const STRICT: PathPolicy = PathPolicy {
    encoded_slash: false,
    backslash: false,
    empty_segments: false,
};

fn canonical(raw: &str, policy: PathPolicy) -> Result<String, PathError> {
    canonical_path(raw, policy).map(|path| path.as_str().to_owned())
}

#[test]
fn a_canonical_path_is_borrowed() {
    for path in [
        "/",
        "/a/b;v=1/c.js",
        "/.well-known/acme-challenge/x",
        "/%D0%BF/a%20b",
        "/@scope%40x",
    ] {
        let canonical = canonical_path(path, STRICT).unwrap();
        assert!(matches!(canonical.into_path(), Cow::Borrowed(same) if same == path));
    }
}

#[test]
fn paths_are_read_into_one_form() {
    for (raw, path) in [
        // unreserved characters are decoded, escapes are in upper case
        ("/%41%7a%7E%2d%5f", "/Az~-_"),
        ("/%c3%a9", "/%C3%A9"),
        ("/é", "/%C3%A9"),
        ("/%E9", "/%E9"),
        // reserved ones are as they came
        ("/a%3Ab%3a:c%40@", "/a%3Ab%3A:c%40@"),
        ("/%3F%23%25", "/%3F%23%25"),
        ("/!$&'()*+,;=", "/!$&'()*+,;="),
        // one decoding, not two
        ("/%252e%252E/%252f", "/%252e%252E/%252f"),
        // what cannot stand in a path is escaped
        ("/a b|{\"<^`>}[]", "/a%20b%7C%7B%22%3C%5E%60%3E%7D%5B%5D"),
        // dot segments
        ("/.", "/"),
        ("/..", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/./b", "/a/b"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/../../a", "/a"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/%2E", "/a/"),
        ("/...", "/..."),
        ("/.a/..b/c..", "/.a/..b/c.."),
        ("/a.;x", "/a.;x"),
        // empty segments
        ("//", "/"),
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/b"),
        ("//evil.example/%2e%2e", "/"),
    ] {
        assert_eq!(canonical(raw, STRICT).as_deref(), Ok(path), "{raw}");
    }
}

#[test]
fn what_upstreams_read_in_two_ways_is_refused() {
    let long = "/".repeat(MAX_PATH + 1);
    let growing = format!("/{}", "\"".repeat(MAX_PATH - 1));
    for (raw, reason) in [
        ("", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("a/b", PathError::NotAbsolute),
        ("http://a.example/", PathError::NotAbsolute),
        (&long, PathError::TooLong),
        (&growing, PathError::TooLong),
        ("/a\0", PathError::Control),
        ("/a%00", PathError::Control),
        ("/a%0D%0aSet-Cookie:x", PathError::Control),
        ("/a\tb", PathError::Control),
        ("/a\x7F", PathError::Control),
        ("/%", PathError::Escape),
        ("/%4", PathError::Escape),
        ("/%4/1", PathError::Escape),
        ("/%+4", PathError::Escape),
        ("/%u002f", PathError::Escape),
        ("/%%32%66", PathError::Escape),
        ("/a%2fb", PathError::EncodedSlash),
        ("/a%2F..%2Fb", PathError::EncodedSlash),
        ("/a\\b", PathError::Backslash),
        ("/a%5Cb", PathError::Backslash),
        ("/a#b", PathError::Fragment),
        ("/a?b", PathError::Query),
        ("/%C0%AE%c0%ae/", PathError::OverlongUtf8),
        ("/%c0%af", PathError::OverlongUtf8),
        ("/%E0%80%AF", PathError::OverlongUtf8),
        ("/%F0%80%80%AF", PathError::OverlongUtf8),
        ("/a/..;/b", PathError::HiddenDotSegment),
        ("/a/..;x=1", PathError::HiddenDotSegment),
        ("/a/.;/b", PathError::HiddenDotSegment),
        ("/a/%2e%2e%3bx/b", PathError::HiddenDotSegment),
    ] {
        assert_eq!(canonical(raw, STRICT).as_deref(), Err(&reason), "{raw:?}");
    }
}

#[test]
fn a_policy_permits_what_it_names_and_no_more() {
    let slash = PathPolicy {
        encoded_slash: true,
        ..STRICT
    };
    let backslash = PathPolicy {
        backslash: true,
        ..STRICT
    };
    let empty = PathPolicy {
        empty_segments: true,
        ..STRICT
    };
    for (raw, policy, expected) in [
        ("/@scope%2fname", slash, Ok("/@scope%2Fname")),
        ("/projects/a%2Fb/../c", slash, Ok("/projects/c")),
        ("/a%2F..%2Fb", slash, Err(PathError::HiddenDotSegment)),
        ("/..%2Fb", slash, Err(PathError::HiddenDotSegment)),
        ("/a%2F.", slash, Err(PathError::HiddenDotSegment)),
        ("/a%2F..;x", slash, Err(PathError::HiddenDotSegment)),
        ("/a%5Cb", slash, Err(PathError::Backslash)),
        ("/a\\b%5cc", backslash, Ok("/a%5Cb%5Cc")),
        ("/a\\..\\b", backslash, Err(PathError::HiddenDotSegment)),
        ("/a%2Fb", backslash, Err(PathError::EncodedSlash)),
        (
            "/get/https://a.example//",
            empty,
            Ok("/get/https://a.example//"),
        ),
        ("/a//../b", empty, Ok("/a/b")),
        ("//..//", empty, Ok("//")),
        ("/a%2Fb", empty, Err(PathError::EncodedSlash)),
        ("/%00", PathPolicy::ALL, Err(PathError::Control)),
    ] {
        let found = canonical_path(raw, policy);
        match &found {
            Ok(path) => {
                assert!(policy.covers(path.needs()), "{raw}");
                assert_eq!(Ok(path.as_str()), expected, "{raw}");
            }
            Err(reason) => assert_eq!(Err(*reason), expected, "{raw}"),
        }
    }
}

#[test]
fn a_path_says_what_its_route_must_permit() {
    for (raw, needs) in [
        ("/a/b", STRICT),
        ("/a/", STRICT),
        ("/a/../b%20", STRICT),
        (
            "/a%2Fb",
            PathPolicy {
                encoded_slash: true,
                ..STRICT
            },
        ),
        (
            "/a\\b",
            PathPolicy {
                backslash: true,
                ..STRICT
            },
        ),
        (
            "/a//b",
            PathPolicy {
                empty_segments: true,
                ..STRICT
            },
        ),
    ] {
        let path = canonical_path(raw, PathPolicy::ALL).unwrap();
        assert_eq!(path.needs(), needs, "{raw}");
        assert_eq!(STRICT.covers(needs), needs == STRICT);
    }
}

/// RFC 3986, 5.2.4, step by step as it stands there.
fn remove_dot_segments(path: &str) -> String {
    let mut input = path.to_owned();
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or_default());
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}

fn policy() -> impl Strategy<Value = PathPolicy> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(encoded_slash, backslash, empty_segments)| PathPolicy {
            encoded_slash,
            backslash,
            empty_segments,
        },
    )
}

fn raw() -> impl Strategy<Value = String> {
    let part = "/|/|\\.|a|%2e|%2E|%41|%2f|%5c|\\\\|;|%3B|%C3%A9|%e9|é|%25| |%|:";
    prop_oneof![
        proptest::collection::vec(part, 0..12).prop_map(|parts| format!("/{}", parts.concat())),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_canonical_path_is_its_own_canonical_form(raw in raw(), policy in policy()) {
        if let Ok(path) = canonical_path(&raw, policy) {
            let again = canonical_path(path.as_str(), policy).unwrap();
            prop_assert!(matches!(again.path, Cow::Borrowed(_)));
            prop_assert_eq!(again.as_str(), path.as_str());
            prop_assert!(path.needs().covers(again.needs()));
        }
    }

    #[test]
    fn what_a_path_needs_is_the_least_that_gives_it(raw in raw(), policy in policy()) {
        if let Ok(path) = canonical_path(&raw, policy) {
            prop_assert!(policy.covers(path.needs()));
            prop_assert_eq!(canonical_path(&raw, path.needs()), Ok(path));
        }
    }

    #[test]
    fn a_canonical_path_says_one_thing_only(raw in raw(), policy in policy()) {
        if let Ok(path) = canonical_path(&raw, policy) {
            let path = path.as_str();
            prop_assert!(path.starts_with('/'));
            prop_assert!(path.bytes().all(|byte| is_path_byte(byte) || byte == b'%'));
            prop_assert!(policy.empty_segments || !path.contains("//"));
            prop_assert!(policy.encoded_slash || !path.contains("%2F"));
            prop_assert!(policy.backslash || !path.contains("%5C"));
            // Neither as it stands nor as a second reader might decode it.
            let decoded = path.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
            for segment in decoded.split('/') {
                let name = segment.split(';').next().unwrap();
                prop_assert!(name != "." && name != "..", "{path}");
            }
        }
    }

    #[test]
    fn dot_segments_go_as_the_rfc_says(raw in "/([a./]|\\.\\.|//){0,12}") {
        let policy = PathPolicy { empty_segments: true, ..STRICT };
        prop_assert_eq!(canonical(&raw, policy), Ok(remove_dot_segments(&raw)));
    }
}
