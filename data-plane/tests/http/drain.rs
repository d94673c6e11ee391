//! The end: no new connections, nothing cut that can finish, and a limit on how long.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use roadstead_data_plane::{limits::Limits, listen::listen, reason::Reason, snapshot::Terms};
use serde_json::json;
use tokio::time::Instant;

use super::support::{Client, Origin, PATIENCE, Proxy, Step, done, plain, port};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Answers half, and the rest when one more byte of the body comes.
fn halves() -> Step {
    Step::Take(Box::new(|mut stream: TcpStream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            .unwrap();
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok() {
            stream.write_all(b"world").unwrap();
        }
    }))
}

const POST: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n";

/// Lets clients ask once more for so long.
fn leaving(last_request: Duration) -> Limits {
    let mut limits = Limits::default();
    limits.client.last_request = last_request;
    limits
}

/// It is answered, and told that this was the last time.
fn assert_last(client: &mut Client) {
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed());
}

fn refuses(proxy: &Proxy) -> bool {
    TcpStream::connect(proxy.address).is_err()
}

#[test]
fn a_drain_ends_idle_connections_after_a_while_and_lets_requests_finish() {
    let origin = Origin::of_heads(|seen| match seen.line() {
        "GET / HTTP/1.1" => plain("ok"),
        _ => halves(),
    });
    let proxy = Proxy::with(&origin.backends(), leaving(Duration::from_millis(100)));
    let (mut idle, mut fresh, mut busy) = (proxy.client(), proxy.client(), proxy.client());
    idle.send(GET);
    assert_eq!(idle.answer().status, 200);
    busy.send(POST);
    assert!(busy.head().contains("200 OK"));
    proxy.until("accepted", |totals| {
        totals.listeners["http"].connections_open == 3
    });

    let drained = proxy.drain(PATIENCE);
    assert!(idle.is_closed() && fresh.is_closed());
    assert!(refuses(&proxy));
    busy.send("x");
    assert_eq!(busy.bytes(10), b"helloworld");
    assert!(busy.is_closed());
    done(drained);
}

#[test]
fn whoever_has_nothing_open_as_a_drain_begins_may_ask_once_more() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::with(&origin.backends(), leaving(PATIENCE));
    let (mut kept, mut fresh) = (proxy.client(), proxy.client());
    kept.send(GET);
    assert_eq!(kept.answer().status, 200);
    proxy.until("accepted", |totals| {
        totals.listeners["http"].connections_open == 2
    });
    let drained = proxy.drain(PATIENCE);
    for client in [&mut kept, &mut fresh] {
        client.send(GET);
        assert_last(client);
    }
    done(drained);
}

#[test]
fn what_does_not_finish_in_time_is_cut() {
    let origin = Origin::of_heads(|_| halves());
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send(POST);
    assert!(client.head().contains("200 OK"));
    let begun = Instant::now();
    done(proxy.drain(Duration::from_millis(300)));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(client.bytes(10), b"hello");
    assert!(client.is_closed());
    assert_cut(&proxy, 200);
}

#[test]
fn whoever_has_no_answer_at_the_end_of_the_grace_period_is_cut_for_the_same_reason() {
    let origin = Origin::of_heads(|_| Step::Take(Box::new(|stream| drop(wait(stream)))));
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send(GET);
    origin.seen();
    done(proxy.drain(Duration::from_millis(300)));
    assert!(client.is_closed());
    assert_cut(&proxy, 499);
}

/// Reads until the end of the connection.
fn wait(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _reset = stream.read_to_end(&mut rest);
    rest
}

/// The one request is told to have been cut by the end of the grace period.
pub(crate) fn assert_cut(proxy: &Proxy, status: u16) {
    let line = proxy.lines(1).remove(0);
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&json!("drain"), &json!(status))
    );
    assert_eq!(proxy.totals().reasons[Reason::Drain as usize], 1);
    assert_eq!(proxy.totals().reasons.iter().sum::<u64>(), 1);
}

#[test]
fn a_request_during_a_drain_is_answered_and_is_the_last() {
    let origin = Origin::of_heads(|seen| match seen.line() {
        "GET / HTTP/1.1" => plain("ok"),
        _ => halves(),
    });
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.exa");
    proxy.until("accepted", |totals| {
        totals.listeners["http"].connections_open == 1
    });
    let drained = proxy.drain(PATIENCE);
    client.send("mple\r\n\r\n");
    assert_last(&mut client);
    done(drained);
}

#[test]
fn a_listener_closes_and_opens_while_others_go_on() {
    let origin = Origin::of_heads(|seen| match seen.line() {
        "GET / HTTP/1.1" => plain("ok"),
        _ => halves(),
    });
    let proxy = Proxy::with(&origin.backends(), leaving(Duration::from_millis(100)));
    let socket = listen("127.0.0.1:0".parse().unwrap(), 1)
        .unwrap()
        .pop()
        .unwrap();
    let other = socket.local_addr().unwrap();
    let mut name = port(other);
    name.name = "other".into();
    done(proxy.worker().open(name, Terms::default(), vec![socket]));
    let mut stays = Client::connect(other);
    let (mut idle, mut busy) = (proxy.client(), proxy.client());
    for client in [&mut stays, &mut idle] {
        client.send(GET);
        assert_eq!(client.answer().status, 200);
    }
    busy.send(POST);
    assert!(busy.head().contains("200 OK"));

    proxy.close_listener();
    assert!(idle.is_closed());
    assert!(refuses(&proxy));
    stays.send(GET);
    assert_eq!(stays.answer().status, 200);
    busy.send("x");
    assert_eq!(busy.bytes(10), b"helloworld");

    let again = listen(proxy.address, 1).unwrap().pop().unwrap();
    done(
        proxy
            .worker()
            .open(port(proxy.address), Terms::default(), vec![again]),
    );
    assert_eq!(proxy.ask(GET).status, 200);
    // The figures of a name go on.
    assert_eq!(proxy.totals().listeners["http"].connections, 3);
}

#[test]
fn an_address_is_free_once_its_listener_is_said_to_be_closed() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    for _ in 0..20 {
        proxy.close_listener();
        let again = listen(proxy.address, 1).unwrap().pop().unwrap();
        // What waits to be accepted takes the thread a while.
        let _waiting: Vec<_> = (0..200).map(|_| proxy.client()).collect();
        let _opened = proxy
            .worker()
            .open(port(proxy.address), Terms::default(), vec![again]);
    }
    assert_eq!(proxy.ask(GET).status, 200);
}

#[test]
fn whoever_waits_to_be_accepted_when_a_drain_begins_is_served() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    let socket = listen("127.0.0.1:0".parse().unwrap(), 1)
        .unwrap()
        .pop()
        .unwrap();
    let address = socket.local_addr().unwrap();
    // More than the runtime lets a task accept without a pause.
    let mut waiting: Vec<_> = (0..300).map(|_| Client::connect(address)).collect();
    for client in &mut waiting {
        client.send(GET);
    }
    let mut name = port(address);
    name.name = "other".into();
    let _opened = proxy.worker().open(name, Terms::default(), vec![socket]);
    let drained = proxy.drain(PATIENCE);
    for client in &mut waiting {
        assert_eq!(client.answer().status, 200);
        assert!(client.is_closed());
    }
    done(drained);
}

#[test]
fn tunnels_live_to_the_end_of_the_grace_period() {
    let origin = Origin::new(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                .unwrap();
            std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
        }))
    });
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send(
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(client.head().contains("101"));
    let drained = proxy.drain(Duration::from_millis(500));
    client.send("still here");
    assert_eq!(client.bytes(10), b"still here");
    done(drained);
    assert!(client.is_closed());
    assert_cut(&proxy, 101);
}
