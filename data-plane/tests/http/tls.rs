//! HTTP on encrypted connections: the same as on others, to the last byte.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
};

use roadstead_data_plane::{aside::Aside, limits::Limits};

use super::support::{
    Algorithm, Offers, Origin, PATIENCE, Proxy, Secure, Shows, Step, done, plain, shows,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn certificate() -> Shows {
    shows("secret/a/b", "a.example", Algorithm::Ecdsa)
}

fn proxy(origin: &Origin) -> Proxy {
    let aside = Aside::start(1, 4).unwrap();
    let limits = Limits::default();
    Proxy::secure(&origin.backends(), limits, &[certificate()], aside)
}

fn connect(proxy: &Proxy) -> Secure {
    Offers::new().connect(proxy.address, "a.example").unwrap()
}

/// Bytes of which no two places look alike.
fn large(len: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(u32::to_be_bytes);
    numbers.take(len).collect()
}

#[test]
fn an_upstream_is_told_that_the_client_came_by_https_and_to_which_port() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = proxy(&origin);
    for version in rustls::ALL_VERSIONS {
        for protocols in [&[][..], &["http/1.1"]] {
            let offers = Offers::version(version).protocols(protocols);
            let mut client = offers.connect(proxy.address, "a.example").unwrap();
            for _ in 0..2 {
                client.send(GET);
                assert_eq!(client.answer().text(), "ok");
                let seen = origin.seen();
                assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
                let port = proxy.address.port().to_string();
                assert_eq!(seen.field("x-forwarded-port"), Some(&*port));
            }
        }
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let body = large(8 << 20);
    let origin = Origin::of_heads(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let mut bytes = vec![0; 64 * 1024];
            let mut left = 8 << 20;
            while left > 0 {
                let read = stream.read(&mut bytes).unwrap();
                stream.write_all(&bytes[..read]).unwrap();
                left -= read;
            }
        }))
    });
    let proxy = proxy(&origin);
    for version in rustls::ALL_VERSIONS {
        let offers = Offers::version(version);
        let mut client = offers.connect(proxy.address, "a.example").unwrap();
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 8388608\r\n\r\n");
        // Piece by piece, so that neither end waits for the other for ever.
        let head = {
            client.write(&body[..1]);
            client.head()
        };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut back = client.bytes(1);
        for piece in body[1..].chunks(100_000) {
            client.write(piece);
            back.extend(client.bytes(piece.len()));
        }
        assert!(back == body);
    }
}

/// One flight: whoever looks at the wire sees records that follow each other without a pause.
#[test]
fn an_answer_leaves_in_one_record() {
    let origin = Origin::new(|_| plain(&"x".repeat(2000)));
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    for _ in 0..2 {
        client.send(GET);
        let mut wire = Vec::new();
        // Tickets come before the first answer.
        let mut records = 0;
        let mut answer = Vec::new();
        while !answer.ends_with(b"xxx") {
            let mut header = [0; 5];
            client.stream.sock.read_exact(&mut header).unwrap();
            let mut record = vec![0; usize::from(header[3]) << 8 | usize::from(header[4])];
            client.stream.sock.read_exact(&mut record).unwrap();
            wire.extend_from_slice(&header);
            wire.extend_from_slice(&record);
            let mut bytes = &*wire;
            client.stream.conn.read_tls(&mut bytes).unwrap();
            wire.clear();
            client.stream.conn.process_new_packets().unwrap();
            let before = answer.len();
            let mut piece = vec![0; 20_000];
            match client.stream.conn.reader().read(&mut piece) {
                Ok(read) => answer.extend_from_slice(&piece[..read]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            records += usize::from(answer.len() > before);
        }
        assert_eq!(records, 1);
        origin.seen();
    }
}

#[test]
fn the_last_answer_is_followed_by_the_last_word() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().text(), "ok");
    // Without it this is an error.
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn an_answer_that_is_cut_has_no_last_word() {
    let origin = Origin::new(|_| {
        Step::Last("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_owned())
    });
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    client.send(GET);
    let mut answer = Vec::new();
    let error = client.stream.read_to_end(&mut answer).unwrap_err();
    assert!(
        [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&error.kind()),
        "{error}"
    );
    assert!(answer.ends_with(b"hello"));
}

#[test]
fn a_client_that_goes_without_its_last_word_is_gone() {
    let origin = Origin::of_heads(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            // Until the proxy gives up.
            let mut body = Vec::new();
            let _gone = stream.read_to_end(&mut body);
            assert_eq!(body, b"half");
        }))
    });
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 8\r\n\r\nhalf");
    origin.seen();
    client.stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(proxy.log()[0]["reason"], "client-gone");
    proxy.until("closed", |totals| {
        totals.listeners["http"].connections_open == 0
    });
}

/// As on other connections: it cannot be told from one that has gone altogether.
#[test]
fn a_client_that_closes_its_end_gets_no_answer() {
    let origin = Origin::new(|_| Step::Answer(String::new()));
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    client.send(GET);
    origin.seen();
    client.stream.conn.send_close_notify();
    client
        .stream
        .conn
        .complete_io(&mut client.stream.sock)
        .unwrap();
    assert_eq!(proxy.log()[0]["reason"], "client-gone");
    assert!(client.is_closed());
}

#[test]
fn certificates_change_and_open_connections_do_not_notice() {
    let origin = Origin::new(|_| plain("ok"));
    let mut proxy = proxy(&origin);
    let mut before = connect(&proxy);
    let next = certificate();
    proxy.publish_with(&origin.backends(), std::slice::from_ref(&next));
    let after = connect(&proxy);
    assert!(after.certificate() == next.der);
    assert!(before.certificate() != next.der);
    before.send(GET);
    assert_eq!(before.answer().text(), "ok");
    proxy.publish_with(&origin.backends(), &[]);
    assert!(Offers::new().connect(proxy.address, "a.example").is_err());
    before.send(GET);
    assert_eq!(before.answer().text(), "ok");
}

#[test]
fn a_drain_lets_a_request_finish() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    client.send(GET);
    assert_eq!(client.answer().text(), "ok");
    let drained = proxy.drain(PATIENCE);
    client.send(GET);
    let answer = client.answer();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("ok", Some("close"))
    );
    assert!(client.is_closed());
    done(drained);
}

#[test]
fn an_upgraded_connection_stays_encrypted() {
    let origin = Origin::of_heads(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                        Upgrade: websocket\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let mut bytes = [0; 4];
            while stream.read_exact(&mut bytes).is_ok() {
                stream.write_all(&bytes).unwrap();
            }
        }))
    });
    let proxy = proxy(&origin);
    let mut client = connect(&proxy);
    client.send(
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    assert!(client.head().contains(" 101 "));
    for word in ["ping", "pong"] {
        client.send(word);
        assert_eq!(client.bytes(4), word.as_bytes());
    }
}

/// The frames of HTTP/2 (RFC 9113): a length, a type, flags and a stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn http_2_is_spoken_with_those_who_agree_on_it() {
    let origin = Origin::new(|_| plain("hello"));
    let proxy = proxy(&origin);
    let offers = Offers::new().protocols(&["http/1.1", "h2"]);
    let mut client = offers.connect(proxy.address, "a.example").unwrap();
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.write(&frame(4, 0, 0, &[]));
    // GET, https and / of HPACK's table (RFC 7541), then :authority as it is written.
    let mut fields = vec![0x82, 0x87, 0x84, 0x41, 9];
    fields.extend_from_slice(b"a.example");
    client.write(&frame(1, 0x5, 1, &fields));
    let mut body = Vec::new();
    loop {
        let header = client.bytes(9);
        let length = usize::from(header[1]) << 8 | usize::from(header[2]);
        let payload = client.bytes(length);
        if (header[3], header[8]) == (0, 1) {
            body.extend_from_slice(&payload);
            if header[4] & 1 == 1 {
                break;
            }
        }
    }
    assert_eq!(body, b"hello");
    assert_eq!(origin.seen().field("x-forwarded-proto"), Some("https"));
    assert_eq!(proxy.log()[0]["protocol"], "http/2");
}

#[test]
fn who_does_not_begin_as_was_agreed_is_left() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = proxy(&origin);
    let mut client = Offers::new()
        .protocols(&["h2"])
        .connect(proxy.address, "a.example")
        .unwrap();
    client.send(GET);
    assert!(client.is_closed());
    // Without an agreement it is HTTP/1, whatever it looks like.
    let mut client = connect(&proxy);
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().status, 505);
    assert!(origin.is_quiet());
}
