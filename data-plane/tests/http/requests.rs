//! Requests as clients send them, good, ambiguous and hostile, each with the one right verdict.

use super::support::{Backends, Origin, Proxy, plain};

/// What becomes of a request.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// It reaches the upstream with this first line and this body.
    Passed(&'static str, &'static str),
    /// It is answered by us with this status and reason, and never reaches the upstream.
    Refused(u16, &'static str),
}
use Verdict::{Passed, Refused};

const BAD: Verdict = Refused(400, "bad-request");

const CASES: &[(&str, Verdict)] = &[
    // Ordinary requests.
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET / HTTP/1.1", ""),
    ),
    (
        "GET /b?c=d HTTP/1.1\r\nhost: A.EXAMPLE:80\r\n\r\n",
        Passed("GET /b?c=d HTTP/1.1", ""),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n",
        Passed("GET / HTTP/1.1", ""),
    ),
    (
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET / HTTP/1.1", ""),
    ),
    (
        "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
        Passed("GET / HTTP/1.1", ""),
    ),
    (
        "GET http://a.example/b HTTP/1.1\r\nHost: b.example\r\n\r\n",
        Passed("GET /b HTTP/1.1", ""),
    ),
    (
        "PURGE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("PURGE / HTTP/1.1", ""),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        Passed("POST / HTTP/1.1", "hello"),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nhello\r\n0\r\n\r\n",
        Passed("POST / HTTP/1.1", "5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
        Passed("GET / HTTP/1.1", "hello"),
    ),
    // No route.
    (
        "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
        Refused(404, "no-route"),
    ),
    ("GET / HTTP/1.0\r\n\r\n", Refused(404, "no-route")),
    (
        "GET / HTTP/1.1\r\nHost: a.example.b.example\r\n\r\n",
        Refused(404, "no-route"),
    ),
    // The first line.
    ("GET / HTTP/1.1\nHost: a.example\r\n\r\n", BAD),
    ("GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD),
    ("GET / HTTP/1.1 \r\nHost: a.example\r\n\r\n", BAD),
    (" GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", BAD),
    ("GET /\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n", BAD),
    ("\u{16}\u{3}\u{1}\u{2}", BAD),
    (
        "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n",
        Refused(505, "version-not-supported"),
    ),
    (
        "GET / HTTP/0.9\r\nHost: a.example\r\n\r\n",
        Refused(505, "version-not-supported"),
    ),
    (
        "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
        Refused(405, "method-not-allowed"),
    ),
    (
        "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(405, "method-not-allowed"),
    ),
    // Host and authority.
    ("GET / HTTP/1.1\r\n\r\n", Refused(400, "bad-host")),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Refused(400, "bad-host")),
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a..example\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    (
        "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(404, "no-route"),
    ),
    (
        "GET http://u:p@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-host"),
    ),
    ("GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", BAD),
    // Paths: what is matched is what is sent.
    (
        "GET /a/../b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET /b HTTP/1.1", ""),
    ),
    (
        "GET /a/%2e%2e/b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET /b HTTP/1.1", ""),
    ),
    (
        "GET /%61%2D?x=%2e%2e HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET /a-?x=%2e%2e HTTP/1.1", ""),
    ),
    (
        "GET //b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET /b HTTP/1.1", ""),
    ),
    (
        "GET /../../b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Passed("GET /b HTTP/1.1", ""),
    ),
    (
        "GET /a%2fb HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET /a\\b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET /a%5cb HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET /a%00b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET /a/..;/b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET /%zz HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "GET a HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    (
        "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
        Refused(400, "bad-path"),
    ),
    // Framing.
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5, 5\r\n\r\nhello",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +5\r\n\r\nhello",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0x5\r\n\r\nhello",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length:\r\n\r\nhello",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 99999999999999999999\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: identity\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
        BAD,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\r\n b\r\n\r\n",
        BAD,
    ),
    ("GET / HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n", BAD),
    ("GET / HTTP/1.1\r\nHost: a.example\r\nX: a\rb\r\n\r\n", BAD),
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\nY: b\r\n\r\n",
        BAD,
    ),
    ("GET / HTTP/1.1\r\nHost: a.example\r\nno colon\r\n\r\n", BAD),
    // What only a body shows: the upstream sees a request that never ends.
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        BAD,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
        BAD,
    ),
    // Expectations.
    (
        "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: cookies\r\n\r\n",
        Refused(417, "expectation-unknown"),
    ),
];

#[test]
fn every_request_gets_its_verdict() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(origin.backends());
    for (request, verdict) in CASES {
        let answer = proxy.ask(request);
        match verdict {
            Refused(status, reason) => {
                assert_eq!(
                    (answer.status, answer.reason()),
                    (*status, Some(*reason)),
                    "{request:?}"
                );
                assert!(origin.is_quiet(), "{request:?} reached the upstream");
            }
            Passed(line, body) => {
                assert_eq!(answer.status, 200, "{request:?}: {answer:?}");
                let seen = origin.seen();
                assert_eq!(
                    (seen.line(), &*seen.body),
                    (*line, body.as_bytes()),
                    "{request:?}"
                );
            }
        }
    }
}

#[test]
fn a_request_that_is_refused_ends_its_connection() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(origin.backends());
    for (request, verdict) in CASES {
        let Refused(400 | 405 | 417 | 505, _) = verdict else {
            continue;
        };
        let mut client = proxy.client();
        client.send(request);
        // What follows must not be taken for a request.
        client.send("GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
        assert!(client.is_closed(), "{request:?}");
        assert!(origin.is_quiet(), "{request:?}");
    }
}

#[test]
fn requests_that_are_sent_ahead_are_answered_in_order() {
    let origin = Origin::new(|seen| plain(seen.line()));
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    let mut sent = String::new();
    for place in 0..100 {
        sent += &format!("GET /{place} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    }
    client.send(&sent);
    for place in 0..100 {
        assert_eq!(client.answer().text(), format!("GET /{place} HTTP/1.1"));
    }
}

#[test]
fn it_does_not_matter_how_the_bytes_of_a_request_come() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(origin.backends());
    let request = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
    let mut client = proxy.client();
    client.stream.set_nodelay(true).unwrap();
    for byte in request.as_bytes() {
        client.write(&[*byte]);
    }
    assert_eq!(client.answer().status, 200);
    let body = origin
        .seen()
        .body
        .into_iter()
        .filter(|byte| byte.is_ascii_lowercase());
    assert_eq!(body.collect::<Vec<_>>(), b"helloxsum");
}

#[test]
fn heads_that_are_too_large_are_refused() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(origin.backends());
    let fields = |count, len| format!("x: {}\r\n", "y".repeat(len)).repeat(count);
    for (target, fields, status, reason) in [
        ("/".to_owned() + &"a".repeat(8000), String::new(), 200, None),
        (
            "/".to_owned() + &"a".repeat(9000),
            String::new(),
            414,
            Some("target-too-long"),
        ),
        ("/".to_owned(), fields(126, 10), 200, None),
        (
            "/".to_owned(),
            fields(128, 10),
            431,
            Some("headers-too-large"),
        ),
        (
            "/".to_owned(),
            fields(1000, 10),
            431,
            Some("headers-too-large"),
        ),
        ("/".to_owned(), fields(1, 30_000), 200, None),
        (
            "/".to_owned(),
            fields(1, 40_000),
            431,
            Some("headers-too-large"),
        ),
        (
            "/".to_owned(),
            fields(30, 40_000),
            431,
            Some("headers-too-large"),
        ),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
        let mut client = proxy.client();
        // The connection may be closed before all is written.
        let _closed = std::io::Write::write_all(&mut client.stream, request.as_bytes());
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.reason()),
            (status, reason),
            "{}",
            request.len()
        );
    }
}

#[test]
fn what_is_wrong_with_an_upstream_has_its_status() {
    let nowhere = Origin::nowhere();
    for (backends, status, reason) in [
        (Backends::Missing, 503, "no-service"),
        (Backends::At(vec![]), 503, "no-endpoints"),
        (Backends::At(vec![(nowhere, "")]), 502, "connect-refused"),
    ] {
        let proxy = Proxy::new(backends);
        let mut client = proxy.client();
        // Such an answer leaves the connection as it is.
        for _ in 0..2 {
            client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
            let answer = client.answer();
            assert_eq!((answer.status, answer.reason()), (status, Some(reason)));
            assert_eq!(answer.text(), format!("{status} {reason}\n"));
        }
        let place = roadstead_data_plane::reason::Reason::ALL
            .iter()
            .position(|known| known.as_str() == reason)
            .unwrap();
        proxy.until(reason, |totals| totals.reasons[place] == 2);
    }
}
