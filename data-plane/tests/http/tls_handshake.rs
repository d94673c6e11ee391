//! Handshakes of TLS: which certificate is shown, and how one ends that does not succeed.

use std::{io::ErrorKind, net::TcpStream, sync::mpsc, time::Duration};

use roadstead_data_plane::{
    aside::Aside,
    limits::Limits,
    metrics::{Handshake, ThreadTotals},
};
use rustls::{
    AlertDescription, ClientConnection, HandshakeKind, SignatureScheme, StreamOwned,
    crypto::aws_lc_rs::kx_group,
};

use super::support::{
    Algorithm, Client, Offers, Origin, Proxy, Secure, Shows, alert, plain, shows,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn aside() -> Aside {
    Aside::start(1, 4).unwrap()
}

fn proxy(origin: &Origin, shows: &[Shows]) -> Proxy {
    Proxy::secure(&origin.backends(), Limits::default(), shows, aside())
}

fn origin() -> Origin {
    Origin::new(|_| plain("ok"))
}

fn ended(totals: &ThreadTotals, end: Handshake) -> u64 {
    totals.handshakes[end as usize]
}

/// Waits until so many handshakes have ended so.
fn until(proxy: &Proxy, end: Handshake, count: u64) {
    proxy.until(end.as_str(), |totals| ended(totals, end) == count);
}

#[test]
fn a_client_is_shown_a_certificate_that_it_can_take() {
    let all = [
        shows("secret/a/rsa", "a.example", Algorithm::Rsa),
        shows("secret/a/ecdsa", "a.example", Algorithm::Ecdsa),
        shows("secret/a/wild", "*.a.example", Algorithm::Ecdsa),
    ];
    let origin = origin();
    let proxy = proxy(&origin, &all);
    let only_rsa = Offers::signed_by(&[SignatureScheme::RSA_PSS_SHA256]);
    for (offers, name, expected) in [
        (Offers::new(), "a.example", &all[1]),
        (Offers::new(), "A.example", &all[1]),
        (only_rsa, "a.example", &all[0]),
        (Offers::new(), "x.a.example", &all[2]),
        (
            Offers::version(&rustls::version::TLS12),
            "a.example",
            &all[1],
        ),
    ] {
        let mut client = offers.connect(proxy.address, name).unwrap();
        assert!(client.certificate() == expected.der, "{name}");
        client.send(GET);
        assert_eq!(client.answer().text(), "ok");
    }
    until(&proxy, Handshake::Full, 5);
    assert_eq!(
        proxy
            .totals()
            .handshake_duration
            .buckets
            .iter()
            .sum::<u64>(),
        5
    );
}

#[test]
fn a_client_that_comes_before_the_certificate_is_kept_waiting_for_it() {
    let origin = origin();
    let mut proxy = proxy(&origin, &[]);
    proxy.publish_expecting(&origin.backends(), "a.example", &[]);
    let address = proxy.address;
    let waiting: Vec<_> = rustls::ALL_VERSIONS
        .iter()
        .map(|version| {
            let offers = Offers::version(version);
            std::thread::spawn(move || offers.connect(address, "a.example"))
        })
        .collect();
    proxy.until("both are there", |totals| {
        totals.listeners["http"].connections_open == 2
    });
    // What concerns another host wakes them for nothing.
    let others = [shows("secret/a/c", "c.example", Algorithm::Ecdsa)];
    proxy.publish_expecting(&origin.backends(), "a.example", &others);
    let all = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    proxy.publish_with(&origin.backends(), &all);
    for client in waiting {
        let mut client = client.join().unwrap().unwrap();
        assert!(client.certificate() == all[0].der);
        client.send(GET);
        assert_eq!(client.answer().text(), "ok");
    }
    until(&proxy, Handshake::Full, 2);
}

#[test]
fn whoever_waits_for_a_certificate_waits_no_longer_than_a_handshake_may_take() {
    let origin = origin();
    let mut limits = Limits::default();
    limits.client.handshake = Duration::from_millis(200);
    let mut proxy = Proxy::secure(&origin.backends(), limits, &[], aside());
    proxy.publish_expecting(&origin.backends(), "a.example", &[]);
    let refused = Offers::new().connect(proxy.address, "a.example");
    assert_eq!(alert(refused), AlertDescription::InternalError);
    until(&proxy, Handshake::NotYet, 1);
    // Nor is anybody waited with who is gone.
    let mut client = Offers::new().begin("a.example");
    let mut tcp = TcpStream::connect(proxy.address).unwrap();
    client.write_tls(&mut tcp).unwrap();
    drop(tcp);
    until(&proxy, Handshake::ClientGone, 1);
    // For another name nobody waits.
    let refused = Offers::new().connect(proxy.address, "b.example");
    assert_eq!(alert(refused), AlertDescription::UnrecognisedName);
    until(&proxy, Handshake::UnknownName, 1);
}

#[test]
fn a_name_without_a_certificate_is_refused_and_told_so() {
    let origin = origin();
    let proxy = proxy(
        &origin,
        &[shows("secret/a/b", "a.example", Algorithm::Ecdsa)],
    );
    for (offers, name) in [
        (Offers::new(), "b.example"),
        (Offers::new(), "x.a.example"),
        (Offers::new().nameless(), "a.example"),
    ] {
        let refused = offers.connect(proxy.address, name);
        assert_eq!(alert(refused), AlertDescription::UnrecognisedName, "{name}");
    }
    until(&proxy, Handshake::UnknownName, 2);
    until(&proxy, Handshake::NoName, 1);
}

#[test]
fn what_has_nothing_in_common_or_is_not_tls_is_told_apart() {
    let origin = origin();
    let proxy = proxy(
        &origin,
        &[shows("secret/a/b", "a.example", Algorithm::Ecdsa)],
    );
    let refused = Offers::new()
        .protocols(&["smtp"])
        .connect(proxy.address, "a.example");
    assert_eq!(alert(refused), AlertDescription::NoApplicationProtocol);
    let refused =
        Offers::signed_by(&[SignatureScheme::RSA_PSS_SHA256]).connect(proxy.address, "a.example");
    assert_eq!(alert(refused), AlertDescription::HandshakeFailure);
    until(&proxy, Handshake::NothingInCommon, 2);
    let mut plain = proxy.client();
    plain.send(GET);
    assert!(plain.bytes(1000).starts_with(&[21]), "an alert");
    until(&proxy, Handshake::Malformed, 1);
    drop(proxy.client());
    until(&proxy, Handshake::ClientGone, 1);
}

/// The bytes of a client's first message, and the rest of its handshake.
fn hello(offers: &Offers) -> (ClientConnection, Vec<u8>) {
    let mut client = offers.begin("a.example");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    (client, hello)
}

fn goes_on(client: ClientConnection, stream: TcpStream) {
    let mut client: Secure = Client::on(StreamOwned::new(client, stream));
    client.send(GET);
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_first_message_may_come_byte_by_byte_and_in_records_of_one_byte() {
    let origin = origin();
    let proxy = proxy(
        &origin,
        &[shows("secret/a/b", "a.example", Algorithm::Ecdsa)],
    );
    let (client, bytes) = hello(&Offers::new());
    let mut raw = proxy.client();
    raw.stream.set_nodelay(true).unwrap();
    for byte in &bytes {
        raw.write(&[*byte]);
    }
    goes_on(client, raw.stream);

    let (client, bytes) = hello(&Offers::new());
    let mut raw = proxy.client();
    let records = bytes[5..].iter().map(|byte| [22, 3, 1, 0, 1, *byte]);
    raw.write(&records.flatten().collect::<Vec<u8>>());
    goes_on(client, raw.stream);
}

#[test]
fn a_client_that_does_not_finish_its_handshake_is_left_in_time() {
    let origin = origin();
    let mut limits = Limits::default();
    limits.client.handshake = Duration::from_millis(200);
    let all = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let proxy = Proxy::secure(&origin.backends(), limits, &all, aside());
    let (_, bytes) = hello(&Offers::new());
    let (mut silent, mut half, mut whole) = (proxy.client(), proxy.client(), proxy.client());
    half.write(&bytes[..bytes.len() / 2]);
    whole.write(&bytes);
    assert!(silent.is_closed() && half.is_closed());
    // It was answered, and said nothing more.
    assert!(!whole.is_closed());
    while !whole.bytes(1).is_empty() {}
    until(&proxy, Handshake::TimedOut, 3);
}

#[test]
fn a_first_message_without_end_is_not_kept_for_long() {
    let origin = origin();
    let proxy = proxy(
        &origin,
        &[shows("secret/a/b", "a.example", Algorithm::Ecdsa)],
    );
    let mut raw = proxy.client();
    // A handshake message of 16 MiB, in records of 16 KiB; the other end may close at any time.
    let mut record = vec![22, 3, 1, 64, 0];
    record.extend([1, 255, 255, 255]);
    record.resize(5 + 16 * 1024, 0);
    for _ in 0..64 {
        if std::io::Write::write_all(&mut raw.stream, &record).is_err() {
            break;
        }
        record[5] = 0;
    }
    until(&proxy, Handshake::Malformed, 1);
}

#[test]
fn a_drain_does_not_wait_for_handshakes() {
    let origin = origin();
    let mut limits = Limits::default();
    limits.client.last_request = Duration::from_millis(100);
    limits.client.handshake = Duration::from_secs(3600);
    let all = [shows("secret/a/b", "a.example", Algorithm::Ecdsa)];
    let proxy = Proxy::secure(&origin.backends(), limits, &all, aside());
    let mut silent = proxy.client();
    proxy.until("accepted", |totals| {
        totals.listeners["http"].connections_open == 1
    });
    let drained = proxy.drain(Duration::from_secs(3600));
    assert!(silent.is_closed());
    super::support::done(drained);
}

#[test]
fn a_client_that_comes_again_resumes_and_shows_it() {
    let origin = origin();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let all = [
            shows("secret/a/b", "a.example", Algorithm::Ecdsa),
            shows("secret/a/c", "b.example", Algorithm::Ecdsa),
        ];
        let proxy = proxy(&origin, &all);
        let offers = Offers::version(version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = offers.connect(proxy.address, "a.example").unwrap();
            assert_eq!(client.stream.conn.handshake_kind(), Some(kind));
            client.send(GET);
            // Tickets come with the answer.
            assert_eq!(client.answer().text(), "ok");
        }
        until(&proxy, Handshake::Resumed, 1);
        let client = offers.connect(proxy.address, "b.example").unwrap();
        assert_eq!(
            client.stream.conn.handshake_kind(),
            Some(HandshakeKind::Full)
        );
    }
}

/// A client's handshake up to where it has to send another first message: it offers a group first
/// that the proxy does not have.
fn asked_again(proxy: &Proxy) -> (ClientConnection, Client) {
    let groups = [kx_group::MLKEM768, kx_group::X25519];
    let (mut client, bytes) = hello(&Offers::exchanging(&groups));
    let mut raw = proxy.client();
    raw.write(&bytes);
    while !client.wants_write() {
        client.read_tls(&mut raw.stream).unwrap();
        client.process_new_packets().unwrap();
    }
    let kind = HandshakeKind::FullWithHelloRetryRequest;
    assert_eq!(client.handshake_kind(), Some(kind));
    (client, raw)
}

#[test]
fn a_handshake_by_rsa_is_made_aside_also_when_it_has_to_be_asked_again() {
    let origin = origin();
    let all = [shows("secret/a/b", "a.example", Algorithm::Rsa)];
    let aside = Aside::start(1, 1).unwrap();
    let backends = origin.backends();
    let proxy = Proxy::secure(&backends, Limits::default(), &all, aside.clone());
    let mut client = Offers::new().connect(proxy.address, "a.example").unwrap();
    client.send(GET);
    assert_eq!(client.answer().text(), "ok");
    let (client, raw) = asked_again(&proxy);
    goes_on(client, raw.stream);

    // It signs only now, for which there is no room any more.
    let (mut client, mut raw) = asked_again(&proxy);
    let busy = occupy(&aside);
    aside.run(|| ()).unwrap();
    client.write_tls(&mut raw.stream).unwrap();
    until(&proxy, Handshake::Overloaded, 1);
    drop(busy);
}

#[test]
fn a_handshake_by_rsa_that_has_signed_needs_nothing_made_aside() {
    let origin = origin();
    let all = [shows("secret/a/b", "a.example", Algorithm::Rsa)];
    let aside = Aside::start(1, 1).unwrap();
    let backends = origin.backends();
    let proxy = Proxy::secure(&backends, Limits::default(), &all, aside.clone());
    let (mut client, mut raw) = asked_again(&proxy);
    let mut again = Vec::new();
    client.write_tls(&mut again).unwrap();
    // However it comes: what is not whole is not signed either.
    raw.stream.set_nodelay(true).unwrap();
    for byte in &again {
        raw.write(&[*byte]);
    }
    while client.is_handshaking() {
        client.read_tls(&mut raw.stream).unwrap();
        client.process_new_packets().unwrap();
    }
    let busy = occupy(&aside);
    aside.run(|| ()).unwrap();
    goes_on(client, raw.stream);
    drop(busy);
    until(&proxy, Handshake::Full, 1);
}

/// Keeps the one thread busy until this is dropped.
fn occupy(aside: &Aside) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let step = aside.run(move || {
        begun.send(()).unwrap();
        wait.recv()
    });
    drop(step.unwrap());
    has_begun.recv().unwrap();
    go
}

#[test]
fn too_many_signatures_by_rsa_at_a_time_are_refused_and_others_go_on() {
    let origin = origin();
    let all = [
        shows("secret/a/b", "a.example", Algorithm::Rsa),
        shows("secret/a/c", "b.example", Algorithm::Ecdsa),
    ];
    let aside = Aside::start(1, 1).unwrap();
    let busy = occupy(&aside);
    let limits = Limits::default();
    let proxy = Proxy::secure(&origin.backends(), limits, &all, aside);
    let (first, bytes) = hello(&Offers::new());
    let mut waiting = proxy.client();
    waiting.write(&bytes);
    // The one place is taken: only then is the next one refused.
    loop {
        match Offers::new().connect(proxy.address, "a.example") {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                assert_eq!(alert(Err(error)), AlertDescription::InternalError);
                break;
            }
            other => drop(other.unwrap()),
        }
    }
    until(&proxy, Handshake::Overloaded, 1);
    Offers::new().connect(proxy.address, "b.example").unwrap();
    drop(busy);
    goes_on(first, waiting.stream);
}

#[test]
fn key_exchange_is_safe_from_those_who_record_it_now() {
    let origin = origin();
    let proxy = proxy(
        &origin,
        &[shows("secret/a/b", "a.example", Algorithm::Ecdsa)],
    );
    let offers = Offers::exchanging(&[kx_group::X25519MLKEM768]);
    let client = offers.connect(proxy.address, "a.example").unwrap();
    let group = client.stream.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    assert!(client.suite().as_str().unwrap().starts_with("TLS13_"));
}
