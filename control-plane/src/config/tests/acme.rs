//! What the configuration says of the CA, and of who tells the DNS.

use super::*;

#[test]
fn what_cannot_be_asked_of_a_ca_is_refused_by_key() {
    for (text, expected) in [
        (
            "{sources: {folder: {path: a}}, acme: {acceptTerms: true, proxyPods: a=b}}",
            "acme.proxyPods: the Kubernetes API is no source; set sources.kubernetes, or leave it out",
        ),
        (
            "acme: {acceptTerms: true, challenges: []}",
            "acme.challenges: [] is empty or has one twice; name each way once, or leave the key out",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: ['*.a.example'], rfc2136: {server: ns1}}]}}",
            "acme.dns01.zones[0].hosts: \"*.a.example\" is no host",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], rfc2136: {server: ns1}}, \
             {hosts: [A.example], rfc2136: {server: ns2}}]}}",
            "acme.dns01.zones[1].hosts: \"A.example\" is named twice; name it in one entry",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [], rfc2136: {server: ns1}}]}}",
            "acme.dns01.zones[0].hosts: no host is named",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], rfc2136: {server: 'ns1:x'}}]}}",
            "acme.dns01.zones[0].rfc2136.server: \"ns1:x\" is no server",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], rfc2136: {server: ns1, \
             tsig: {keyName: 'a b', secretFile: key}}}]}}",
            "acme.dns01.zones[0].rfc2136.tsig.keyName: \"a b\" is no name of a key",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], rfc2136: {server: ns1, \
             tsig: {keyName: a, secretFile: key, algorithm: hmac-md5}}}]}}",
            "hmac-sha256",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], rfc2136: {server: ns1}, \
             checkedAt: [ns1]}]}}",
            "acme.dns01.zones[0].checkedAt: \"ns1\" is no address; write it as 192.0.2.53 or 192.0.2.53:53",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example]}]}}",
            "acme.dns01.zones[0]: nobody is told, or more than one; name one of rfc2136, cloudflare, route53, webhook",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], webhook: {url: 'http://a'}}]}}",
            "acme.dns01.zones[0].webhook.url: \"http://a\" is no URL of a server",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], route53: {}}]}}",
            "acme.dns01.zones[0].route53: neither credentialsFile nor role is set, or both are",
        ),
        (
            "acme: {acceptTerms: true, dns01: {resolvers: [ns1]}}",
            "acme.dns01.resolvers: \"ns1\" is no address",
        ),
        (
            "acme: {acceptTerms: true, challenges: [dns-01]}",
            "acme.challenges: dns-01 alone is among them, and dns01 does not say how",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], \
             webhook: {url: 'https://user:secret@a/'}}]}}",
            "acme.dns01.zones[0].webhook.url: ",
        ),
        (
            "acme: {acceptTerms: true, dns01: {zones: [{hosts: [a.example], webhook: {url: 'https://a/?k=v'}}]}}",
            "without user, query and fragment",
        ),
        (
            "acme: {acceptTerms: true, challenges: [http-01], \
             dns01: {zones: [{hosts: [a.example], rfc2136: {server: ns1}}]}}",
            "acme.challenges: dns-01 is not among them, and dns01 says how; add it, or leave out dns01",
        ),
        (
            "acme: {contact: [ops@example.com]}",
            "acme.acceptTerms: the terms of https://acme-v02.api.letsencrypt.org/directory are not \
             accepted",
        ),
        (
            "acme: {acceptTerms: true, directory: 'http://ca.example/dir'}",
            "acme.directory: \"http://ca.example/dir\"",
        ),
        (
            "acme: {acceptTerms: true, contact: ['mailto:ops']}",
            "acme.contact: \"mailto:ops\" is no e-mail address; write it as ops@example.com",
        ),
        (
            "acme: {acceptTerms: true, externalAccount: {keyId: '', keyFile: key}}",
            "acme.externalAccount.keyId: it is empty",
        ),
        (
            "acme: {acceptTerms: true, namespaces: {a: {onlyFor: ['*.example.com']}}}",
            "acme.namespaces.a.onlyFor: \"*.example.com\" is no host",
        ),
        ("acme: {acceptTerms: true, namespaces: {a: {}}}", "onlyFor"),
        (
            "acme: {acceptTerms: true, onlyFor: ['*.example.com']}",
            "acme.onlyFor: \"*.example.com\" is no host",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn for_whom_certificates_are_obtained_is_a_setting_and_the_rest_of_the_ca_is_read_once() {
    let acme = |more: &str| {
        let config = Config::parse(&format!("acme: {{acceptTerms: true{more}}}")).unwrap();
        config.check().unwrap();
        config
    };
    let all = acme("");
    let some = acme(", onlyFor: [Example.com]");
    assert_eq!(all.differs_until_restart(&some), [""; 0]);
    assert_eq!(Config::default().differs_until_restart(&all), ["acme"]);
    let profile = acme(", profile: shortlived");
    assert_eq!(all.differs_until_restart(&profile), ["acme"]);

    let obtained = |config: &Config, host: &str| {
        let settings = config.settings();
        let host = HostPattern::parse(host).unwrap();
        settings
            .obtains
            .is_some_and(|obtains| obtains.permits(&host, "shop").is_ok())
    };
    assert!(obtained(&all, "a.test"));
    assert!(!obtained(&Config::default(), "a.test"));
    for (host, is_below) in [
        ("example.com", true),
        ("a.b.example.com", true),
        ("myexample.com", false),
        ("com", false),
    ] {
        assert_eq!(obtained(&some, host), is_below, "{host}");
    }
    let ours = acme(", namespaces: {shop: {onlyFor: [shop.test]}, '*': {onlyFor: []}}");
    assert!(obtained(&ours, "a.shop.test") && !obtained(&ours, "a.test"));
    let others = acme(", namespaces: {other: {onlyFor: [a.test]}}");
    assert!(obtained(&others, "b.test"));
    let nobody = acme(", namespaces: {'*': {onlyFor: []}}");
    assert!(!obtained(&nobody, "a.test"));
    assert_eq!(all.live_of(&ours), ours.live());
    assert_eq!(all.differs_until_restart(&ours), [""; 0]);
    assert!(!obtained(&all, "*.example.com"));
    let zone = "{hosts: [example.com], rfc2136: {server: ns1.example.com}}";
    let by_dns = acme(&format!(", dns01: {{zones: [{zone}]}}"));
    for (host, is_below) in [
        ("*.example.com", true),
        ("*.a.example.com", true),
        ("*.com", false),
        ("a.test", true),
    ] {
        assert_eq!(obtained(&by_dns, host), is_below, "{host}");
    }
    let only = acme(&format!(
        ", challenges: [dns-01], dns01: {{zones: [{zone}]}}"
    ));
    assert!(obtained(&only, "a.example.com") && !obtained(&only, "a.test"));
    // As BIND has them.
    acme(
        ", dns01: {zones: [{hosts: [a.test], rfc2136: {server: ns1, tsig: {keyName: a_b, secretFile: f}}}]}",
    );
    // How the DNS is told is read once; to whom it applies is not known before.
    assert_eq!(all.differs_until_restart(&by_dns), ["acme"]);
    assert_eq!(all.live_of(&by_dns), all.live());
    assert_eq!(all.live_of(&some), some.live());
    let none = Config::default();
    assert_eq!(none.live_of(&all), none.live());
}

#[test]
fn a_server_of_the_dns_is_a_name_or_an_address_with_a_port_or_without() {
    for (text, found) in [
        ("ns1.example.com", Some(("ns1.example.com", 53))),
        ("ns1:5353", Some(("ns1", 5353))),
        ("192.0.2.53", Some(("192.0.2.53", 53))),
        ("192.0.2.53:54", Some(("192.0.2.53", 54))),
        ("2001:db8::53", Some(("2001:db8::53", 53))),
        ("[2001:db8::53]:54", Some(("2001:db8::53", 54))),
        ("", None),
        ("a b", None),
        ("ns1:", None),
        (":53", None),
    ] {
        let found = found.map(|(host, port)| (host.to_owned(), port));
        assert_eq!(server(text), found, "{text}");
    }
    assert_eq!(address("ns1"), None);
}
