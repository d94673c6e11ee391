//! What a CA asks of a host in a TLS handshake: answered before anything is decided about who may
//! connect.

use std::thread;

use roadstead_data_plane::{
    aside::Aside,
    challenge::{self, Answer, Leader, Question},
    limits::Limits,
    metrics::Handshake,
    snapshot::{ChallengeType, KeyAuthorization},
};
use rustls::AlertDescription;
use sha2::{Digest, Sha256};
use tokio::runtime::Builder;
use x509_parser::{extensions::GeneralName, oid_registry::asn1_rs::oid, prelude::*};

use super::support::{
    Algorithm, Offers, Origin, Proxy, Secure, alert, authorization, challenges, plain, shows,
};

fn origin() -> Origin {
    Origin::new(|_| plain("routed"))
}

/// Two hosts are asked for, of which one is routed and has a certificate.
fn proxy(origin: &Origin) -> Proxy {
    let shown = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let aside = Aside::start(1, 4).unwrap();
    let mut proxy = Proxy::secure(&origin.backends(), Limits::default(), &shown, aside);
    let known = [("a.example", "t-1"), ("b.example", "t_2")];
    let known = challenges(ChallengeType::TlsAlpn01, &known);
    proxy.publish_answering(&origin.backends(), known);
    proxy
}

fn ca() -> Offers {
    Offers::new().unsigned().protocols(&["acme-tls/1"])
}

/// Whether a CA believes it: the certificate is for this host alone and names the hash of what is
/// answered, in an extension that has to be understood (RFC 8737, section 3).
fn convinces(client: &Secure, host: &str, found: &KeyAuthorization) {
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let der = client.certificate();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName(host)]);
    let identifier = oid!(1.3.6.1.5.5.7.1.31);
    let identifier = certificate.get_extension_unique(&identifier).unwrap();
    let identifier = identifier.unwrap();
    assert!(identifier.critical);
    let octets = [&[4, 32], &*Sha256::digest(found.as_bytes())].concat();
    assert_eq!(identifier.value, octets);
}

#[test]
fn a_ca_is_answered_for_its_host_by_either_version_of_tls_and_then_it_is_over() {
    let origin = origin();
    let proxy = proxy(&origin);
    let old = Offers::version(&rustls::version::TLS12).unsigned();
    let old = old.protocols(&["acme-tls/1"]);
    for (offers, asked, host, token) in [
        (ca(), "a.example", "a.example", "t-1"),
        (old, "A.Example", "a.example", "t-1"),
        (ca(), "b.example", "b.example", "t_2"),
    ] {
        let mut client = offers.connect(proxy.address, asked).unwrap();
        convinces(&client, host, &authorization(token));
        assert!(client.is_closed(), "{asked}");
    }
    proxy.until("three answers", |totals| {
        totals.handshakes[Handshake::Challenge as usize] == 3
    });
    assert!(origin.is_quiet());
}

#[test]
fn whoever_offers_more_than_that_protocol_is_a_client_like_any_other() {
    let origin = origin();
    let proxy = proxy(&origin);
    for protocols in [&["acme-tls/1", "http/1.1"][..], &["http/1.1"], &[]] {
        let offers = Offers::new().protocols(protocols);
        let mut client = offers.connect(proxy.address, "a.example").unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(client.answer().text(), "routed", "{protocols:?}");
    }
}

#[test]
fn nobody_is_answered_who_asks_for_what_is_not_under_way_or_in_another_way() {
    let origin = origin();
    let mut proxy = proxy(&origin);
    let no_protocol = AlertDescription::NoApplicationProtocol;
    let refused = |offers: &Offers, host| alert(offers.connect(proxy.address, host));
    assert_eq!(refused(&ca(), "c.example"), no_protocol);
    let nameless = ca().nameless();
    assert_eq!(
        refused(&nameless, "a.example"),
        AlertDescription::UnrecognisedName
    );
    let by_http = challenges(ChallengeType::Http01, &[("a.example", "t-1")]);
    proxy.publish_answering(&origin.backends(), by_http);
    assert_eq!(alert(ca().connect(proxy.address, "a.example")), no_protocol);
    proxy.until("both are counted", |totals| {
        totals.handshakes[Handshake::NothingInCommon as usize] == 2
    });
}

/// Knows a challenge of `a.example`.
struct Knows;

impl Leader for Knows {
    async fn ask(&self, question: Question) -> Answer {
        match (&*question.host, question.token) {
            ("a.example", None) => Answer::Given(authorization("later")),
            _ => Answer::Missing,
        }
    }
}

#[test]
fn what_no_version_has_brought_is_asked_for_where_the_host_is_routed() {
    let origin = origin();
    let (asking, asked) = challenge::asking();
    // Ends with the proxy.
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(challenge::answer(Knows, asked));
    });
    let proxy = Proxy::secure_asking(&origin.backends(), asking);
    let client = ca().connect(proxy.address, "a.example").unwrap();
    convinces(&client, "a.example", &authorization("later"));
    let refused = alert(ca().connect(proxy.address, "b.example"));
    assert_eq!(refused, AlertDescription::NoApplicationProtocol);
}
