//! WebSocket upgrades: only when both ends agree, and then bytes both ways.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use roadstead_data_plane::limits::Limits;

use super::support::{Origin, Proxy, Step, plain};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";

const YES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

/// Agrees, says `early` in the same breath, and echoes until the client closes.
fn echo(early: &'static str) -> Step {
    Step::Take(Box::new(move |mut stream: TcpStream| {
        stream
            .write_all(format!("{YES}{early}").as_bytes())
            .unwrap();
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..read]).unwrap();
        }
        let _gone = stream.write_all(b"bye");
    }))
}

#[test]
fn bytes_pass_both_ways_after_an_upgrade() {
    let origin = Origin::new(|_| echo("welcome"));
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    // What is said before the answer is not lost either.
    client.send(&format!("{ASK}first"));
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    for field in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-accept: y",
    ] {
        assert!(head.contains(&format!("{field}\r\n")), "{head}");
    }
    assert!(!head.contains("content-length") && !head.contains("date"));
    let seen = origin.seen();
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "x"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(seen.field(name), Some(value));
    }
    assert_eq!(client.bytes(12), b"welcomefirst");
    for text in ["hello", &"long ".repeat(100_000)] {
        client.send(text);
        assert!(client.bytes(text.len()) == text.as_bytes());
    }
    proxy.until("open", |totals| totals.listeners["http"].tunnels_open == 1);
    // One end closes; what the other still says arrives.
    client.half_close();
    assert_eq!(client.bytes(9), b"bye");
    assert!(client.is_closed());
    proxy.until("closed", |totals| {
        totals.listeners["http"].tunnels_open == 0 && totals.upstream_open == 0
    });
    let line = &proxy.log()[0];
    assert_eq!(
        (&line["status"], &line["bytes"]),
        (&101.into(), &500_020.into())
    );
}

#[test]
fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let origin = Origin::new(|_| plain("no"));
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    // What was sent ahead is the next request then, and nothing else.
    client.send(&format!(
        "{ASK}GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n"
    ));
    assert_eq!(client.answer().text(), "no");
    assert_eq!(client.answer().text(), "no");
    origin.seen();
    assert_eq!(origin.seen().line(), "GET /next HTTP/1.1");
}

#[test]
fn an_upstream_must_agree_to_what_was_asked() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let origin = Origin::new(move |_| Step::Answer(answer.to_owned()));
        let proxy = Proxy::new(origin.backends());
        assert_eq!(proxy.ask(ASK).status, 502, "{answer:?}");
    }
}

#[test]
fn a_tunnel_in_which_nothing_is_said_ends() {
    let origin = Origin::new(|_| echo(""));
    let mut limits = Limits::default();
    limits.client.tunnel_idle = Duration::from_millis(300);
    let proxy = Proxy::with(origin.backends(), limits);
    let mut client = proxy.client();
    client.send(ASK);
    assert!(client.head().contains("101"));
    assert!(client.is_closed());
    proxy.until("closed", |totals| totals.upstream_open == 0);
}

#[test]
fn when_an_upstream_breaks_a_tunnel_its_client_sees_it() {
    let origin = Origin::new(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            stream.write_all(YES.as_bytes()).unwrap()
        }))
    });
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send(ASK);
    assert!(client.head().contains("101"));
    assert!(client.is_closed());
}
