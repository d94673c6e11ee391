//! Connections: kept, used again, found to be stale, and never given to the wrong upstream.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use roadstead_data_plane::limits::Limits;
use serde_json::json;

use super::support::{Backends, BlackHole, Client, Origin, Proxy, Step, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn connections_are_used_again_on_both_sides() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    for place in 0..5 {
        client.send(GET);
        assert_eq!(client.answer().status, 200);
        let seen = origin.seen();
        assert_eq!((seen.connection, seen.place), (0, place));
    }
    proxy.until("reused", |totals| totals.upstream_reused == 4);
    assert_eq!(proxy.totals().upstream_connects, 1);
    assert_eq!(proxy.totals().listeners["http"].connections, 1);
}

#[test]
fn a_connection_ends_when_either_end_says_so() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    for (version, field, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, Close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
    ] {
        let mut client = proxy.client();
        client.send(&format!(
            "GET / HTTP/{version}\r\nHost: a.example\r\n{field}\r\n"
        ));
        let answer = client.answer();
        let told = answer.field("connection");
        assert_eq!(told != Some("close"), kept, "{version} {field:?}");
        if kept {
            client.send(GET);
            assert_eq!(client.answer().status, 200);
        } else {
            assert!(client.is_closed());
        }
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_connection_that_its_upstream_closes_is_not_used_again() {
    let origin = Origin::new(|_| {
        Step::Answer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".into())
    });
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send(GET);
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("connection")), (200, None));
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn bytes_that_nobody_asked_for_end_a_connection() {
    let origin = Origin::new(|_| {
        Step::Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n".into())
    });
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send(GET);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_stale_connection_costs_a_client_nothing() {
    // The first connection ends without an answer to its second request.
    let origin = Origin::new(|seen| match (seen.connection, seen.place) {
        (0, 1) => Step::Last(String::new()),
        _ => plain("ok"),
    });
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(GET);
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(origin.connections(), 2);
    proxy.until("retried", |totals| totals.upstream_retries == 1);
}

#[test]
fn a_request_that_may_have_been_acted_on_is_not_repeated() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        "PATCH / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        let origin = Origin::new(|seen| match (seen.connection, seen.place) {
            (0, 1) => Step::Last(String::new()),
            _ => plain("ok"),
        });
        let proxy = Proxy::new(&origin.backends());
        let mut client = proxy.client();
        client.send(GET);
        assert_eq!(client.answer().status, 200);
        client.send(request);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.reason()),
            (502, Some("upstream-closed")),
            "{request:?}"
        );
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn a_fresh_connection_that_ends_is_not_tried_again() {
    let origin = Origin::new(|_| Step::Last(String::new()));
    let proxy = Proxy::new(&origin.backends());
    let answer = proxy.ask(GET);
    assert_eq!(
        (answer.status, answer.reason()),
        (502, Some("upstream-closed"))
    );
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_endpoint_that_is_down_is_passed_over() {
    let origin = Origin::new(|seen| plain(&seen.body.len().to_string()));
    let down = Origin::nowhere();
    let proxy = Proxy::new(&Backends::At(vec![
        (down, "a"),
        (origin.address, "b"),
        (down, "c"),
    ]));
    let mut client = proxy.client();
    for _ in 0..6 {
        // Nothing of the request was sent, so that even this may go elsewhere.
        client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, "5"));
    }
    assert!(proxy.totals().upstream_connect_failures >= 4);
}

#[test]
fn no_more_endpoints_are_tried_than_the_limit_says() {
    let origin = Origin::new(|_| plain("ok"));
    let mut endpoints: Vec<_> = (0..3).map(|_| (Origin::nowhere(), "")).collect();
    endpoints.push((origin.address, ""));
    let proxy = Proxy::new(&Backends::At(endpoints));
    let statuses: Vec<_> = (0..4).map(|_| proxy.ask(GET).status).collect();
    assert_eq!(statuses, [502, 200, 200, 200]);
}

#[test]
fn endpoints_take_turns() {
    let origins = [0, 1, 2].map(|n| Origin::new(move |_| plain(&n.to_string())));
    let endpoints = origins.iter().map(|origin| (origin.address, "")).collect();
    let proxy = Proxy::new(&Backends::At(endpoints));
    let mut client = proxy.client();
    let answers: Vec<_> = (0..6)
        .map(|_| {
            client.send(GET);
            client.answer().text().to_owned()
        })
        .collect();
    assert_eq!(answers, ["0", "1", "2", "0", "1", "2"]);
}

#[test]
fn threads_do_not_begin_with_the_same_endpoint() {
    let origins = [0, 1, 2].map(|n| Origin::new(move |_| plain(&n.to_string())));
    let endpoints: Vec<_> = origins.iter().map(|origin| (origin.address, "")).collect();
    let backends = Backends::At(endpoints);
    let first = |index| {
        let proxy = Proxy::numbered(index, &backends, Limits::default());
        proxy.ask(GET).text().to_owned()
    };
    assert_eq!([0, 1, 2, 3].map(first), ["0", "1", "2", "0"]);
}

#[test]
fn a_change_of_endpoints_is_followed_at_once_and_cuts_nothing() {
    let old = Origin::of_heads(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                .unwrap();
            // Until the test has published and sends the other half of its request.
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            stream.write_all(b"world").unwrap();
        }))
    });
    let new = Origin::new(|_| plain("new"));
    let mut proxy = Proxy::new(&old.backends());
    let mut slow = proxy.client();
    slow.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n");
    assert!(slow.head().contains("200 OK"));
    proxy.publish(&new.backends());
    assert_eq!(proxy.ask(GET).text(), "new");
    slow.send("x");
    assert_eq!(slow.bytes(10), b"helloworld");
    proxy.publish(&Backends::At(vec![]));
    assert_eq!(proxy.ask(GET).status, 503);
    proxy.publish(&Backends::Missing);
    assert_eq!(proxy.ask(GET).reason(), Some("no-service"));
}

#[test]
fn an_address_that_another_pod_has_now_gets_a_connection_of_its_own() {
    let origin = Origin::new(|_| plain("ok"));
    let mut proxy = Proxy::new(&Backends::At(vec![(origin.address, "pod-1")]));
    for (uid, connection) in [("pod-1", 0), ("pod-1", 0), ("pod-2", 1), ("pod-2", 1)] {
        proxy.publish(&Backends::At(vec![(origin.address, uid)]));
        assert_eq!(proxy.ask(GET).status, 200);
        assert_eq!(origin.seen().connection, connection, "{uid}");
    }
    proxy.until("closed", |totals| totals.upstream_open == 1);
}

#[test]
fn unused_connections_are_closed_after_a_while() {
    let origin = Origin::new(|_| plain("ok"));
    let mut limits = Limits::default();
    limits.upstream.idle = Duration::from_millis(200);
    let proxy = Proxy::with(&origin.backends(), limits);
    assert_eq!(proxy.ask(GET).status, 200);
    proxy.until("closed", |totals| totals.upstream_open == 0);
}

#[test]
fn an_upstream_that_is_removed_keeps_no_connections() {
    let origin = Origin::new(|_| plain("ok"));
    let mut proxy = Proxy::new(&origin.backends());
    assert_eq!(proxy.ask(GET).status, 200);
    proxy.publish(&Backends::Missing);
    proxy.until("closed", |totals| totals.upstream_open == 0);
}

#[test]
fn clients_that_let_us_wait_are_sent_away() {
    let origin = Origin::new(|_| plain("ok"));
    let mut limits = Limits::default();
    limits.client.first_byte = Duration::from_millis(300);
    limits.client.header = Duration::from_millis(300);
    limits.client.idle = Duration::from_millis(300);
    limits.client.body_progress = Duration::from_millis(300);
    let proxy = Proxy::with(&origin.backends(), limits);
    // Says nothing, and after a request nothing more.
    assert!(proxy.client().is_closed());
    let mut client = proxy.client();
    client.send(GET);
    assert_eq!(client.answer().status, 200);
    assert!(client.is_closed());
    // Begins, and does not go on.
    for begun in ["G", "GET / HTTP/1.1\r\nHost: a.exa", "PRI * HTTP/2.0\r\n"] {
        let mut client = proxy.client();
        client.send(begun);
        let answer = client.answer();
        assert!(
            answer.head.is_empty() || answer.status == 408,
            "{begun:?}: {answer:?}"
        );
        assert!(client.is_closed(), "{begun:?}");
    }
    // Sends half a body.
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhel");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.reason()),
        (408, Some("client-timeout"))
    );
    assert!(client.is_closed());
}

#[test]
fn upstreams_that_let_us_wait_are_given_up() {
    let calls = AtomicUsize::new(0);
    let origin = Origin::new(move |_| {
        let half = match calls.fetch_add(1, Ordering::SeqCst) {
            0 => "",
            1 => "HTTP/1.1 200 OK\r\nContent-Le",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        };
        Step::Answer(half.to_owned())
    });
    let mut limits = Limits::default();
    limits.upstream.response_header = Duration::from_millis(300);
    limits.upstream.progress = Duration::from_millis(300);
    let proxy = Proxy::with(&origin.backends(), limits);
    for _ in 0..2 {
        let answer = proxy.ask(GET);
        assert_eq!(
            (answer.status, answer.reason()),
            (504, Some("upstream-timeout"))
        );
    }
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.cut), (200, true));
    proxy.until("closed", |totals| totals.upstream_open == 0);
}

#[test]
fn a_client_that_goes_away_ends_its_request() {
    let origin = Origin::new(|_| Step::Answer(String::new()));
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send(GET);
    origin.seen();
    drop(client);
    proxy.until("ended", |totals| {
        totals.upstream_open == 0 && totals.listeners["http"].connections_open == 0
    });
    let line = &proxy.log()[0];
    assert_eq!(line["reason"], "client-gone");
    assert_eq!(
        (&line["version"], &line["route"]),
        (&json!("1.1"), &json!("ingress/a/b#rule"))
    );
    assert_eq!(line["upstream"], origin.address.to_string());
}

/// It cannot be told from one that has gone altogether.
#[test]
fn a_client_that_closes_its_end_gets_no_answer() {
    let origin = Origin::new(|_| Step::Answer(String::new()));
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send(GET);
    origin.seen();
    client.half_close();
    assert!(client.is_closed());
    assert_eq!(proxy.log()[0]["reason"], "client-gone");
}

#[test]
fn there_are_no_more_connections_than_the_limit_says() {
    let origin = Origin::new(|_| plain("ok"));
    let mut limits = Limits::default();
    limits.client.connections_per_thread = 2;
    let proxy = Proxy::with(&origin.backends(), limits);
    let mut open = [proxy.client(), proxy.client()];
    for client in &mut open {
        client.send(GET);
        assert_eq!(client.answer().status, 200);
    }
    assert!(proxy.client().is_closed());
    let [first, _second] = open;
    drop(first);
    proxy.until("one left", |totals| {
        totals.listeners["http"].connections_open == 1
    });
    assert_eq!(proxy.ask(GET).status, 200);
    assert_eq!(proxy.totals().connections_shed, 1);
}

#[test]
fn there_are_no_more_connections_to_an_endpoint_than_the_limit_says() {
    let origin = Origin::new(|_| Step::Answer(String::new()));
    let mut limits = Limits::default();
    limits.upstream.connections_per_endpoint = 1;
    let proxy = Proxy::with(&origin.backends(), limits);
    let mut first = proxy.client();
    first.send(GET);
    origin.seen();
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.reason()), (503, Some("overloaded")));
}

#[test]
fn connections_that_are_being_made_count_too() {
    let lost = BlackHole::new();
    let mut limits = Limits::default();
    limits.upstream.connections_per_endpoint = 2;
    limits.upstream.connect = Duration::from_secs(1);
    let proxy = Proxy::with(&Backends::At(vec![(lost.address, "")]), limits);
    let ask = || {
        let mut client = proxy.client();
        client.send(GET);
        client
    };
    let mut waiting = [ask(), ask()];
    proxy.until("being made", |totals| totals.upstream_open == 2);
    let answer = ask().answer();
    assert_eq!((answer.status, answer.reason()), (503, Some("overloaded")));
    for client in &mut waiting {
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.reason()),
            (504, Some("connect-timeout"))
        );
    }
    assert_eq!(proxy.totals().upstream_open, 0);
}

#[test]
fn a_thread_has_no_more_connections_to_all_endpoints_than_the_limit_says() {
    let origins = [0, 1, 2].map(|n| Origin::new(move |_| plain(&n.to_string())));
    let endpoints = origins.iter().map(|origin| (origin.address, "")).collect();
    let mut limits = Limits::default();
    limits.upstream.connections_per_thread = 2;
    let proxy = Proxy::with(&Backends::At(endpoints), limits.clone());
    let mut client = proxy.client();
    let ask = |client: &mut Client| {
        client.send(GET);
        let answer = client.answer();
        assert!(proxy.totals().upstream_open <= 2);
        answer.text().to_owned()
    };
    // Unused connections give way.
    let answers: Vec<_> = (0..9).map(|_| ask(&mut client)).collect();
    assert_eq!(answers.concat(), "012012012");

    // Those in use do not.
    let origins = [0, 1].map(|_| Origin::new(|_| Step::Answer(String::new())));
    let endpoints = origins.iter().map(|origin| (origin.address, "")).collect();
    limits.upstream.connections_per_thread = 1;
    let proxy = Proxy::with(&Backends::At(endpoints), limits);
    let mut first = proxy.client();
    first.send(GET);
    origins[0].seen();
    let answer = proxy.ask(GET);
    assert_eq!((answer.status, answer.reason()), (503, Some("overloaded")));
}
