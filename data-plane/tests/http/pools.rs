//! What threads of one process share of their connections to upstreams: their number, and large
//! upstreams.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use roadstead_data_plane::{limits::Limits, upstream::PoolOptions};
use tokio::time::Instant;

use super::support::{Backends, Origin, PATIENCE, Proxy, Step, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn at_most(connections: usize) -> Limits {
    let mut limits = Limits::default();
    limits.upstream.connections_per_process = connections;
    limits
}

#[test]
fn a_process_has_no_more_connections_than_the_limit_says() {
    let origin = Origin::new(|_| Step::Answer(String::new()));
    let pools = PoolOptions::default();
    let [one, two] = [0, 1].map(|_| Proxy::pooled(&origin.backends(), at_most(1), &pools));
    let mut first = one.client();
    first.send(GET);
    origin.seen();
    // It is in use: nobody gives way.
    let answer = two.ask(GET);
    assert_eq!((answer.status, answer.reason()), (503, Some("overloaded")));
    drop(first);
    one.until("closed", |totals| totals.upstream_open == 0);
    let mut next = two.client();
    next.send(GET);
    origin.seen();
    assert_eq!(origin.connections(), 2);
}

#[test]
fn connections_that_nobody_uses_give_way_to_other_threads() {
    let origin = Origin::new(|_| plain("ok"));
    let pools = PoolOptions::default();
    let [one, two] = [0, 1].map(|_| Proxy::pooled(&origin.backends(), at_most(1), &pools));
    assert_eq!(one.ask(GET).status, 200);
    assert_eq!(one.totals().upstream_open, 1);
    let deadline = Instant::now() + PATIENCE;
    while two.ask(GET).status != 200 {
        assert!(Instant::now() < deadline);
        assert!(one.totals().upstream_open + two.totals().upstream_open <= 1);
    }
    assert_eq!(
        (one.totals().upstream_open, two.totals().upstream_open),
        (0, 1)
    );
}

/// Answers on every address of this machine.
fn everywhere() -> u16 {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .unwrap();
                }
            });
        }
    });
    port
}

#[test]
fn a_thread_uses_sixty_four_of_many_endpoints_and_each_as_often() {
    let port = everywhere();
    let endpoint = |number: u8| (SocketAddr::from(([127, 1, 0, number], port)), "");
    let proxy = Proxy::new(&Backends::At((1..=200).map(endpoint).collect()));
    let mut client = proxy.client();
    let mut round = || {
        for _ in 0..64 {
            client.send(GET);
            assert_eq!(client.answer().status, 200);
        }
        let lines = proxy.lines(64);
        let upstream = |line: &serde_json::Value| line["upstream"].as_str().unwrap().to_owned();
        lines.iter().map(upstream).collect::<BTreeSet<_>>()
    };
    let first = round();
    assert_eq!(first.len(), 64);
    assert_eq!(round(), first);
    assert_eq!(proxy.totals().upstream_connects, 64);
}
