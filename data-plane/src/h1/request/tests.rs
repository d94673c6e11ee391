use super::*;

fn parse(text: &str) -> Result<RequestHead, RequestError> {
    let text = Bytes::copy_from_slice(text.as_bytes());
    let limits = MessageLimits {
        target: 20,
        header_fields: 12,
        ..MessageLimits::default()
    };
    parse_request(&text, HeaderMap::new(), &limits)
}

#[test]
fn fields_are_sorted_by_what_they_are_for() {
    let request = parse(
        "POST /a?b HTTP/1.1\r\nHost: A.example\r\nAccept: */*\r\nContent-Length: 5\r\n\
         Connection: keep-alive, X-Private\r\nX-Private: 1\r\nX-Forwarded-For: 1.2.3.4\r\n\
         TE: trailers\r\nExpect: 100-Continue\r\nProxy: evil\r\nx_y: 1\r\n\r\n",
    )
    .unwrap();
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.target, "/a?b");
    assert_eq!(request.hosts, Hosts::One(Bytes::from_static(b"A.example")));
    assert_eq!(request.framing, Framing::Length(5));
    assert!(request.expects_continue && request.takes_trailers && !request.websocket);
    assert!(request.connection.keeps_alive(request.http10));
    let names: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["accept"]);
}

#[test]
fn the_connection_field_cannot_name_a_field_that_is_sorted_out() {
    let request = parse(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\
         Connection: host, content-length, x-forwarded-for\r\n\r\n",
    )
    .unwrap();
    assert_eq!(request.hosts, Hosts::One(Bytes::from_static(b"a")));
    assert_eq!(request.framing, Framing::Length(0));
}

#[test]
fn only_a_plain_websocket_handshake_is_an_upgrade() {
    let both = "Connection: Upgrade\r\nUpgrade: WebSocket\r\n";
    for (line, fields, asked) in [
        ("GET / HTTP/1.1", both, true),
        ("GET / HTTP/1.0", both, false),
        ("POST / HTTP/1.1", both, false),
        ("GET / HTTP/1.1", "Upgrade: websocket\r\n", false),
        ("GET / HTTP/1.1", "Connection: upgrade\r\n", false),
        (
            "GET / HTTP/1.1",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1",
            "Connection: upgrade, http2-settings\r\nUpgrade: h2c, websocket\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1",
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n",
            false,
        ),
    ] {
        let request = parse(&format!("{line}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!(request.websocket, asked, "{line} {fields}");
    }
}

#[test]
fn what_is_not_a_request_is_refused() {
    use RequestError::{Expectation, Malformed, TargetTooLong, TooManyFields, Version};
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(13));
    let very_many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(999));
    for (text, error) in [
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\n A: b\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nA: b\0\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\n: b\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Malformed),
        ("GET  / HTTP/1.1\r\n\r\n", Malformed),
        ("GET / HTTP/1.1 \r\n\r\n", Malformed),
        ("G(T / HTTP/1.1\r\n\r\n", Malformed),
        ("GET /a b HTTP/1.1\r\n\r\n", Malformed),
        ("GET /\u{7f} HTTP/1.1\r\n\r\n", Malformed),
        ("GET / HTTP/2.0\r\n\r\n", Version),
        ("GET / HTTP/0.9\r\n\r\n", Version),
        ("GET / HTTP/1.2\r\n\r\n", Version),
        ("GET / http/1.1\r\n\r\n", Malformed),
        ("GET /123456789012345678901 HTTP/1.1\r\n\r\n", TargetTooLong),
        ("GET / HTTP/1.1\r\nExpect: cookies\r\n\r\n", Expectation),
        (&many, TooManyFields),
        (&very_many, TooManyFields),
    ] {
        assert_eq!(parse(text).unwrap_err(), error, "{text:?}");
    }
}
