//! Clients behind a load balancer that says for whom it connects.

use std::{io::Write, time::Duration};

use roadstead_data_plane::{
    limits::Limits,
    protocol::BadHeader,
    snapshot::{Sources, Terms},
};

use super::support::{Client, Origin, PATIENCE, Proxy, Seen, done, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const HEADER: &str = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 80\r\n";

/// A proxy that expects headers from these networks.
fn behind(networks: &[&str], origin: &Origin, limits: Limits) -> Proxy {
    let proxy = Proxy::with(&origin.backends(), limits);
    expect_headers(&proxy, networks);
    proxy
}

fn expect_headers(proxy: &Proxy, networks: &[&str]) {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    let terms = Terms {
        sources: Sources::from_iter(networks),
        ..Terms::default()
    };
    done(proxy.worker().set_terms(&"http".into(), terms));
}

fn bad_headers(proxy: &Proxy) -> [u64; BadHeader::ALL.len()] {
    proxy.totals().listeners["http"].bad_headers
}

fn forwarded(seen: &Seen) -> (Option<&str>, Option<&str>) {
    (seen.field("x-forwarded-for"), seen.field("x-real-ip"))
}

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let begin = b"\r\n\r\n\0\r\nQUIT\n".as_slice();
    [begin, &[command, family], &length, rest].concat()
}

#[test]
fn upstream_and_log_see_whom_the_header_names() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = behind(&["127.0.0.0/8"], &origin, Limits::default());
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16]].concat();
    let v6 = [&v6[..], &443_u16.to_be_bytes(), &[0, 80], b"\x04\0\x03abc"].concat();
    for (header, address) in [
        (HEADER.into(), "192.0.2.1:56324"),
        (
            b"PROXY TCP6 2001:db8::7 ::1 1 80\r\n".to_vec(),
            "[2001:db8::7]:1",
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.9 ::1 1 80\r\n".to_vec(),
            "192.0.2.9:1",
        ),
        (
            binary(0x21, 0x11, &[192, 0, 2, 5, 0, 0, 0, 0, 1, 0, 0, 80]),
            "192.0.2.5:256",
        ),
        (binary(0x21, 0x21, &v6), "[2001:db8::1]:443"),
    ] {
        let mut client = proxy.client();
        client.write(&[&header, GET.as_bytes()].concat());
        assert_eq!(client.answer().status, 200);
        let (ip, _) = address.rsplit_once(':').unwrap();
        let ip = Some(ip.trim_matches(['[', ']']));
        assert_eq!(forwarded(&origin.seen()), (ip, ip));
        // It is of the connection, not of its first request.
        client.send(GET);
        assert_eq!(client.answer().status, 200);
        assert_eq!(forwarded(&origin.seen()), (ip, ip));
        for line in proxy.lines(2) {
            assert_eq!(line["client"], address);
        }
    }
    assert_eq!(bad_headers(&proxy), [0; 3]);
}

#[test]
fn a_balancer_that_speaks_for_itself_is_the_client() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = behind(&["127.0.0.1/32"], &origin, Limits::default());
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x20, 0x00, &[]),
        binary(0x20, 0x11, &[192, 0, 2, 5, 0, 0, 0, 0, 1, 0, 0, 80]),
        binary(0x21, 0x31, &[0; 216]),
    ] {
        let mut client = proxy.client();
        // One byte after the other.
        for byte in header.iter().chain(GET.as_bytes()) {
            client.write(&[*byte]);
        }
        assert_eq!(client.answer().status, 200);
        let ip = Some("127.0.0.1");
        assert_eq!(forwarded(&origin.seen()), (ip, ip));
        let address = client.stream.local_addr().unwrap().to_string();
        assert_eq!(proxy.lines(1)[0]["client"], address);
    }
}

#[test]
fn http_2_follows_a_header_too() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = behind(&["127.0.0.1/32"], &origin, Limits::default());
    let mut client = proxy.client();
    client.send(&format!("{HEADER}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    // No setting of ours, and then the proxy's own.
    client.write(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(client.bytes(4)[3], 4, "a frame of type SETTINGS");
}

#[test]
fn what_is_no_header_is_closed_without_an_answer_and_counted() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = behind(&["127.0.0.1/32"], &origin, Limits::default());
    for (count, sent) in (1..).zip([GET, "PROXY TCP4 nonsense\r\n"]) {
        let mut client = proxy.client();
        client.send(sent);
        assert!(client.is_closed());
        assert_eq!(bad_headers(&proxy), [count, 0, 0]);
    }
    let client = proxy.client();
    (&client.stream).write_all(&HEADER.as_bytes()[..9]).unwrap();
    drop(client);
    proxy.until("cut short", |_| bad_headers(&proxy) == [2, 1, 0]);
    assert!(origin.is_quiet());
}

#[test]
fn a_header_that_does_not_come_to_its_end_is_waited_for_no_longer_than_a_first_byte() {
    let origin = Origin::new(|_| plain("ok"));
    let mut limits = Limits::default();
    limits.client.first_byte = Duration::from_millis(200);
    let proxy = behind(&["127.0.0.1/32"], &origin, limits);
    let mut slow = proxy.client();
    slow.send(&HEADER[..20]);
    let mut silent = proxy.client();
    let mut good = proxy.client();
    good.send(&format!("{HEADER}{GET}"));
    assert_eq!(good.answer().status, 200);
    assert!(slow.is_closed() && silent.is_closed());
    assert_eq!(bad_headers(&proxy), [0, 0, 1]);
}

#[test]
fn whoever_only_looks_whether_somebody_listens_is_not_counted() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = behind(&["127.0.0.1/32"], &origin, Limits::default());
    drop(proxy.client());
    let client = proxy.client();
    let stream = socket2::SockRef::from(&client.stream);
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    proxy.until("gone", |totals| {
        let listener = &totals.listeners["http"];
        (listener.connections, listener.connections_open) == (2, 0)
    });
    assert_eq!(bad_headers(&proxy), [0; 3]);
}

#[test]
fn only_those_that_are_listed_now_are_believed() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = behind(&["127.0.0.3/32"], &origin, Limits::default());
    // Of somebody else a header is a bad request.
    assert_eq!(proxy.ask(&format!("{HEADER}{GET}")).status, 400);
    let mut kept = proxy.client();
    kept.send(GET);
    assert_eq!(kept.answer().status, 200);

    expect_headers(&proxy, &["127.0.0.1/32"]);
    assert_eq!(proxy.ask(&format!("{HEADER}{GET}")).status, 200);
    let mut refused = proxy.client();
    refused.send(GET);
    assert!(refused.is_closed());
    // Who was connected before goes on.
    kept.send(GET);
    assert_eq!(kept.answer().status, 200);

    expect_headers(&proxy, &[]);
    assert_eq!(proxy.ask(GET).status, 200);
}

#[test]
fn the_thread_that_serves_a_connection_reads_its_header() {
    let origin = Origin::new(|seen| plain(seen.field("x-real-ip").unwrap()));
    let proxies = Proxy::several(4, &origin.backends());
    // The others do not know it yet.
    expect_headers(&proxies[0], &["127.0.0.1/32"]);
    let mut clients: Vec<_> = (0..16).map(|_| proxies[0].client()).collect();
    let (slow, fast) = clients.split_at_mut(8);
    let header = |number| format!("PROXY TCP4 192.0.2.{number} 192.0.2.2 56324 80\r\n");
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(&header(number)[..12]);
    }
    for (number, client) in fast.iter_mut().enumerate() {
        client.send(&format!("{}{GET}", header(100 + number)));
        assert_eq!(client.answer().text(), format!("192.0.2.{}", 100 + number));
    }
    for (number, client) in slow.iter_mut().enumerate() {
        client.send(&format!("{}{GET}", &header(number)[12..]));
        assert_eq!(client.answer().text(), format!("192.0.2.{number}"));
    }
    let given = proxies.iter().map(|proxy| proxy.totals().connections_given);
    assert!(given.sum::<u64>() >= 11);
}

#[test]
fn a_drain_lets_a_header_be_finished_and_waits_no_longer_than_for_a_last_request() {
    let origin = Origin::new(|_| plain("ok"));
    for finishes in [true, false] {
        let mut limits = Limits::default();
        limits.client.last_request = match finishes {
            true => PATIENCE,
            false => Duration::from_millis(100),
        };
        let proxy = behind(&["127.0.0.1/32"], &origin, limits);
        let mut client = proxy.client();
        client.send(&HEADER[..20]);
        proxy.until("accepted", |totals| {
            totals.listeners["http"].connections_open == 1
        });
        let drained = proxy.drain(PATIENCE);
        if finishes {
            client.send(&format!("{}{GET}", &HEADER[20..]));
            let answer = client.answer();
            let close = (answer.status, answer.field("connection"));
            assert_eq!(close, (200, Some("close")));
        }
        assert!(client.is_closed());
        done(drained);
    }
}

/// However the connection comes to us, its own address decides, and not what it says.
#[test]
fn a_client_is_not_believed_because_a_header_names_a_balancer() {
    let origin = Origin::new(|seen| plain(seen.field("x-real-ip").unwrap()));
    let proxy = behind(&["127.0.0.1/32"], &origin, Limits::default());
    let mut client = Client::connect(proxy.address);
    let twice = format!("PROXY TCP4 127.0.0.1 127.0.0.1 5 80\r\n{HEADER}{GET}");
    client.send(&twice);
    assert_eq!(client.answer().status, 400);
}
