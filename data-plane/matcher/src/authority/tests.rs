use proptest::prelude::*;

use super::*;
use crate::host::HostPattern;

#[test]
fn authorities_are_read_into_one_form() {
    for (text, host, port) in [
        ("a.example", "a.example", None),
        ("A.Example.", "a.example", None),
        ("a.example:80", "a.example", Some(80)),
        ("a.example.:0443", "a.example", Some(443)),
        ("a_b.example:65535", "a_b.example", Some(65535)),
        ("localhost", "localhost", None),
        ("192.0.2.1:8080", "192.0.2.1", Some(8080)),
        ("[::1]", "[::1]", None),
        ("[2001:DB8:0::1]:443", "[2001:db8::1]", Some(443)),
    ] {
        let canonical = canonical_host(text).unwrap();
        assert_eq!(
            (canonical.as_str(), canonical.port()),
            (host, port),
            "{text}"
        );
    }
}

#[test]
fn what_is_canonical_is_borrowed() {
    for text in ["a.example:80", "a.example.", "[::1]:80"] {
        let canonical = canonical_host(text).unwrap();
        assert!(matches!(canonical.into_host(), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn what_is_not_one_host_is_refused() {
    let long = "a.".repeat(126) + "ab";
    let label = "a".repeat(64);
    for (text, reason) in [
        ("", AuthorityError::NoHost),
        (":80", AuthorityError::NoHost),
        (".", AuthorityError::Label),
        ("a..example", AuthorityError::Label),
        ("a.example..", AuthorityError::Label),
        (&label, AuthorityError::Label),
        (&long, AuthorityError::TooLong),
        (&long.repeat(2), AuthorityError::TooLong),
        ("user@a.example", AuthorityError::Character('@')),
        ("user:secret@a.example", AuthorityError::Port),
        ("a.example,b.example", AuthorityError::Character(',')),
        ("a.example b.example", AuthorityError::Character(' ')),
        (" a.example", AuthorityError::Character(' ')),
        ("a.example\t", AuthorityError::Character('\t')),
        ("a.example\0", AuthorityError::Character('\0')),
        ("a.example/x", AuthorityError::Character('/')),
        ("a%2eexample", AuthorityError::Character('%')),
        ("bücher.example", AuthorityError::Character('ü')),
        ("*.example", AuthorityError::Character('*')),
        ("a.example:", AuthorityError::Port),
        ("a.example:+80", AuthorityError::Port),
        ("a.example:80:80", AuthorityError::Port),
        ("a.example:80 ", AuthorityError::Port),
        ("a.example:65536", AuthorityError::Port),
        ("a.example:000080", AuthorityError::Port),
        ("::1", AuthorityError::Port),
        ("[::1", AuthorityError::Ipv6),
        ("[]", AuthorityError::Ipv6),
        ("[a.example]", AuthorityError::Ipv6),
        ("[192.0.2.1]", AuthorityError::Ipv6),
        ("[fe80::1%eth0]", AuthorityError::Ipv6),
        ("[::1]80", AuthorityError::Port),
        ("[::1]:", AuthorityError::Port),
        ("[::1].", AuthorityError::Port),
    ] {
        assert_eq!(canonical_host(text), Err(reason), "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_canonical_host_is_its_own_canonical_form(
        text in prop_oneof![any::<String>(), r"[aA1:._\[\]@,%-]{0,12}(:[0-9]{1,5})?"],
    ) {
        if let Ok(canonical) = canonical_host(&text) {
            let host = canonical.as_str();
            let again = canonical_host(host).unwrap();
            prop_assert_eq!((again.as_str(), again.port()), (host, None));
        }
    }

    #[test]
    fn a_request_for_the_text_of_a_pattern_matches_it(
        text in r"[a-zA-Z0-9-]{1,70}(\.[a-zA-Z0-9-]{1,60}){0,6}\.?",
    ) {
        if let Ok(pattern) = HostPattern::parse(&text) {
            prop_assert!(pattern.matches(canonical_host(&text).unwrap().as_str()));
        }
    }
}
