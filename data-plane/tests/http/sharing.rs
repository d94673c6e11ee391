//! Connections that one thread has too many of go to the others, whole.

use super::support::{Client, Origin, PATIENCE, Proxy, done, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn open(proxy: &Proxy) -> i64 {
    let totals = proxy.totals();
    let listener = totals.listeners.get("http");
    listener.map_or(0, |listener| listener.connections_open)
}

fn given(proxies: &[Proxy]) -> u64 {
    proxies
        .iter()
        .map(|proxy| proxy.totals().connections_given)
        .sum()
}

/// Waits until all together have so many connections.
fn until_open(proxies: &[Proxy], connections: i64) {
    proxies[0].until("open", |_| {
        proxies.iter().map(open).sum::<i64>() == connections
    });
}

#[test]
fn a_few_long_connections_are_shared_out_evenly() {
    let origin = Origin::new(|_| plain("ok"));
    let proxies = Proxy::several(4, &origin.backends());
    let mut clients: Vec<_> = (0..16).map(|_| proxies[0].client()).collect();
    until_open(&proxies, 16);
    let spread: Vec<_> = proxies.iter().map(open).collect();
    assert!(spread.iter().all(|open| *open <= 4 + 1), "{spread:?}");
    // Wherever one has gone, it is an ordinary connection of the listener.
    for _ in 0..2 {
        for client in &mut clients {
            client.send(GET);
            let answer = client.answer();
            assert_eq!((answer.status, answer.field("connection")), (200, None));
        }
    }
    drop(clients);
    until_open(&proxies, 0);
    // What has ended weighs no more: the first thread keeps the next one.
    let before = given(&proxies);
    assert!(before >= 11, "{before}");
    let _next = proxies[0].client();
    until_open(&proxies, 1);
    assert_eq!((open(&proxies[0]), given(&proxies)), (1, before));
}

#[test]
fn nobody_is_reset_when_listeners_close_or_threads_drain_while_connections_are_given() {
    let origin = Origin::new(|_| plain("ok"));
    for round in 0..10 {
        let drains = round % 2 == 0;
        let proxies = Proxy::several(4, &origin.backends());
        let connect = |_| {
            let mut client = Client::connect(proxies[0].address);
            client.send(GET);
            client
        };
        let mut clients: Vec<_> = (0..8).map(connect).collect();
        proxies[0].until("given", |totals| totals.connections_given > 0);
        clients.extend((0..100).map(connect));
        let mut told = Vec::new();
        for proxy in &proxies {
            told.push(match drains {
                true => proxy.drain(PATIENCE),
                false => proxy.worker().close(&"http".into()),
            });
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.answer().status, 200, "{number} {drains}");
            assert!(client.is_closed(), "{number} {drains}");
        }
        told.into_iter().for_each(done);
    }
}

#[test]
fn a_thread_that_has_ended_is_given_nothing() {
    let origin = Origin::new(|_| plain("ok"));
    let proxies = Proxy::several(2, &origin.backends());
    done(proxies[1].drain(PATIENCE));
    let mut clients: Vec<_> = (0..8).map(|_| proxies[0].client()).collect();
    for client in &mut clients {
        client.send(GET);
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!((open(&proxies[0]), given(&proxies)), (8, 0));
}
