//! Sessions of TLS that clients resume: with the certificate that they were begun with, and with no
//! other; at any proxy that makes tickets by the same.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use roadstead_data_plane::{
    active::TicketSecrets, aside::Aside, bundle::Bundle, limits::Limits, snapshot::BundleName,
};
use roadstead_proto::v1::TicketSecret;
use rustls::{
    HandshakeKind, NamedGroup, SupportedProtocolVersion,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    },
    pki_types::ServerName,
};

use super::support::{Algorithm, Backends, Offers, Origin, Proxy, Shows, plain, shows};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

fn proxy(backends: &Backends, shows: &[Shows]) -> Proxy {
    Proxy::secure(
        backends,
        Limits::default(),
        shows,
        Aside::start(1, 4).unwrap(),
    )
}

/// How the handshake was made, and the certificate that it showed, after what follows it has come.
fn handshake(offers: &Offers, proxy: &Proxy, name: &str) -> (HandshakeKind, Vec<u8>) {
    let mut client = offers.connect(proxy.address, name).unwrap();
    client.send(GET);
    // Tickets come with the answer.
    assert_eq!(client.answer().text(), "ok");
    let kind = client.stream.conn.handshake_kind().unwrap();
    (kind, client.certificate())
}

#[test]
fn who_resumes_is_shown_a_certificate_that_was_replaced_at_once() {
    let origin = Origin::new(|_| plain("ok"));
    for version in VERSIONS {
        for algorithm in [Algorithm::Ecdsa, Algorithm::Rsa] {
            let replaced = [shows("secret/a/b", "a.example", algorithm)];
            let new = [shows("secret/a/b", "a.example", algorithm)];
            let mut proxy = proxy(&origin.backends(), &replaced);
            let offers = Offers::version(version);
            let shown = || handshake(&offers, &proxy, "a.example");
            assert_eq!(shown(), (HandshakeKind::Full, replaced[0].der.clone()));
            assert_eq!(shown(), (HandshakeKind::Resumed, replaced[0].der.clone()));
            // A ticket is renewed with each use, and is good no longer for that.
            assert_eq!(shown(), (HandshakeKind::Resumed, replaced[0].der.clone()));

            proxy.publish_with(&origin.backends(), &new);
            let shown = || handshake(&offers, &proxy, "a.example");
            assert_eq!(shown(), (HandshakeKind::Full, new[0].der.clone()));
            assert_eq!(shown(), (HandshakeKind::Resumed, new[0].der.clone()));
        }
    }
}

#[test]
fn a_session_of_one_host_is_not_resumed_at_another() {
    let origin = Origin::new(|_| plain("ok"));
    let all = [
        shows("secret/a/b", "a.example", Algorithm::Ecdsa),
        shows("secret/a/c", "b.example", Algorithm::Ecdsa),
    ];
    let proxy = proxy(&origin.backends(), &all);
    for version in VERSIONS {
        let mut offers = Offers::version(version);
        offers.config.resumption = Resumption::store(Arc::new(Nameless::default()));
        for (name, kind) in [
            ("a.example", HandshakeKind::Full),
            ("a.example", HandshakeKind::Resumed),
            ("b.example", HandshakeKind::Full),
        ] {
            assert_eq!(handshake(&offers, &proxy, name).0, kind, "{name}");
        }
    }
}

#[test]
fn a_session_of_one_proxy_is_resumed_at_all_that_have_its_secret() {
    let origin = Origin::new(|_| plain("ok"));
    let backends = origin.backends();
    let shown = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let proxies = [proxy(&backends, &shown), proxy(&backends, &shown)];
    for version in VERSIONS {
        let offers = Offers::version(version);
        let kinds = |secrets: [&[u8]; 2]| {
            for (proxy, secrets) in proxies.iter().zip(secrets) {
                proxy.make_tickets_by(&shared(secrets));
            }
            // One by one at each of them, so that no session is that of the proxy itself.
            proxies
                .each_ref()
                .map(|proxy| handshake(&offers, proxy, "a.example").0)
        };
        let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
        assert_eq!(kinds([&[], &[]]), [full, full]);
        assert_eq!(kinds([&[1], &[1]]), [full, resumed]);
        // The next has come to one, and then to both.
        assert_eq!(kinds([&[2, 1], &[1]]), [resumed, full]);
        assert_eq!(kinds([&[2, 1], &[2, 1]]), [resumed, resumed]);
        assert_eq!(kinds([&[2], &[2]]), [resumed, resumed]);
    }
}

fn shared(secrets: &[u8]) -> TicketSecrets {
    let bundle = |byte: &u8| {
        let secret = vec![*byte; 32];
        let bytes: Bytes = TicketSecret { secret }.encode_to_vec().into();
        Arc::new(Bundle::checked(BundleName::of(&bytes), bytes).unwrap())
    };
    secrets.iter().map(bundle).collect()
}

/// A client's sessions, which it uses at any host.
#[derive(Debug)]
struct Nameless(ClientSessionMemoryCache, ServerName<'static>);

impl Default for Nameless {
    fn default() -> Self {
        let any = ServerName::try_from("any.example").unwrap();
        Self(ClientSessionMemoryCache::new(16), any)
    }
}

impl ClientSessionStore for Nameless {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(self.1.clone(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&self.1)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(self.1.clone(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&self.1)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&self.1);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(self.1.clone(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&self.1)
    }
}
