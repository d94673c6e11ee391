//! Tests of decoding: each message's fields, and what a fault says.

use proptest::prelude::*;
use v1::ResourceType as Kind;

use super::*;
use crate::snapshot::{BundleName, Key, KeyType, ListenerProtocol, Target, TlsPolicy};

fn told(kind: Kind, name: &str, body: &impl Message) -> Told {
    let body = body.encode_to_vec();
    Told {
        key: Key::new(kind.into(), name),
        hash: digest::resource_hash(&body, []),
        body: body.into(),
        requires: [].into(),
    }
}

fn route(rules: Vec<v1::Rule>) -> Told {
    let route = v1::Route {
        rules,
        ..v1::Route::default()
    };
    told(Kind::Route, "ingress/a/b", &route)
}

fn rule(hostname: &str, path: &str) -> v1::Rule {
    v1::Rule {
        id: "spec.rules[0]".to_owned(),
        hostname: hostname.to_owned(),
        path: Some(v1::PathMatch {
            kind: v1::path_match::Kind::ElementPrefix.into(),
            value: path.to_owned(),
        }),
        fallback: false,
        backends: vec![v1::Backend {
            upstream: "service/a/b:80".to_owned(),
            weight: 1,
        }],
        https_port: 0,
    }
}

fn listener(address: &str, port: u32, protocol: i32) -> Told {
    let listener = v1::Listener {
        name: "web".to_owned(),
        address: address.to_owned(),
        port,
        protocol,
        proxy_protocol: Vec::new(),
        tls: None,
    };
    told(Kind::Listener, "web", &listener)
}

fn endpoints(endpoints: &[(&str, u32, i32)]) -> Told {
    let endpoint = |&(address, port, condition): &(&str, u32, i32)| v1::Endpoint {
        address: address.to_owned(),
        port,
        condition,
        uid: "u".to_owned(),
    };
    let endpoints = v1::Endpoints {
        endpoints: endpoints.iter().map(endpoint).collect(),
    };
    told(Kind::Endpoints, "service/a/b:80", &endpoints)
}

fn external(hostname: &str, port: u32) -> Told {
    let upstream = v1::Upstream {
        source: None,
        target: Some(v1::upstream::Target::External(v1::ExternalTarget {
            hostname: hostname.to_owned(),
            port,
            allow_local: true,
        })),
    };
    told(Kind::Upstream, "service/a/b:80", &upstream)
}

fn usable(told: &Told) -> Form {
    match Decoded::from_told(told) {
        Decoded::Usable(form) => form,
        Decoded::Faulty { fault, .. } => panic!("{fault:?}"),
    }
}

fn fault(told: &Told) -> (Reason, String) {
    match Decoded::from_told(told) {
        Decoded::Usable(form) => panic!("{form:?}"),
        Decoded::Faulty { fault, .. } => (fault.reason, fault.message),
    }
}

#[test]
fn a_rule_is_known_by_its_route_and_its_place() {
    let Form::Route(route) = usable(&route(vec![rule("A.example", "/x/")])) else {
        panic!("not a route");
    };
    let [rule] = &*route.rules else {
        panic!("not one rule");
    };
    assert_eq!(&*rule.id, "ingress/a/b#spec.rules[0]");
    assert_eq!(rule.host.to_string(), "a.example");
    assert_eq!(rule.path.as_str(), "/x");
    assert_eq!(rule.backends[0].upstream.as_deref(), Some("service/a/b:80"));
}

#[test]
fn every_invalid_field_is_named() {
    let mut pathless = rule("a.example", "/");
    pathless.path = None;
    let (reason, message) = fault(&route(vec![
        rule("a..example", "/"),
        rule("a.example", "/"),
        pathless,
    ]));
    assert_eq!(reason, Reason::InvalidField);
    assert!(message.starts_with("rules[0].hostname: "), "{message}");
    assert!(message.ends_with("; rules[2].path: not set"), "{message}");
}

#[test]
fn a_message_about_many_faults_is_short() {
    let (_, message) = fault(&endpoints(&[("nowhere", 0, 1); 1000]));
    assert!(message.len() < 1000, "{message}");
    assert!(message.ends_with("; and 1992 more"), "{message}");
}

#[test]
fn a_listener_has_an_address_a_port_and_a_protocol() {
    let Form::Listener(web) = usable(&listener("::", 80, 1)) else {
        panic!("not a listener");
    };
    assert_eq!(
        (&*web.name, web.address.to_string()),
        ("web", "[::]:80".to_owned())
    );
    assert_eq!(web.protocol, ListenerProtocol::Http);
    let Form::Listener(secure) = usable(&listener("::", 443, 2)) else {
        panic!("not a listener");
    };
    assert_eq!(secure.protocol, ListenerProtocol::Https);
    for (told, reason) in [
        (listener("nowhere", 80, 1), Reason::InvalidField),
        (listener("::", 0, 1), Reason::InvalidField),
        (listener("::", 65_536, 1), Reason::InvalidField),
        (listener("::", 80, 0), Reason::InvalidField),
        (listener("::", 80, 3), Reason::MissingCapability),
    ] {
        assert_eq!(fault(&told).0, reason, "{told:?}");
    }
}

#[test]
fn a_listener_has_sources_of_proxy_headers_that_are_networks_and_not_too_many() {
    let told = |networks: &[&str]| {
        let listener = v1::Listener {
            name: "web".to_owned(),
            address: "::".to_owned(),
            port: 80,
            protocol: v1::listener::Protocol::Http.into(),
            proxy_protocol: networks.iter().map(ToString::to_string).collect(),
            tls: None,
        };
        told(Kind::Listener, "web", &listener)
    };
    for networks in [&[][..], &["10.0.0.0/8", "2001:db8::/32"], &["::/0"; 256]] {
        let mut told = told(networks);
        told.requires = ["proxy-protocol".to_owned()].into();
        told.hash = digest::resource_hash(&told.body, ["proxy-protocol"]);
        let Form::Listener(web) = usable(&told) else {
            panic!("not a listener");
        };
        let networks = networks.iter().map(|network| network.parse().unwrap());
        assert_eq!(web.terms.sources, networks.collect());
    }
    assert_eq!(
        fault(&told(&["10.0.0.0/8", "10.0.0.0/33", "nowhere"])).1,
        "proxy_protocol[1]: invalid IP address syntax; \
         proxy_protocol[2]: invalid IP address syntax"
    );
    assert_eq!(
        fault(&told(&["::/0"; 257])).1,
        "proxy_protocol: 257 networks, more than 256"
    );
}

#[test]
fn a_listener_has_a_policy_of_which_something_is_left_that_this_release_can_do() {
    let told = |tls: v1::TlsPolicy| {
        let listener = v1::Listener {
            name: "web".to_owned(),
            address: "::".to_owned(),
            port: 443,
            protocol: v1::listener::Protocol::Https.into(),
            proxy_protocol: Vec::new(),
            tls: Some(tls),
        };
        told(Kind::Listener, "web", &listener)
    };
    let policy = |minimum_version: i32, cipher_suites: &[u32]| v1::TlsPolicy {
        minimum_version,
        cipher_suites: cipher_suites.to_vec(),
        no_session_tickets: true,
        default_certificates: vec!["secret/a/b".to_owned()],
    };
    // TLS_AES_128_GCM_SHA256, one of TLS 1.2, and one that nobody has.
    let (modern, old, none) = (0x1301, 0xc02b, 0x1_1301);
    let Form::Listener(web) = usable(&told(policy(2, &[none, modern]))) else {
        panic!("not a listener");
    };
    let expected = TlsPolicy::new(true, &[0x1301], false);
    assert_eq!(Ok(web.terms.tls.clone()), expected);
    assert_eq!(*web.terms.default_certificates, ["secret/a/b".into()]);
    usable(&told(policy(0, &[])));
    let of_names = |count| v1::TlsPolicy {
        default_certificates: vec!["secret/a/b".to_owned(); count],
        ..policy(1, &[old])
    };
    usable(&told(of_names(16)));
    for (bad, said) in [
        (policy(3, &[]), "tls.minimum_version: not one"),
        (policy(2, &[old]), "tls.cipher_suites: none that"),
        (policy(1, &[none]), "tls.cipher_suites: none that"),
        (policy(1, &[modern; 65]), "tls.cipher_suites: more than 64"),
        (of_names(17), "tls.default_certificates: more than 16"),
    ] {
        let (reason, message) = fault(&told(bad));
        assert_eq!(reason, Reason::InvalidField);
        assert!(message.starts_with(said), "{message}");
    }
}

#[test]
fn draining_endpoints_serve_only_when_nothing_is_ready() {
    let addresses = |told: &Told| match usable(told) {
        Form::Endpoints(list) => list
            .iter()
            .map(|e| e.address.to_string())
            .collect::<Vec<_>>(),
        Form::Listener(_)
        | Form::Route(_)
        | Form::Upstream(_)
        | Form::Certificate(_)
        | Form::ServerName(_)
        | Form::Challenge(_)
        | Form::TicketSecrets(_) => {
            panic!("not endpoints")
        }
    };
    let (ready, draining) = (("10.0.0.1", 80, 1), ("10.0.0.2", 80, 2));
    assert_eq!(addresses(&endpoints(&[draining, ready])), ["10.0.0.1:80"]);
    assert_eq!(addresses(&endpoints(&[draining])), ["10.0.0.2:80"]);
    assert_eq!(addresses(&endpoints(&[ready, ready])), ["10.0.0.1:80"]);
    assert!(addresses(&endpoints(&[])).is_empty());
    assert_eq!(
        fault(&endpoints(&[("10.0.0.1", 80, 9)])).0,
        Reason::InvalidField
    );
}

#[test]
fn an_external_target_has_a_dns_name() {
    assert_eq!(
        usable(&external("db.example.", 5432)),
        Form::Upstream(Target::External {
            hostname: "db.example.".into(),
            port: 5432,
            allow_local: true,
        })
    );
    for (name, port) in [("", 80), ("a..b", 80), ("a b", 80), ("a/b", 80), ("a", 0)] {
        assert_eq!(
            fault(&external(name, port)).0,
            Reason::InvalidField,
            "{name:?}"
        );
    }
}

fn certificate(bundle: &[u8], key_type: i32) -> Told {
    let certificate = v1::Certificate {
        source: None,
        bundle: bundle.to_vec(),
        key_type,
    };
    told(Kind::Certificate, "secret/a/b", &certificate)
}

fn server_name(name: &str, hostname: &str, certificates: usize) -> Told {
    let certificates = (0..certificates).map(|number| format!("secret/a/{number}"));
    let server_name = v1::ServerName {
        hostname: hostname.to_owned(),
        certificates: certificates.collect(),
        expected: false,
    };
    told(Kind::ServerName, name, &server_name)
}

#[test]
fn a_certificate_names_its_bundle_and_the_type_of_its_key() {
    let name = BundleName::of(b"bundle");
    let Form::Certificate(read) = usable(&certificate(name.as_bytes(), 2)) else {
        panic!("not a certificate");
    };
    assert_eq!((read.bundle, read.key_type), (name, KeyType::Ecdsa));
    let bundle = name.as_bytes();
    for (told, field) in [
        (certificate(&bundle[1..], 1), "bundle: "),
        (certificate(bundle, 0), "key_type: "),
        (certificate(bundle, 4), "key_type: "),
    ] {
        let (reason, message) = fault(&told);
        assert_eq!(reason, Reason::InvalidField);
        assert!(message.starts_with(field), "{message}");
    }
}

#[test]
fn a_server_name_is_one_host_and_names_certificates() {
    for host in ["a.example", "*.a.example"] {
        let Form::ServerName(read) = usable(&server_name(host, host, 2)) else {
            panic!("not a server name");
        };
        assert_eq!(read.host.to_string(), host);
        assert_eq!(
            *read.certificates,
            ["secret/a/0".into(), "secret/a/1".into()]
        );
    }
    for (told, said) in [
        (server_name("", "", 1), "hostname: not set"),
        (server_name("*.*.a", "*.*.a", 1), "hostname: host: "),
        (server_name("A", "A", 1), "hostname: a is not "),
        (server_name("a", "b", 1), "hostname: b is not "),
        (server_name("a", "a", 17), "certificates: more than 16"),
    ] {
        let (reason, message) = fault(&told);
        assert_eq!(reason, Reason::InvalidField);
        assert!(message.starts_with(said), "{message}");
    }
}

/// Hosts, tokens and key authorizations.
fn challenge(answers: &[(&str, &str, &str)]) -> Told {
    let answer = |&(hostname, token, key_authorization): &(&str, &str, &str)| v1::ChallengeAnswer {
        hostname: hostname.to_owned(),
        token: token.to_owned(),
        key_authorization: key_authorization.to_owned(),
        r#type: v1::ChallengeType::Http01.into(),
    };
    let challenge = v1::Challenge {
        answers: answers.iter().map(answer).collect(),
    };
    let mut told = told(Kind::Challenge, "certificate//a.example", &challenge);
    told.requires = ["challenge".to_owned()].into();
    told.hash = digest::resource_hash(&told.body, ["challenge"]);
    told
}

#[test]
fn a_challenge_has_answers_each_of_one_host_and_token() {
    let good = ("a.example", "t-1", "t-1.thumbprint");
    let Form::Challenge(read) = usable(&challenge(&[good, ("b.a.example", "t_2", "t_2.x")])) else {
        panic!("not a challenge");
    };
    let [one, other] = &*read else {
        panic!("not two answers");
    };
    assert_eq!((&*one.host, &*one.token), ("a.example", "t-1"));
    assert_eq!(&*one.key_authorization, "t-1.thumbprint");
    assert_eq!((&*other.host, &*other.token), ("b.a.example", "t_2"));
    usable(&challenge(&[]));
    usable(&challenge(&[good; 100]));
    for (bad, said) in [
        (("", "t", "t.x"), "answers[1].hostname: not set"),
        (("A.example", "t", "t.x"), "answers[1].hostname: not canon"),
        (("a.example.", "t", "t.x"), "answers[1].hostname: not canon"),
        (("*.a.example", "t", "t.x"), "answers[1].hostname: a wild"),
        (("192.0.2.1", "t", "t.x"), "answers[1].hostname: host: "),
        (("a..b", "t", "t.x"), "answers[1].hostname: host: "),
        (("a", "t/", "t/.x"), "answers[1].token: not 1 to 256 "),
        (("a", "", ".x"), "answers[1].token: not 1 to 256 "),
        (("a", "t", "u.x"), "answers[1].key_authorization: not the t"),
        (
            ("a", "t", "t.\n"),
            "answers[1].key_authorization: not the t",
        ),
    ] {
        let (reason, message) = fault(&challenge(&[good, bad]));
        assert_eq!(reason, Reason::InvalidField);
        assert!(message.starts_with(said), "{message}");
    }
    let (_, message) = fault(&challenge(&[good; 101]));
    assert_eq!(message, "answers: more than 100");
}

#[test]
fn what_does_not_belong_to_its_hash_is_not_used() {
    let mut route = route(vec![rule("a.example", "/")]);
    route.hash[0] ^= 1;
    assert_eq!(fault(&route).0, Reason::HashMismatch);
}

#[test]
fn a_route_that_needs_more_than_this_proxy_can_do_is_closed() {
    let mut route = route(vec![rule("a.example", "/")]);
    route.requires = ["http".to_owned(), "auth".to_owned()].into();
    route.hash = digest::resource_hash(&route.body, ["http", "auth"]);
    let Decoded::Faulty {
        fault,
        closed: Some(Form::Route(closed)),
    } = Decoded::from_told(&route)
    else {
        panic!("not closed");
    };
    assert_eq!(fault.reason, Reason::MissingCapability);
    assert_eq!(fault.message, "this release cannot do auth");
    assert_eq!(closed.rules.len(), 1);
    assert!(closed.rules[0].backends.is_empty());
}

#[test]
fn types_that_this_release_does_not_know_are_faults() {
    for kind in [0, 9, -1] {
        let told = Told {
            key: Key::new(kind, "x"),
            hash: digest::resource_hash(b"", []),
            body: vec![].into(),
            requires: [].into(),
        };
        assert_eq!(fault(&told).0, Reason::UnknownType);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(kind in 0..10, body in prop::collection::vec(any::<u8>(), 0..64)) {
        let told = Told {
            key: Key::new(kind, "x"),
            hash: digest::resource_hash(&body, []),
            body: body.into(),
            requires: [].into(),
        };
        if let Decoded::Faulty { fault, closed } = Decoded::from_told(&told) {
            prop_assert!(!fault.message.is_empty());
            prop_assert!(closed.is_none());
        }
    }
}
