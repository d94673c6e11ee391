//! How the connections of a listener are encrypted: what clients have to agree to, from the next
//! connection on.

use roadstead_data_plane::{
    aside::Aside,
    limits::Limits,
    snapshot::{Terms, TlsPolicy},
};
use rustls::{
    AlertDescription, CipherSuite, HandshakeKind, ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::support::{Algorithm, Offers, Origin, Proxy, Secure, Shows, alert, done, plain, shows};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn origin() -> Origin {
    Origin::new(|_| plain("ok"))
}

fn proxy(origin: &Origin, shows: &[Shows]) -> Proxy {
    let aside = Aside::start(1, 4).unwrap();
    Proxy::secure(&origin.backends(), Limits::default(), shows, aside)
}

fn set(proxy: &Proxy, tls: TlsPolicy) {
    let terms = Terms {
        tls,
        ..Terms::default()
    };
    done(proxy.worker().set_terms(&"http".into(), terms));
}

fn works(client: &mut Secure) {
    client.send(GET);
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_minimum_version_holds_from_the_next_connection_on_and_cuts_nobody() {
    let origin = origin();
    let shown = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let proxy = proxy(&origin, &shown);
    let old = Offers::version(&TLS12);
    let mut before = old.connect(proxy.address, "a.example").unwrap();
    works(&mut before);
    set(&proxy, TlsPolicy::new(true, &[], true).unwrap());
    works(&mut before);
    let refused = alert(old.connect(proxy.address, "a.example"));
    assert_eq!(refused, AlertDescription::ProtocolVersion);
    let mut new = Offers::new().connect(proxy.address, "a.example").unwrap();
    works(&mut new);
    let version = new.stream.conn.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
    set(&proxy, TlsPolicy::default());
    works(&mut old.connect(proxy.address, "a.example").unwrap());
}

#[test]
fn no_cipher_suite_is_used_but_those_that_are_named_and_a_certificate_fits_them() {
    let origin = origin();
    let all = [
        shows("secret/a/ecdsa", "a.example", Algorithm::Ecdsa),
        shows("secret/a/rsa", "a.example", Algorithm::Rsa),
    ];
    let proxy = proxy(&origin, &all);
    let rsa = CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
    let one = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    let named = [rsa, one].map(u16::from);
    set(&proxy, TlsPolicy::new(false, &named, true).unwrap());
    for (version, suite, shown) in [(&TLS13, one, &all[0]), (&TLS12, rsa, &all[1])] {
        let offers = Offers::version(version);
        let mut client = offers.connect(proxy.address, "a.example").unwrap();
        assert_eq!(client.suite(), suite);
        assert!(client.certificate() == shown.der);
        works(&mut client);
    }
}

#[test]
fn without_tickets_no_session_is_resumed_not_even_one_of_before() {
    let origin = origin();
    let shown = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let proxy = proxy(&origin, &shown);
    for version in [&TLS12, &TLS13] {
        set(&proxy, TlsPolicy::default());
        let offers = Offers::version(version);
        let kind = || {
            let mut client = offers.connect(proxy.address, "a.example").unwrap();
            works(&mut client);
            client.stream.conn.handshake_kind().unwrap()
        };
        assert_eq!(kind(), HandshakeKind::Full);
        assert_eq!(kind(), HandshakeKind::Resumed);
        set(&proxy, TlsPolicy::new(false, &[], false).unwrap());
        assert_eq!(kind(), HandshakeKind::Full);
        assert_eq!(kind(), HandshakeKind::Full);
    }
}

#[test]
fn a_default_certificate_is_shown_to_whoever_has_none() {
    let origin = origin();
    let all = [
        shows("secret/a/b", "a.example", Algorithm::Ecdsa),
        shows("secret/a/default", "default.example", Algorithm::Ecdsa),
    ];
    let proxy = proxy(&origin, &all);
    let terms = Terms {
        default_certificates: ["secret/a/default".into()].into(),
        ..Terms::default()
    };
    done(proxy.worker().set_terms(&"http".into(), terms));
    let nameless = Offers::new().nameless();
    for (offers, host, shown) in [
        (Offers::new(), "a.example", &all[0]),
        (Offers::new(), "c.example", &all[1]),
        (nameless, "a.example", &all[1]),
    ] {
        let mut client = offers.connect(proxy.address, host).unwrap();
        assert!(client.certificate() == shown.der, "{host}");
        works(&mut client);
    }
    set(&proxy, TlsPolicy::default());
    let refused = Offers::new().connect(proxy.address, "c.example");
    assert!(refused.is_err());
}
