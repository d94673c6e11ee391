//! Header fields on their way: what passes, what we write, and what nobody can displace.

use super::support::{Origin, Proxy, Step, plain};

/// What the upstream is told in any case, sorted; `client` is the client's address.
fn ours(host: &str, port: u16) -> Vec<String> {
    vec![
        format!("host: {host}"),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        format!("x-forwarded-host: {host}"),
        format!("x-forwarded-port: {port}"),
        "x-forwarded-proto: http".to_owned(),
        "x-real-ip: 127.0.0.1".to_owned(),
    ]
}

#[test]
fn an_upstream_sees_the_clients_fields_and_ours() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    for (sent, passed) in [
        ("", vec![]),
        (
            "Accept: */*\r\nX-Id: 1\r\nX-Id: 2\r\n",
            vec!["accept: */*", "x-id: 1", "x-id: 2"],
        ),
        (
            "Authorization: Basic eDp5\r\nCookie: a=b; c=d\r\n",
            vec!["authorization: Basic eDp5", "cookie: a=b; c=d"],
        ),
        // Of the connection.
        (
            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n",
            vec![],
        ),
        (
            "Connection: X-Private, close\r\nX-Private: 1\r\nX-Public: 2\r\n",
            vec!["x-public: 2"],
        ),
        ("TE: gzip\r\n", vec![]),
        (
            "TE: gzip, trailers\r\n",
            vec!["connection: te", "te: trailers"],
        ),
        (
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n",
            vec![],
        ),
        ("Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", vec![]),
        ("Proxy-Authorization: Basic eDp5\r\n", vec![]),
        // Of whoever forwarded it.
        (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n",
            vec![],
        ),
        (
            "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Prefix: /x\r\n",
            vec![],
        ),
        (
            "X_Forwarded_For: 6.6.6.6\r\nx_real_ip: 6.6.6.6\r\nAny_Thing: 1\r\n",
            vec![],
        ),
        (
            "Connection: X-Forwarded-For, X-Real-IP, Host, Content-Length\r\n",
            vec![],
        ),
        (
            "X-Forwarded-Client-Cert: By=x\r\nSSL-Client-Verify: SUCCESS\r\nClient-Cert: :x:\r\n",
            vec![],
        ),
        // Of a bad habit of CGI.
        ("Proxy: http://evil/\r\n", vec![]),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: A.example:8080\r\n{sent}\r\n");
        assert_eq!(proxy.ask(&request).status, 200, "{sent:?}");
        let mut expected = ours("a.example:8080", proxy.address.port());
        expected.extend(passed.into_iter().map(str::to_owned));
        expected.sort();
        assert_eq!(origin.seen().fields(), expected, "{sent:?}");
    }
}

#[test]
fn a_client_that_names_no_host_is_not_given_one() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    let answer = proxy.ask("GET http://a.example HTTP/1.0\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(
        origin.seen().fields(),
        ours("a.example", proxy.address.port())
    );
}

#[test]
fn a_client_sees_the_upstreams_fields_without_those_of_its_connection() {
    let head = "HTTP/1.1 201 Whatever\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
                Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n\
                Proxy-Connection: keep-alive\r\nX-Roadstead-Reason: no-route\r\n\
                Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::new(move |_| Step::Answer(head.to_owned()));
    let proxy = Proxy::new(&origin.backends());
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let mut lines: Vec<_> = answer.head.trim_end().lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "HTTP/1.1 201 Created",
            "content-length: 2",
            "date: Sun, 06 Nov 1994 08:49:37 GMT",
            "server: x",
            "set-cookie: a",
            "set-cookie: b",
        ]
    );
}

#[test]
fn an_answer_without_a_date_gets_one() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let date = answer.field("date").unwrap();
    assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
}

#[test]
fn what_an_upstream_may_not_say_never_reaches_the_client() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let origin = Origin::new(move |_| Step::Last(head.to_owned()));
        let proxy = Proxy::new(&origin.backends());
        let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(answer.status, 502, "{head:?}: {answer:?}");
        assert_eq!(answer.reason(), Some("upstream-malformed"), "{head:?}");
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::new(move |_| Step::Answer(text.to_owned()));
    let proxy = Proxy::new(&origin.backends());
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(answer.field("link"), None);
}

#[test]
fn every_request_leaves_one_line_in_the_log() {
    let origin = Origin::new(|_| plain("hello"));
    let proxy = Proxy::new(&origin.backends());
    let mut client = proxy.client();
    client.send("GET /b?secret HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    client.send("GET /%zz HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let mut lines = Vec::new();
    while lines.len() < 3 {
        lines.extend(proxy.log());
    }
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {} {} {} {} {} {}",
                text("listener"),
                text("protocol"),
                text("method"),
                text("host"),
                text("path"),
                line["status"],
                line["bytes"],
                text("route"),
                text("reason"),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "http http/1.1 GET a.example /b 200 5 ingress/a/b#rule -",
            "http http/1.1 GET b.example / 404 13 - no-route",
            "http http/1.1    400 13 - bad-path",
        ]
    );
    assert!(
        lines.iter().all(|line| line["version"] == "1.1"),
        "{lines:?}"
    );
    assert_eq!(lines[0]["upstream"], origin.address.to_string());
    assert_eq!(
        lines[0]["client"],
        client.stream.local_addr().unwrap().to_string()
    );
}
